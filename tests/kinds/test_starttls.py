"""``tls`` with ``starttls``: a real mail server, a real PostgreSQL where there is one, and servers that do it wrong."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

from probes.kinds import KINDS
from tests.kinds.looking import HOST, connections, see
from tests.servers.raw import Peer, Raw, server_context

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def anchors(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


@pytest.fixture(scope="module")
def context(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority, HOST, "mail.test")


class Mail(Controller):
    """aiosmtpd, which will not talk before STARTTLS (or does not know it, without a context)."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(Sink(), hostname=HOST, port=free())
        self.context = context

    def factory(self) -> SMTP:
        return SMTP(self.handler, hostname="mail.test", tls_context=self.context, require_starttls=self.context is not None)


def free() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def mail(context: ssl.SSLContext | None) -> Iterator[Mail]:
    server = Mail(context)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def test_a_real_mail_server(context: ssl.SSLContext, anchors: str) -> None:
    with mail(context) as server:
        target = {"address": f"{HOST}:{server.port}", "ca": anchors, "starttls": "smtp"}
        seen = await see("tls", target)
        named = await see("tls", target | {"server_name": "mail.test"})
        other = await see("tls", target | {"server_name": "x.test"})
        plain = await see("tls", {**target, "starttls": None}, 2)
        assert connections(server.port) == 0
    assert seen.fault is None, seen.fault
    assert named.fault is None
    assert seen.facts["trusted"] is True
    assert "Testing CA" in seen.facts["issuer"]
    assert set(seen.phases) == {"resolve", "connect", "tls", "wait"}
    assert seen.latency == pytest.approx(sum(seen.phases[name] for name in ("connect", "tls", "wait")))
    assert seen.clock == named.clock
    assert set(seen.facts) <= set(KINDS["tls"].facts)
    assert other.fault is not None
    assert (other.fault.kind, other.facts["trusted"]) == ("tls.hostname_mismatch", False)
    assert plain.fault is not None
    assert plain.fault.kind == "tls.not_tls"


async def test_a_mail_server_without_tls(anchors: str) -> None:
    with mail(None) as server:
        seen = await see("tls", {"address": f"{HOST}:{server.port}", "ca": anchors, "starttls": "smtp"})
    assert seen.fault is not None
    assert seen.fault.kind == "tls.not_tls"
    assert "does not begin TLS over SMTP" in seen.fault.because
    assert "trusted" not in seen.facts


def lines(peer: Peer) -> bytes:
    while not peer.seen.endswith(b"\n"):
        peer.seen += peer.read()
    asked, peer.seen = peer.seen, b""
    peer.server.requests.append(asked)
    return asked


def secured(peer: Peer, context: ssl.SSLContext) -> None:
    """Speak TLS from here on, until the other side leaves."""
    with context.wrap_socket(peer.sock, server_side=True) as sock:
        while data := sock.recv(1000):
            peer.server.requests.append(data)


def imap(context: ssl.SSLContext, *untagged: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.send(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n")
        assert lines(peer) == b"a STARTTLS\r\n"
        peer.send(*untagged, b"a OK begin\r\n")
        secured(peer, context)

    return script


def postgres(context: ssl.SSLContext) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.server.requests.append(peer.read())
        peer.send(b"S")
        secured(peer, context)

    return script


@pytest.mark.parametrize("slow", [False, True])
async def test_imap(context: ssl.SSLContext, anchors: str, slow: bool) -> None:
    script = imap(context, b"* CAPABILITY IMAP4rev1\r\n", b"* 3 EXISTS\r\n")
    with Raw((lambda peer: (peer.wait(0.2), script(peer))) if slow else script) as server:
        seen = await see("tls", {"address": f"{HOST}:{server.port}", "ca": anchors, "starttls": "imap"})
        assert connections(server.port) == 0
    assert seen.fault is None, seen.fault
    assert server.requests == [b"a STARTTLS\r\n", b"b LOGOUT\r\n"]
    assert seen.clock == "kernel"
    assert (seen.phases["wait"] >= 0.2) == slow
    assert seen.phases["tls"] < 0.2


async def test_smtp(context: ssl.SSLContext, anchors: str) -> None:
    def script(peer: Peer) -> None:
        peer.send(b"220-mail.test\r\n220 ready\r\n")
        lines(peer)
        peer.send(EHLO)
        lines(peer)
        peer.send(b"220 go\r\n")
        secured(peer, context)

    with Raw(script) as server:
        seen = await see("tls", {"address": f"{HOST}:{server.port}", "ca": anchors, "starttls": "smtp"})
    assert seen.fault is None, seen.fault
    assert server.requests == [b"EHLO localhost\r\n", b"STARTTLS\r\n", b"QUIT\r\n"]


async def test_postgres(context: ssl.SSLContext, anchors: str) -> None:
    with Raw(postgres(context)) as server:
        seen = await see("tls", {"address": f"{HOST}:{server.port}", "ca": anchors, "starttls": "postgres"})
    assert seen.fault is None, seen.fault
    assert seen.facts["trusted"] is True
    assert server.requests == [SSL_REQUEST]


async def test_what_is_not_trusted_keeps_its_facts(context: ssl.SSLContext) -> None:
    with Raw(postgres(context)) as server:
        seen = await see("tls", {"address": f"{HOST}:{server.port}", "starttls": "postgres"})
    assert seen.fault is not None
    assert seen.fault.kind == "tls.untrusted"
    assert seen.facts["trusted"] is False
    assert seen.facts["names"]
    assert seen.latency is not None


def smtp(*answers: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        for number, answer in enumerate(answers):
            if number:
                lines(peer)
            peer.send(answer)
        peer.hold()

    return script


EHLO = b"250-mail.test\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"


@pytest.mark.parametrize(
    ("protocol", "script", "kind", "words"),
    [
        ("smtp", smtp(b"554 no service here\r\n"), "tls.not_tls", "554 no service"),
        ("smtp", smtp(b"SSH-2.0-OpenSSH\r\n"), "tls.not_tls", "SSH-2.0"),
        ("smtp", smtp(b"2201 hello\r\n"), "tls.not_tls", "2201"),
        ("smtp", smtp(b"220 a\r\n", b"250-mail.test\r\n250 SIZE\r\n"), "tls.not_tls", "SIZE"),
        ("smtp", smtp(b"220 a\r\n", b"250 STARTTLS\r\n", b"454 not now\r\n"), "tls.not_tls", "454 not now"),
        ("smtp", smtp(b"220 a\r\n", EHLO, b"220 go\r\n250 injected\r\n"), "tls.handshake", "plain text"),
        ("smtp", smtp(b"220 a\r\n", EHLO, b"220 go\r\n"), "timeout.tls", "handshake"),
        ("smtp", smtp(b"220-a\r\n" * 9), "timeout.response", "no response"),
        ("smtp", lambda peer: peer.for_ever(b"220-a\r\n" * 100), "body.too_large", "64 KB"),
        ("smtp", lambda peer: peer.for_ever(b"220-" + b"x" * 1000), "body.too_large", "64 KB"),
        ("smtp", lambda peer: peer.send(b"220"), "conn.closed", "before TLS"),
        ("smtp", lambda peer: peer.drip(b"220-a\r\n" * 1000, 0.05), "timeout.response", "no response"),
        ("smtp", lambda peer: peer.reset(), "conn.reset", "reset"),
        ("imap", smtp(b"* BYE full\r\n"), "tls.not_tls", "BYE full"),
        ("imap", smtp(b"* OK a\r\n", b"a BAD unknown\r\n"), "tls.not_tls", "BAD unknown"),
        ("imap", smtp(b"* OK a\r\n", b"* BYE now\r\n"), "tls.not_tls", "BYE now"),
        ("imap", smtp(b"* OK a\r\n", b"what?\r\n"), "tls.not_tls", "what"),
        ("imap", smtp(b"* OK a\r\n", b"a OK go\r\n* OK more\r\n"), "tls.handshake", "plain text"),
        ("imap", smtp(b"* OK \x1b[31m\xff" + b"x" * 500 + b"\r\n", b"a NO \x1b[31m" + b"y" * 500 + b"\r\n"), "tls.not_tls", "a NO"),
        ("postgres", lambda peer: (peer.read(), peer.send(b"N"), peer.hold()), "tls.not_tls", "'N'"),
        ("postgres", lambda peer: (peer.read(), peer.send(b"SE"), peer.hold()), "tls.handshake", "plain text"),
        ("postgres", lambda peer: (peer.read(), peer.send(b"EFATAL\0"), peer.hold()), "tls.not_tls", "'E'"),
        ("postgres", lambda peer: (peer.read(), peer.send(b"S"), peer.send(b"not TLS at all")), "tls.", ""),
        ("postgres", lambda peer: peer.hold(), "timeout.response", "no response"),
    ],
)  # fmt: skip
async def test_servers_that_do_it_wrong(protocol: str, script: Callable[[Peer], Any], kind: str, words: str) -> None:
    with Raw(script) as server:
        started = time.monotonic()
        seen = await see("tls", {"address": f"{HOST}:{server.port}", "starttls": protocol}, 0.5)
        assert time.monotonic() - started < 1.5
        assert connections(server.port) == 0
    assert seen.fault is not None
    assert seen.fault.kind.startswith(kind), seen.fault
    assert words in seen.fault.because
    assert "\x1b" not in seen.fault.because
    assert len(seen.fault.because) < 250
    assert "trusted" not in seen.facts


async def test_loopback_is_screened(context: ssl.SSLContext) -> None:
    with Raw(postgres(context)) as server:
        seen = await see("tls", {"address": f"{HOST}:{server.port}", "starttls": "postgres"}, loopback=False)
        assert server.connections == 0
    assert seen.fault is not None
    assert seen.fault.kind == "ssrf.blocked"


@pytest.fixture
def database(authority: trustme.CA) -> Iterator[int]:
    """A real PostgreSQL that has TLS on."""
    found = [shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_binaries()}") for name in ("initdb", "postgres")]
    if None in found:
        pytest.skip("PostgreSQL is not installed")
    user = {}
    if os.getuid() == 0:
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free()
        leaf = authority.issue_cert(HOST)
        leaf.private_key_pem.write_to_path(str(folder / "key.pem"))
        leaf.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
        (folder / "key.pem").chmod(0o600)
        for path in (folder, *folder.iterdir()):
            os.chown(path, user.get("user", os.getuid()), user.get("group", os.getgid()))
        data = str(folder / "data")
        subprocess.run([found[0], "-D", data, "-A", "trust", "--no-sync"], check=True, capture_output=True, cwd=folder, **user)  # type: ignore[call-overload]
        settings = {"ssl": "on", "ssl_cert_file": folder / "cert.pem", "ssl_key_file": folder / "key.pem",
                    "unix_socket_directories": "", "fsync": "off", "listen_addresses": HOST}  # fmt: skip
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = [found[1], "-D", data, "-p", str(port), *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, **user) as server:  # type: ignore[call-overload]
            try:
                end = time.monotonic() + 20
                while True:
                    if server.poll() is not None or time.monotonic() > end:
                        server.kill()
                        pytest.fail(server.communicate()[0].decode(errors="replace")[-800:])
                    with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                        break
                    time.sleep(0.02)
                yield port
            finally:
                server.terminate()
                server.communicate(timeout=20)


def _binaries() -> str:
    return ":".join(str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))


async def test_a_real_database(database: int, anchors: str) -> None:
    seen = await see("tls", {"address": f"{HOST}:{database}", "ca": anchors, "starttls": "postgres"})
    assert seen.fault is None, seen.fault
    assert (seen.facts["trusted"], seen.facts["names"]) == (True, [HOST])
    plain = await see("tls", {"address": f"{HOST}:{database}", "ca": anchors})
    assert plain.fault is not None
    assert plain.fault.kind != "tls.untrusted"
