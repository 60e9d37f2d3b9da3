"""``grpc`` against the health service of grpcio, which we did not write, and against servers that misbehave."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import h2.config
import h2.connection
import pytest
import trustme
from pydantic import ValidationError

from probes.core import expression
from probes.kinds import KINDS
from probes.kinds.grpc import Target, health, request
from probes.kinds.wire.failure import Failed
from tests.kinds.looking import HOST, see, tidy
from tests.servers.raw import Peer, Raw, server_context

KIND = KINDS["grpc"]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def served(authority: trustme.CA) -> Iterator[tuple[int, int]]:
    """Ports of a real server: plaintext and TLS."""
    grpc = pytest.importorskip("grpc", reason="grpcio is a test dependency")
    health_service = pytest.importorskip("grpc_health.v1.health")
    pb2 = pytest.importorskip("grpc_health.v1.health_pb2")
    pb2_grpc = pytest.importorskip("grpc_health.v1.health_pb2_grpc")
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    servicer = health_service.HealthServicer()
    servicer.set("payments.v1.Payments", pb2.HealthCheckResponse.SERVING)
    servicer.set("slow.v1.Slow", pb2.HealthCheckResponse.NOT_SERVING)
    servicer.set("x" * 150, pb2.HealthCheckResponse.SERVING)
    pb2_grpc.add_HealthServicer_to_server(servicer, server)
    leaf = authority.issue_cert("localhost", HOST)
    pair = (leaf.private_key_pem.bytes(), b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    plain = server.add_insecure_port(f"{HOST}:0")
    secure = server.add_secure_port(f"{HOST}:0", grpc.ssl_server_credentials([pair]))
    server.start()
    yield plain, secure
    server.stop(0).wait()


@pytest.mark.parametrize(
    ("service", "code", "said"),
    [
        ("payments.v1.Payments", "OK", "SERVING"),
        ("", "OK", "SERVING"),
        ("slow.v1.Slow", "OK", "NOT_SERVING"),
        ("x" * 150, "OK", "SERVING"),
        ("nothing.v1", "NOT_FOUND", "SERVICE_UNKNOWN"),
    ],
)
async def test_what_a_real_server_says(served: tuple[int, int], service: str, code: str, said: str) -> None:
    async with tidy():
        seen = await see("grpc", {"address": f"{HOST}:{served[0]}", "service": service})
    assert seen.fault is None
    assert (seen.facts["code"], seen.facts["health"]) == (code, said)
    assert set(seen.phases) == {"resolve", "connect", "wait", "receive"}
    assert seen.latency is not None
    assert set(seen.facts) <= set(KIND.facts)


async def test_over_tls_with_the_name_that_was_written(served: tuple[int, int], authority: trustme.CA) -> None:
    ca = authority.cert_pem.bytes().decode()
    address = f"localhost:{served[1]}"
    seen = await see("grpc", {"address": address, "service": "payments.v1.Payments", "tls": True, "ca": ca})
    assert seen.fault is None
    assert seen.facts["health"] == "SERVING"
    assert "tls" in seen.phases
    seen = await see("grpc", {"address": address, "tls": True})
    assert seen.fault is not None
    assert seen.fault.kind in ("tls.untrusted", "tls.self_signed")
    seen = await see("grpc", {"address": f"{HOST}:{served[0]}", "tls": True})
    assert seen.fault is not None
    assert seen.fault.kind.startswith(("tls.", "conn."))
    seen = await see("grpc", {"address": address, "ca": ca})  # plaintext to a TLS port
    assert seen.fault is not None


async def test_a_server_without_the_health_service() -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is a test dependency")
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    try:
        seen = await see("grpc", {"address": f"{HOST}:{port}"})
    finally:
        server.stop(0).wait()
    assert seen.fault is None
    assert seen.facts["code"] == "UNIMPLEMENTED"
    assert "health" not in seen.facts  # so that no assertion about it can pass
    assert not expression.parse(KIND.must[0]).check(seen.facts)[0]


async def test_nobody_is_there_or_nobody_may_go_there(served: tuple[int, int]) -> None:
    with Raw(lambda peer: None) as server:
        port = server.port
    seen = await see("grpc", {"address": f"{HOST}:{port}"})
    assert seen.fault is not None
    assert seen.fault.kind == "conn.refused"
    seen = await see("grpc", {"address": f"localhost:{served[0]}"}, loopback=False)
    assert seen.fault is not None
    assert seen.fault.kind == "ssrf.blocked"


# servers that misbehave: what they send after the call came in


def frames(*wanted: Any) -> bytes:
    """What an h2 server would send; each part is (headers, end) or bytes."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    client.send_headers(1, {":method": "POST", ":scheme": "http", ":path": "/", ":authority": "a"}.items(), end_stream=True)
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    server.receive_data(client.data_to_send())
    for part in wanted:
        if isinstance(part, bytes):
            server.send_data(1, part)
        elif part == "reset":
            server.reset_stream(1, 2)
        elif part == "goaway":
            server.close_connection(11)
        else:
            headers, end = part
            server.send_headers(1, headers.items(), end_stream=end)
    return server.data_to_send()


HEAD = {":status": "200", "content-type": "application/grpc"}
SERVING = b"\x00\x00\x00\x00\x02\x08\x01"
TAIL = ({"grpc-status": "0"}, True)


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (frames((HEAD, False), SERVING, TAIL), None),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "http.malformed"),
        (b"HT", "conn.closed"),
        (b"\x00" * 100, "http.malformed"),
        (b"", "conn.closed"),
        (frames((HEAD, False)), "conn.closed"),
        (frames((HEAD, False), "reset"), "http.protocol"),
        (frames("goaway"), "http.protocol"),
        (frames(({":status": "502", "content-type": "text/html"}, True)), "http.protocol"),
        (frames(({":status": "200", "content-type": "text/html"}, True)), "http.protocol"),
        (frames((HEAD, False), SERVING, ({"x": "y"}, True)), "http.protocol"),
        (frames((HEAD, False), b"\x01\x00\x00\x00\x02\x08\x01", TAIL), "http.protocol"),
        (frames((HEAD, False), b"\x00\x00\x00\x00\x05\x08\x01", TAIL), "http.protocol"),
        (frames((HEAD, False), b"\x00\x00\x00\x00\x02\x08\x80", TAIL), "http.protocol"),
        (frames((HEAD, False), TAIL), "http.protocol"),
        (frames((HEAD, False)) + frames() * 9000, "body.too_large"),
    ],
)
async def test_misbehaviour_is_a_fault(sent: bytes, fault: str | None) -> None:
    def script(peer: Peer) -> None:
        peer.read()
        peer.send(sent)
        peer.sock.shutdown(socket.SHUT_WR)  # not close: what is still unread would become a reset
        peer.hold()

    async with tidy():
        with Raw(script) as server:
            seen = await see("grpc", {"address": f"{HOST}:{server.port}"})
    assert (seen.fault and seen.fault.kind) == fault
    assert ("health" in seen.facts) == (fault is None)


@pytest.mark.parametrize("status", [{"grpc-status": "16", "grpc-message": "who%20are%20you%0A"}, {"grpc-status": "99"}])
async def test_a_refusal_without_a_body(status: dict[str, str]) -> None:
    with Raw(lambda peer: (peer.read(), peer.send(frames((HEAD | status, True))))) as server:
        seen = await see("grpc", {"address": f"{HOST}:{server.port}"})
    assert seen.fault is None
    assert seen.facts["code"] == {"16": "UNAUTHENTICATED"}.get(status["grpc-status"], "UNKNOWN")
    assert "health" not in seen.facts


async def test_silence_and_endless_pings_end_at_the_deadline() -> None:
    ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"x" * 8
    for script in (lambda peer: peer.hold(), lambda peer: (peer.read(), peer.send(frames()), peer.for_ever(ping, 0.01))):
        with Raw(script) as server:
            started = time.monotonic()
            seen = await see("grpc", {"address": f"{HOST}:{server.port}"}, timeout=0.5)
            assert time.monotonic() - started < 1.5
        assert seen.fault is not None
        assert seen.fault.kind == "timeout.response"


async def test_tls_to_a_server_that_has_another_name(authority: trustme.CA) -> None:
    context: ssl.SSLContext = server_context(authority, "other.test")
    with Raw(lambda peer: peer.hold(), context) as server:
        target = {"address": f"localhost:{server.port}", "tls": True, "ca": authority.cert_pem.bytes().decode()}
        seen = await see("grpc", target)
    assert seen.fault is not None
    assert seen.fault.kind == "tls.hostname_mismatch"


async def test_metadata_is_sent(served: tuple[int, int]) -> None:
    target = {"address": f"{HOST}:{served[0]}", "metadata": {"authorization": "Bearer x"}}
    assert (await see("grpc", target)).facts["health"] == "SERVING"


# messages and shape


def test_messages() -> None:
    assert request("") == b"\x00\x00\x00\x00\x00"
    assert request("ab") == b"\x00\x00\x00\x00\x04\x0a\x02ab"
    assert len(request("x" * 200)) == 5 + 3 + 200
    assert health(b"\x00\x00\x00\x00\x00") == "UNKNOWN"  # proto3 leaves zero out
    assert health(b"\x00\x00\x00\x00\x02\x08\x02") == "NOT_SERVING"
    assert health(b"\x00\x00\x00\x00\x06\x12\x02hi\x08\x01") == "SERVING"  # a field of a later version first
    for wrong in (b"", b"\x00", b"\x00\x00\x00\x00\x02\x08", b"\x00\x00\x00\x00\x02\x12\x09", b"\x00\x00\x00\x00\x01\x0b"):
        with pytest.raises(Failed):
            health(wrong)


def test_the_short_form() -> None:
    assert KIND.short("pay.test:443/payments.v1.Payments") == {"address": "pay.test:443", "service": "payments.v1.Payments"}
    assert KIND.short("pay.test:443") == {"address": "pay.test:443"}
    assert KIND.short("${{ var.pay }}/a.B") == {"address": "${{ var.pay }}", "service": "a.B"}
    assert KIND.describe({"address": "pay.test:443", "service": "a.B"}) == "pay.test:443/a.B"
    for wrong in (5, "", "a b"):
        with pytest.raises(ValueError, match=r"write|is not"):
            KIND.short(wrong)


@pytest.mark.parametrize(
    "target",
    [{"address": "pay.test"}, {"address": "169.254.169.254:443"}, {"address": "a:1", "service": "a b"},
     {"address": "a:1", "tls": "no"}, {"address": "a:1", "metadata": {"grpc-timeout": "1"}},
     {"address": "a:1", "metadata": {"X": "1"}}, {"address": "a:1", "x": 1}],
)  # fmt: skip
def test_what_is_refused_at_load(target: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Target.model_validate(target)
