"""``http``: credentials; how they are sent, where they never go, and that none is written into the configuration."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from time import strftime
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme

from probes.core.diagnostics import Rejected
from probes.core.kind import Context
from probes.core.result import Observation
from probes.core.spec import load
from probes.kinds import KINDS
from probes.kinds.http import Target, exchange
from probes.kinds.wire import oauth
from tests.kinds.looking import HOST, see, tidy, url
from tests.servers.raw import Peer, Raw, Script, answer, response, server_context

SECRET = "s3cret/with+signs"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    oauth._kept.clear()
    yield
    oauth._kept.clear()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def anchors(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def granted(token: str = "tok-1", **more: Any) -> bytes:
    data = {"access_token": token, "token_type": "Bearer", "expires_in": 3600} | more
    body = json.dumps({name: value for name, value in data.items() if value is not None}).encode()
    return response(body, Content_Type="application/json")


def target(server: Raw, endpoint: Raw | str, **more: Any) -> dict[str, Any]:
    where = endpoint if isinstance(endpoint, str) else url(endpoint, "/token")
    return {"url": url(server), "auth": {"oauth2": {"url": where, "client_id": "probe", "client_secret": SECRET} | more}}


def kind(seen: Observation) -> str | None:
    return seen.fault.kind if seen.fault else None


# OAuth2


async def test_a_token_is_fetched_and_sent() -> None:
    with Raw(answer(granted())) as endpoint, Raw(answer(response())) as server:
        seen = await see("http", target(server, endpoint, scope="read write", audience="shop"))
    assert kind(seen) is None
    head, _, form = endpoint.requests[0].decode().partition("\r\n\r\n")
    assert head.startswith("POST /token HTTP/1.1\r\n")
    assert "authorization: Basic cHJvYmU6czNjcmV0JTJGd2l0aCUyQnNpZ25z" in head  # both parts encoded as a form's, RFC 6749, 2.3.1
    assert parse_qs(form) == {"grant_type": ["client_credentials"], "scope": ["read write"], "audience": ["shop"]}
    assert b"authorization: Bearer tok-1\r\n" in server.requests[0]
    assert seen.evidence["token"]["status"] == 200


async def test_the_secret_may_go_in_the_body() -> None:
    with Raw(lambda peer: (peer.request(80), peer.send(granted()))) as endpoint, Raw(answer(response())) as server:
        await see("http", target(server, endpoint, send="body"))
    head, _, form = endpoint.requests[0].decode().partition("\r\n\r\n")
    assert "authorization" not in head.lower()
    assert parse_qs(form) == {"grant_type": ["client_credentials"], "client_id": ["probe"], "client_secret": [SECRET]}


async def test_the_time_for_the_token_is_not_the_targets() -> None:
    def slow(peer: Peer) -> None:
        peer.request()
        peer.wait(0.4)
        peer.send(granted())

    with Raw(slow) as endpoint, Raw(answer(response())) as server:
        seen = await see("http", target(server, endpoint))
    fetching = seen.evidence["token"]["phases_ms"]["wait"] / 1000
    assert fetching >= 0.4
    assert seen.total < fetching
    assert seen.latency == pytest.approx(sum(seen.phases[name] for name in ("connect", "wait", "receive")))


async def test_a_token_is_kept_per_check_until_shortly_before_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    with Raw(answer(granted(expires_in=100))) as endpoint, Raw(answer(response())) as server:
        asked = target(server, endpoint)
        first, again = await see("http", asked), await see("http", asked)
        assert (endpoint.connections, "token" in first.evidence, "token" in again.evidence) == (1, True, False)
        await see("http", target(server, endpoint, scope="other"))
        assert endpoint.connections == 2
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 60)
        await see("http", asked)
        assert endpoint.connections == 2
        monkeypatch.setattr(time, "time", lambda: now + 70)
        await see("http", asked)
    assert endpoint.connections == 3


@pytest.mark.parametrize("lasting", [None, 5, "soon", 0, -1, True])
async def test_a_token_of_no_known_length_is_not_kept(lasting: Any) -> None:
    with Raw(answer(granted(expires_in=lasting))) as endpoint, Raw(answer(response())) as server:
        for _ in range(2):
            assert kind(await see("http", target(server, endpoint))) is None
    assert endpoint.connections == 2


async def test_a_token_that_the_target_refuses_is_not_used_again() -> None:
    with Raw(answer(granted())) as endpoint, Raw(answer(response(b"", "401 Unauthorized"))) as server:
        for _ in range(2):
            assert (await see("http", target(server, endpoint))).facts["status"] == 401
    assert endpoint.connections == 2


INVALID = response(b'{"error": "invalid_client", "error_description": "' + SECRET.encode() + b'"}', "401 Unauthorized")


@pytest.mark.parametrize(
    ("script", "fault", "words"),
    [
        (answer(INVALID), "probe.secret", "401 (invalid_client)"),
        (answer(response(b"no", "403 Forbidden")), "probe.secret", "403"),
        (answer(response(b"busy", "503 Service Unavailable")), "http.protocol", "it answered 503"),
        (answer(response(b"", "302 Found", Location="http://169.254.169.254/")), "http.protocol", "it answered 302"),
        (answer(response(b"hello")), "http.protocol", "no `access_token`"),
        (answer(response(b'["access_token"]')), "http.protocol", "no `access_token`"),
        (answer(granted("line\r\nbreak")), "http.protocol", "no `access_token`"),
        (answer(granted("x" * 20_000)), "http.protocol", "no `access_token`"),
        (answer(granted(token_type="mac")), "http.protocol", "Bearer"),
        (answer(granted(token_type=7)), "http.protocol", "Bearer"),
        (lambda peer: peer.request(), "http.empty_reply", "without a response"),
        (lambda peer: peer.hold(), "timeout.response", "no response within 1s"),
        (lambda peer: peer.reset(), "conn.reset", "reset"),
    ],
)
async def test_trouble_with_the_endpoint_is_told_as_such(script: Script, fault: str, words: str) -> None:
    async with tidy():
        with Raw(script) as endpoint, Raw(answer(response())) as server:
            seen = await see("http", target(server, endpoint), timeout=1)
    assert seen.fault is not None
    assert seen.fault.kind == fault
    assert seen.fault.because.startswith(f"no token from the token endpoint {url(endpoint, '/token')}: ")
    assert words in seen.fault.because
    assert server.connections == 0
    assert (seen.latency, dict(seen.phases)) == (None, {})
    assert SECRET not in json.dumps([dict(seen.evidence), seen.fault.because])


async def test_the_endpoint_is_screened() -> None:
    with Raw(answer(response())) as server:
        seen = await see("http", target(server, f"http://localhost:{server.port}/token"), loopback=False)
    assert kind(seen) == "ssrf.blocked"
    assert server.connections == 0


async def test_a_token_that_comes_back_is_not_shown() -> None:
    def echo(peer: Peer) -> None:
        sent = peer.request().partition(b"Bearer ")[2].split(b"\r\n")[0].decode()
        body = json.dumps({"you": {"sent": [sent]}}).encode()
        peer.send(response(body, X_Request_Id=sent, Location=f"/?{sent}"))

    with Raw(answer(granted("very-hidden-token"))) as endpoint, Raw(echo) as server:
        seen = await see("http", target(server, endpoint))
        plain = await see("http", target(server, endpoint) | {"redirects": "none"})
    for one in (seen, plain):
        assert one.facts["body"] == {"you": {"sent": ["****"]}}
        assert one.facts["header"]["x-request-id"] == "****"
        assert "hidden" not in json.dumps([dict(one.facts), dict(one.evidence)], default=str).replace("hidden_headers", "")


# AWS


def aws(**more: str) -> dict[str, Any]:
    return {"aws": {"region": "eu-west-1", "service": "execute-api", "access_key": "AKID", "secret_key": SECRET} | more}


async def test_a_request_is_signed_as_it_is_sent() -> None:
    pages = {b"/a?b=1%202&c=x": response(b"", "302 Found", Location="/next"), b"/next": response()}
    with Raw(lambda peer: peer.send(pages[peer.request().split(b" ")[1]])) as server:
        seen = await see("http", {"url": url(server, "/a?b=1+2"), "query": {"c": "x"}, "auth": aws(session_token="TEMP")})
    assert (kind(seen), seen.facts["status"], seen.facts["redirects"]) == (None, 200, 1)
    signatures = set()
    for request in server.requests:
        lines = dict(line.lower().split(": ", 1) for line in request.decode().split("\r\n")[1:] if line)
        assert "/eu-west-1/execute-api/aws4_request" in lines["authorization"]
        assert "signedheaders=host;x-amz-date;x-amz-security-token," in lines["authorization"]
        assert (lines["host"], lines["x-amz-security-token"]) == (f"{HOST}:{server.port}", "temp")
        signatures.add(lines["authorization"].rpartition("=")[2])
    assert len(signatures) == 2


async def test_each_run_signs_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is worked out once for a check is not its signature, which holds for some minutes."""
    now = time.time()
    with Raw(answer(response())) as server:
        shape = Target.model_validate({"url": url(server), "auth": aws()})
        for passed in (0, 3600):
            monkeypatch.setattr(time, "strftime", lambda form, moment, at=now + passed: strftime(form, time.gmtime(at)))
            await exchange(shape, Context(run="a@b/c", timeout=5))
    first, second = (request.partition(b"x-amz-date: ")[2][:16] for request in server.requests)
    assert first < second


@pytest.mark.parametrize("auth", [{"bearer": SECRET}, {"basic": {"user": "u", "password": SECRET}}, aws(session_token=SECRET)])
async def test_credentials_stay_with_their_origin(auth: dict[str, Any]) -> None:
    with Raw(answer(response())) as other, Raw(answer(response(b"", "307 Over", Location=url(other)))) as server:
        seen = await see("http", {"url": url(server), "auth": auth})
    assert seen.facts["status"] == 200
    assert b"authorization" in server.requests[0].lower()
    assert b"authorization" not in other.requests[0].lower()
    assert b"x-amz" not in other.requests[0].lower()


async def test_signed_requests_are_not_redirected_to_plain_http(authority: trustme.CA, anchors: str) -> None:
    there = response(b"", "302 Found", Location="http://127.0.0.1:1/")
    with Raw(answer(there), server_context(authority, HOST)) as server:
        seen = await see("http", {"url": url(server, scheme="https"), "ca": anchors, "auth": aws()})
    assert kind(seen) == "redirect.blocked"


# Client certificates


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_is_shown_to_its_origin_alone(
    authority: trustme.CA, anchors: str, version: ssl.TLSVersion
) -> None:
    mine = authority.issue_cert("probe@shop.example")
    pem = b"".join(blob.bytes() for blob in mine.cert_chain_pems).decode(), mine.private_key_pem.bytes().decode()
    shown: list[Any] = []

    def asking() -> ssl.SSLContext:
        context = server_context(authority, HOST, clients=authority, oldest=version, newest=version)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def to(location: str) -> Script:
        def script(peer: Peer) -> None:
            peer.request()
            shown.append(peer.sock.getpeercert())  # type: ignore[attr-defined]  # it speaks TLS
            peer.send(response(b"", "302 Found", Location=location) if location else response())

        return script

    with (
        Raw(to(""), asking()) as other,
        Raw(to(url(other, scheme="https")), asking()) as server,
    ):
        asked = {"url": url(server, scheme="https"), "ca": anchors, "client_cert": pem[0], "client_key": pem[1]}
        seen = await see("http", asked)
        both = await see("http", {**asked, "client_cert": pem[0] + pem[1], "client_key": None})
    assert (kind(seen), kind(both), seen.facts["redirects"]) == (None, None, 1)
    assert [bool(found) for found in shown] == [True, False, True, False]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("strange", ["untrusted", "expired"])
async def test_a_client_certificate_that_is_not_accepted(
    authority: trustme.CA, anchors: str, version: ssl.TLSVersion, strange: str
) -> None:
    from datetime import UTC, datetime, timedelta

    ended = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=1)
    mine = (
        trustme.CA().issue_cert("p@x.example") if strange == "untrusted" else authority.issue_cert("p@x.example", not_after=ended)
    )
    pem = b"".join(blob.bytes() for blob in mine.cert_chain_pems) + mine.private_key_pem.bytes()
    demanding = server_context(authority, HOST, clients=authority, oldest=version, newest=version)
    with Raw(answer(response()), demanding) as server:
        seen = await see("http", {"url": url(server, scheme="https"), "ca": anchors, "client_cert": pem.decode()})
    assert kind(seen) == "tls.client_cert_required"
    assert "PRIVATE" not in (seen.fault.because if seen.fault else "")


# What may not be written

LITERAL = {
    "basic": "{basic: {user: u, password: hunter2}}",
    "bearer": "{bearer: hunter2}",
    "variable": "{bearer: '${{ var.token }}'}",
    "run": "{bearer: '${{ run.id }}'}",
    "oauth2": "{oauth2: {url: https://id.example/t, client_id: c, client_secret: hunter2}}",
    "aws": "{aws: {region: r, service: s, access_key: a, secret_key: hunter2}}",
    "session": "{aws: {region: r, service: s, access_key: a, secret_key: '${{ secret.S }}', session_token: hunter2}}",
}


def problems(http: str) -> list[Any]:
    heads = "version: 1\nvariables: {token: hunter2}\nsecrets: {S: env:S}\nchecks:\n"
    try:
        load(f"{heads}  a:\n    http: {http}\n", KINDS)
    except Rejected as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize("auth", LITERAL.values(), ids=LITERAL)
def test_secrets_are_not_written_out(auth: str) -> None:
    found = problems(f"{{url: https://a.example, auth: {auth}}}")
    assert "secret-reference" in [problem.code for problem in found]
    assert "hunter2" not in "".join(problem.message for problem in found)


def test_nor_in_a_step() -> None:
    text = "version: 1\nchecks:\n  a:\n    steps:\n      - {id: b, http: {url: https://a.example, auth: {bearer: hunter2}}}\n"
    with pytest.raises(Rejected) as refused:
        load(text, KINDS)
    assert "secret-reference" in [problem.code for problem in refused.value.problems]


def test_nor_as_a_key_in_full() -> None:
    key = '"-----BEGIN PRIVATE KEY-----\\nMII"'
    assert [p.code for p in problems(f"{{url: https://a.example, client_cert: c.pem, client_key: {key}}}")] == ["secret-reference"]


@pytest.mark.parametrize(
    "auth",
    [
        "{basic: {user: u, password: '${{ secret.S }}'}}",
        "{bearer: '${{ secret.S }}'}",
        "{oauth2: {url: https://id.example/t, client_id: c, client_secret: '${{secret.S}}', scope: a}}",
        "{aws: {region: eu-west-1, service: s3, access_key: a, secret_key: '${{ secret.S }}'}}",
    ],
)
def test_secrets_are_referred_to(auth: str) -> None:
    assert problems(f"{{url: https://a.example, auth: {auth}}}") == []


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ("{digest: {user: u}}", "not-here"),
        ("{bearer: '${{ secret.S }}', basic: {user: u, password: '${{ secret.S }}'}}", "value"),
        ("{oauth2: {url: 'http://169.254.169.254/t', client_id: c, client_secret: '${{ secret.S }}'}}", "ssrf"),
        ("{oauth2: {url: 'https://u:p@id.example/t', client_id: c, client_secret: '${{ secret.S }}'}}", "url"),
        ("{aws: {region: 'eu/west', service: s3, access_key: a, secret_key: '${{ secret.S }}'}}", "value"),
    ],
)
def test_what_else_may_not_be_written(auth: str, code: str) -> None:
    assert code in [problem.code for problem in problems(f"{{url: https://a.example, auth: {auth}}}")]
