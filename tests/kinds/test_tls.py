"""``tls`` against real TLS servers on loopback: what is trusted, and what is said when it is not."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from probes.kinds import KINDS
from probes.kinds.wire import certificate
from tests.kinds.looking import HOST, see
from tests.servers.raw import Raw, server_context

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def anchors(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def made(
    tmp_path: Any, *, names: list[str] | None, starts: datetime.datetime = NOW - DAY, key: Any = None
) -> tuple[ssl.SSLContext, str]:
    """A server with a self-signed certificate of any sort, and that certificate."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), starts, NOW + 30 * DAY)
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    (tmp_path / "cert.pem").write_bytes(pem)
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context, pem.decode()


async def test_a_trusted_certificate(authority: trustme.CA, anchors: str) -> None:
    ends = (NOW + 10 * DAY).replace(tzinfo=None)
    with Raw(lambda peer: peer.hold(), server_context(authority, HOST, "shop.test", not_after=ends)) as server:
        seen = await see("tls", {"address": f"{HOST}:{server.port}", "ca": anchors})
        named = await see("tls", {"address": f"{HOST}:{server.port}", "ca": anchors, "server_name": "shop.test"})
    assert (seen.fault, named.fault) == (None, None)
    facts = seen.facts
    assert facts["trusted"] is True
    assert 9.9 * 86400 < facts["expires_in"] <= 10 * 86400
    assert "Testing CA" in facts["issuer"]
    assert set(facts["names"]) == {HOST, "shop.test"}
    assert (facts["self_signed"], facts["chain_length"], facts["version"]) == (False, 1, "TLSv1.3")
    assert facts["cipher"]
    assert facts["chain_expires_in"] == facts["expires_in"]
    assert facts["chain"] == [facts["subject"]]
    assert facts["key"] == "EC secp256r1"
    assert len(bytes.fromhex(facts["fingerprint"])) == 32
    assert int(facts["serial"], 16) > 0
    assert seen.latency == pytest.approx(seen.phases["connect"] + seen.phases["tls"])
    assert set(facts) <= set(KINDS["tls"].facts)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("issue", "trusting", "kind", "words"),
    [
        ({"not_after": (NOW - 40 * DAY).replace(tzinfo=None)}, True, "tls.expired", f"{NOW - 40 * DAY:%Y-%m-%d}"),
        ({}, False, "tls.untrusted", "Testing CA"),
        ({"names": ("other.test",)}, True, "tls.hostname_mismatch", "other.test"),
        ({"names": ("shop.test",)}, True, "tls.hostname_mismatch", "shop.test"),
    ],
)
async def test_a_certificate_that_is_not_trusted_keeps_its_facts(
    authority: trustme.CA, anchors: str, version: ssl.TLSVersion, issue: dict[str, Any], trusting: bool, kind: str, words: str
) -> None:
    names = issue.get("names", (HOST,))
    rest = {key: value for key, value in issue.items() if key != "names"}
    with Raw(lambda peer: peer.hold(), server_context(authority, *names, oldest=version, newest=version, **rest)) as server:
        target = {"address": f"{HOST}:{server.port}"} | ({"ca": anchors} if trusting else {})
        seen = await see("tls", target)
        assert server.connections == 1
    assert seen.fault is not None
    assert seen.fault.kind == kind
    assert words in seen.fault.because
    assert seen.facts["trusted"] is False
    assert (seen.facts["expires_in"] < 0) == (kind == "tls.expired")
    assert seen.facts["names"] == list(names)
    assert seen.facts["issuer"]
    assert (seen.latency or 0) > 0
    assert seen.evidence["certificate"]["not_after"]


async def test_certificates_of_other_sorts(tmp_path: Any) -> None:
    cases: list[tuple[dict[str, Any], bool, str | None]] = [
        ({"names": ["localhost"]}, False, "tls.self_signed"),
        ({"names": None}, True, "tls.hostname_mismatch"),  # only a common name
        ({"names": ["localhost"], "starts": NOW + 3 * DAY}, True, "tls.not_yet_valid"),
        ({"names": ["localhost"], "key": rsa.generate_private_key(65537, 1024)}, True, "tls.weak"),
        ({"names": ["localhost"]}, True, None),  # named as an anchor: it will do
    ]
    for issue, trusting, kind in cases:
        context, pem = made(tmp_path, **issue)
        with Raw(lambda peer: peer.hold(), context) as server:
            target = {"address": f"{HOST}:{server.port}", "server_name": "localhost"}
            seen = await see("tls", target | ({"ca": pem} if trusting else {}))
        assert (seen.fault.kind if seen.fault else None) == kind, issue
        assert seen.facts["trusted"] is (kind is None)
        assert seen.facts["self_signed"] is True


@pytest.mark.parametrize(
    ("context", "kind"),
    [
        (
            lambda ca: server_context(
                ca, HOST, oldest=ssl.TLSVersion.TLSv1, newest=ssl.TLSVersion.TLSv1_1, ciphers="ALL:@SECLEVEL=0"
            ),
            "tls.protocol_version",
        ),
        (
            lambda ca: server_context(ca, HOST, newest=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-RSA-AES128-SHA"),
            "tls.no_shared_cipher",
        ),
        (lambda ca: server_context(ca, HOST, clients=ca, newest=ssl.TLSVersion.TLSv1_2), "tls.client_cert_required"),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_handshakes_that_fail(
    authority: trustme.CA, anchors: str, context: Callable[[trustme.CA], ssl.SSLContext], kind: str
) -> None:
    with Raw(lambda peer: peer.hold(), context(authority)) as server:
        seen = await see("tls", {"address": f"{HOST}:{server.port}", "ca": anchors})
    assert seen.fault is not None
    assert seen.fault.kind == kind, seen.fault
    assert "trusted" not in seen.facts


async def test_a_port_that_refuses_says_nothing_about_trust() -> None:
    seen = await see("tls", f"{HOST}:1")
    assert seen.fault is not None
    assert seen.fault.kind == "conn.refused"
    assert "trusted" not in seen.facts


async def test_a_slow_handshake_is_in_the_tls_phase(authority: trustme.CA, anchors: str) -> None:
    context = server_context(authority, HOST)
    server = Raw(lambda peer: peer.hold(), context)
    context.sni_callback = lambda *_: (server.stopping.wait(0.2), None)[1]
    with server:
        seen = await see("tls", {"address": f"{HOST}:{server.port}", "ca": anchors})
    assert seen.fault is None
    assert seen.phases["tls"] >= 0.2
    assert seen.phases["connect"] < 0.1


async def test_an_intermediate_that_expires_first() -> None:
    """The chain is as good as its weakest part."""
    root = trustme.CA()
    middle = root.create_child_ca()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    middle.issue_cert(HOST, key_type=trustme.KeyType.RSA).configure_cert(context)
    with Raw(lambda peer: peer.hold(), context) as server:
        seen = await see("tls", {"address": f"{HOST}:{server.port}", "ca": root.cert_pem.bytes().decode()})
    assert seen.fault is None
    assert (seen.facts["chain_length"], len(seen.facts["chain"]), seen.facts["key"]) == (2, 2, "RSA 2048")
    assert seen.facts["chain"][1] == seen.facts["issuer"]
    leaf, other = (made_der(NOW + days * DAY) for days in (20, 5))
    assert certificate.facts([leaf, other], int(NOW.timestamp()))["chain_expires_in"] == 5 * 86400
    assert certificate.facts([leaf, other, b"junk"], int(NOW.timestamp()))["expires_in"] == 20 * 86400


def made_der(ends: datetime.datetime) -> bytes:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), NOW - DAY, ends)
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_bytes_that_are_no_certificate() -> None:
    assert certificate.read(b"\x30\x82junk") is None
    assert certificate.facts([b"junk"]) == {}
    assert certificate.facts([]) == {}
    assert certificate.evidence([b"junk"]) == {"unreadable": True}
