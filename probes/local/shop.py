"""The demo shop: a small service on loopback that tells a story of an outage, so that Probes has something real to look at.

It speaks JSON over HTTP and HTTPS, DNS, and a line protocol over TCP; it runs a nightly job, and it receives alerts. Everything
listens on 127.0.0.1 only and keeps its state in memory.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import httpx
import trustme
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

HOST: Final = "127.0.0.1"
PORTS: Final[Mapping[str, int]] = {"api": 9080, "secure": 9443, "database": 9432, "dns": 9053}
NAME: Final = "shop.internal.example"
# Not secrets of anyone: the shop exists for a demo, on loopback. They are handled as secrets to show how that is done.
ENVIRONMENT: Final[Mapping[str, str]] = {
    "SHOP_PASSWORD": "open-sesame",
    "SHOP_HOOK_KEY": "whsec_" + base64.b64encode(b"thirty bytes for the demo shop").decode(),
}
SLOW: Final = 0.6  # seconds a slow quote takes
KEEP: Final = 500  # orders, sessions and alerts that are remembered; the oldest go first


@dataclass(frozen=True, slots=True)
class Scene:
    """From ``at`` seconds into the story on, this is how the shop behaves; ``says`` tells the audience."""

    at: float
    says: str
    quotes: Literal["ok", "slow", "down"] = "ok"
    job: bool = True


STORY: Final = (
    Scene(0, "the shop opens; everything works"),
    Scene(10, "a bad release: pricing takes 600 ms (the checks call it degraded)", quotes="slow"),
    Scene(20, "pricing answers 503; buying a book fails with it", quotes="down"),
    Scene(36, "rolled back: pricing works again", quotes="ok"),
    Scene(42, "the nightly job hangs: no heartbeat comes", job=False),
    Scene(52, "the job runs again"),
    Scene(60, "the end: everything works; Ctrl-C stops the shop"),
)


class Shop:
    """``async with Shop(folder) as shop``: serves until the block ends.

    Args:
        folder: where the authority's certificate is written (``ca.pem``); made if it is missing.
        ports: by name as in :data:`PORTS`; 0 takes a free one. A default port that is taken is replaced by a free one.
        beat: where the nightly job reports (the address of a heartbeat check), or None for a job that does not run.
    """

    def __init__(self, folder: Path, ports: Mapping[str, int] = PORTS, beat: str | None = None) -> None:
        self.folder = folder
        self.ports = dict(ports)
        self.beat = beat
        self.scene = STORY[0]
        self.alerts: deque[dict[str, Any]] = deque(maxlen=KEEP)
        self._sessions: deque[str] = deque(maxlen=KEEP)
        self._orders: dict[str, dict[str, Any]] = {}
        self._stack = contextlib.AsyncExitStack()

    @property
    def variables(self) -> dict[str, str]:
        """What the shop's checks.yaml wants as ``--var``: addresses, and the file of the authority that signed the certificate."""
        at = {name: f"{HOST}:{port}" for name, port in self.ports.items()}
        return {
            "api": f"http://{at['api']}",
            "secure": f"https://{at['secure']}",
            "tls": at["secure"],
            "database": at["database"],
            "dns": at["dns"],
            "ca": str(self.folder.resolve() / "ca.pem"),
            "hooks": f"http://{at['api']}/hooks/alerts",
        }

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        async with contextlib.AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.aclose()

    async def play(self, story: tuple[Scene, ...], say: Callable[[str], None], pace: float = 1.0) -> None:
        """Go through the scenes, telling each as it begins; ``pace`` 0.5 plays twice as fast."""
        start = asyncio.get_running_loop().time()
        for scene in story:
            await asyncio.sleep(start + scene.at * pace - asyncio.get_running_loop().time())
            self.scene = scene
            say(scene.says)

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        app = Starlette(
            routes=[
                Route("/health", self._health),
                Route("/v1/quotes", self._quote, methods=["POST"]),
                Route("/v1/sessions", self._login, methods=["POST"]),
                Route("/v1/orders", self._order, methods=["POST"]),
                Route("/v1/orders/{id}", self._cancel, methods=["DELETE"]),
                Route("/hooks/alerts", self._alert, methods=["GET", "POST"]),
            ]
        )
        context = self._certify()
        for name, tls in (("api", None), ("secure", context)):
            listener = self._listen(name, socket.SOCK_STREAM)
            await stack.enter_async_context(_serving(uvicorn.Config(app, **_QUIET), listener, tls))
        database = await asyncio.start_server(_database, sock=self._listen("database", socket.SOCK_STREAM))
        stack.push_async_callback(_shut, database)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            _Names, sock=self._listen("dns", socket.SOCK_DGRAM)
        )
        stack.callback(transport.close)
        if self.beat:
            job = asyncio.create_task(self._nightly(self.beat), name="shop: nightly job")
            stack.push_async_callback(_cancel, job)

    def _listen(self, name: str, kind: socket.SocketKind) -> socket.socket:
        listener = socket.socket(socket.AF_INET, kind)
        if kind == socket.SOCK_STREAM:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, self.ports[name]))
        except OSError:
            listener.bind((HOST, 0))
        listener.setblocking(False)
        self.ports[name] = listener.getsockname()[1]
        return listener

    def _certify(self) -> ssl.SSLContext:
        """A new authority and certificate for each opening; only the authority's public half is left behind."""
        authority = trustme.CA(organization_name="Probes demo shop")
        expires = datetime.now(UTC) + timedelta(days=60)
        certificate = authority.issue_cert(HOST, NAME, "localhost", not_after=expires)
        authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        return context

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "orders": len(self._orders)})

    async def _quote(self, request: Request) -> Response:
        body = await _json(request)
        if self.scene.quotes == "down":
            return JSONResponse({"error": "pricing is not available"}, 503)
        if self.scene.quotes == "slow":
            await asyncio.sleep(SLOW)
        quantity = body.get("quantity")
        if not isinstance(body.get("sku"), str) or not isinstance(quantity, int) or not 1 <= quantity <= 100:
            return JSONResponse({"error": "a quote needs a sku and a quantity of 1 to 100"}, 422)
        return JSONResponse(
            {"items": [{"id": body["sku"], "quantity": quantity}], "total": 19.5 * quantity, "currency": "EUR"}, 201
        )

    async def _login(self, request: Request) -> Response:
        body = await _json(request)
        if body.get("password") != ENVIRONMENT["SHOP_PASSWORD"]:
            return JSONResponse({"error": "unknown user or wrong password"}, 401)
        self._sessions.append(os.urandom(16).hex())
        return JSONResponse({"access_token": self._sessions[-1], "user": body.get("user")})

    async def _order(self, request: Request) -> Response:
        if not self._known(request):
            return JSONResponse({"error": "log in first"}, 401)
        if self.scene.quotes == "down":
            return JSONResponse({"error": "no price for this basket"}, 503)
        body, order = await _json(request), os.urandom(6).hex()
        self._orders[order] = {"id": order, "sku": body.get("sku"), "reference": body.get("reference")}
        while len(self._orders) > KEEP:
            del self._orders[next(iter(self._orders))]
        return JSONResponse(self._orders[order], 201)

    async def _cancel(self, request: Request) -> Response:
        if not self._known(request):
            return JSONResponse({"error": "log in first"}, 401)
        return Response(status_code=204 if self._orders.pop(request.path_params["id"], None) else 404)

    async def _alert(self, request: Request) -> Response:
        """Receives alerts as a Standard Webhooks receiver must: signed within five minutes, or refused."""
        if request.method == "GET":
            return JSONResponse(list(self.alerts))
        body, head = await request.body(), request.headers
        stamp = head.get("webhook-timestamp", "")
        if not stamp.isdigit() or abs(time.time() - int(stamp)) > 300 or not _signed(head, body):
            return JSONResponse({"error": "the signature does not fit"}, 401)
        self.alerts.append({"id": head["webhook-id"], "body": await _json(request)})
        return Response(status_code=204)

    def _known(self, request: Request) -> bool:
        return request.headers.get("authorization", "").removeprefix("Bearer ") in self._sessions

    async def _nightly(self, address: str) -> None:
        """The nightly job, every second: reports to its heartbeat check unless the scene has it hang."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while True:
                if self.scene.job:
                    with contextlib.suppress(httpx.HTTPError):  # the page may not be up yet
                        await client.post(address, params={"status": "ok"})
                await asyncio.sleep(1)


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _signed(head: Mapping[str, str], body: bytes) -> bool:
    """Standard Webhooks: HMAC-SHA256 over ``id.timestamp.body``, base64, after ``v1,``; one of several may fit."""
    key = base64.b64decode(ENVIRONMENT["SHOP_HOOK_KEY"].removeprefix("whsec_"))
    signed = f"{head.get('webhook-id', '')}.{head.get('webhook-timestamp', '')}.".encode() + body
    want = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(want, given) for given in head.get("webhook-signature", "").split())


async def _database(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greets, answers PING with PONG, and hangs up after a minute of silence or at the first other word."""
    with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        writer.write(b"shopdb 1.0 ready\r\n")
        await writer.drain()
        while (await asyncio.wait_for(reader.readline(), 60)).strip() == b"PING":
            writer.write(b"PONG\r\n")
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


class _Names(asyncio.DatagramProtocol):
    """A name server that knows one name: A is loopback, AAAA is empty, any other name does not exist."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # the loop's own class does not inherit it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        with contextlib.suppress(dns.exception.DNSException, IndexError, NotImplementedError):
            question = dns.message.from_wire(data)
            answer = dns.message.make_response(question, recursion_available=True)
            answer.flags |= dns.flags.AA
            asked = question.question[0]
            if asked.name.to_text(omit_final_dot=True).lower() != NAME:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            elif asked.rdtype == dns.rdatatype.A:
                answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "A", HOST))
            self.transport.sendto(answer.to_wire(), addr)


_QUIET: Final[dict[str, Any]] = {
    "log_config": None,
    "access_log": False,
    "lifespan": "off",
    "ws": "none",
    "timeout_graceful_shutdown": 1,
}


class _Server(uvicorn.Server):
    """A server whose owner handles the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _serving(config: uvicorn.Config, listener: socket.socket, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
    """Serve ``config.app`` on a bound socket while the block lasts."""
    config.load()
    config.ssl = tls
    listener.listen(128)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="shop: web")
    while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event to wait for
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        await task


async def _shut(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
