"""The wire as an httpx transport: httpx stays the client everyone knows, the wire keeps the time.

``httpx.AsyncClient(transport=Transport())``; ``response.extensions["exchange"]`` holds what was measured.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import httpx

from probes.core.fault import Fault
from probes.kinds.wire import http2, trust
from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.http1 import Reply, Request, converse, encode
from probes.kinds.wire.link import Expired
from probes.kinds.wire.proxy import Proxy
from probes.kinds.wire.secure import Secure
from probes.kinds.wire.trust import Policy
from probes.kinds.wire.way import Channel, Way

PORTS: Final = {"http": 80, "https": 443}
_VERSIONS: Final = {"1.0": b"HTTP/1.0", "1.1": b"HTTP/1.1", "2": b"HTTP/2"}
_DEFAULT_TIMEOUT: Final = 30.0
_ERRORS: Final[tuple[tuple[str, type[httpx.TransportError]], ...]] = (
    ("timeout.response", httpx.ReadTimeout),
    ("timeout.body", httpx.ReadTimeout),
    ("timeout.", httpx.ConnectTimeout),
    ("http.", httpx.RemoteProtocolError),
    ("body.", httpx.RemoteProtocolError),
    ("conn.reset", httpx.ReadError),
    ("conn.closed", httpx.ReadError),
    ("probe.internal", httpx.LocalProtocolError),
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where a request goes and its bytes; HTTP/2 makes its own of every request."""

    host: str
    port: int
    method: bytes
    wire: bytes
    version: str


def prepare(request: httpx.Request, version: str = "1.1", proxy: Proxy | None = None) -> Prepared:
    """Work out ``request``, whose content has been read.

    Raises:
        Failed: it cannot be sent. KeyError: its scheme is neither http nor https.
    """
    url, body, method = request.url, request.content, request.method.encode("ascii", "replace")
    headers = [(name, value) for name, value in request.headers.raw if name.lower() not in (b"connection", b"transfer-encoding")]
    path = url.raw_path
    if proxy is not None and url.scheme == "http":  # a proxy is told the whole URL, and who we are
        path, headers = b"http://" + url.netloc + path, headers + proxy.credentials
    wire = b"" if version == "2" else encode(method, path, headers, body, version)
    return Prepared(url.raw_host.decode("ascii").strip("[]"), url.port or PORTS[url.scheme], method, wire, version)


@dataclass(slots=True)
class Exchange:
    """What one request wants of the wire, given in ``request.extensions["exchange"]``, and what came of it.

    Attributes:
        way: the way gone, with its deadline and phases.
        context: TLS policy for https.
        version: ``1.1``, ``1.0`` or ``2``.
        follow: the caller follows redirects, so their bodies are not read.
        prepared: the request, worked out before, so that it is not done for every run.
        replies: the answer, also one whose body broke off.
    """

    way: Way
    context: ssl.SSLContext | None = None
    version: str = "1.1"
    follow: bool = False
    prepared: Prepared | None = None
    replies: list[Reply] = field(default_factory=list)

    @property
    def reply(self) -> Reply | None:
        """The answer, or None while there is none."""
        return self.replies[0] if self.replies else None


class Unreached(httpx.TransportError):
    """A failure that httpx has no name for; ``__cause__`` is the :class:`~probes.kinds.wire.failure.Failed`."""


class _Bytes(httpx.AsyncByteStream):
    def __init__(self, data: bytearray) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield bytes(self._data)


class Transport(httpx.AsyncBaseTransport):
    """One fresh connection per request, measured by the kernel's stamps; bodies are limited to 10 MB.

    Args:
        policy: TLS policy of requests that bring no :class:`Exchange` of their own.
        loopback: whether they may visit loopback.

    Errors are httpx's; the ``__cause__`` of each is a :class:`~probes.kinds.wire.failure.Failed` with its fault.
    """

    def __init__(self, policy: Policy | None = None, *, loopback: bool = True) -> None:
        self._policy = policy or Policy(alpn=("http/1.1",))
        self._loopback = loopback

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request``. Raises httpx.TransportError."""
        exchange = request.extensions.get("exchange")
        if not isinstance(exchange, Exchange):
            exchange = self._exchange(request)
        way, context = exchange.way, exchange.context if request.url.scheme == "https" else None
        try:
            try:
                if exchange.prepared is None:
                    await request.aread()
                prepared = exchange.prepared or prepare(request, exchange.version, way.proxy)
                channel = await way.go(prepared.host, prepared.port, context)
                if prepared.version == "2":
                    require_http2(channel)
                    reply = await http2.converse(channel, way, request, exchange.replies, stop_at_redirect=exchange.follow)
                else:
                    sent = Request(prepared.method, prepared.wire, exchange.follow)
                    reply = await converse(channel, way, sent, exchange.replies)
                if way.proxy is not None and reply.status == 407:
                    raise way.proxy.refused(407, request.url.netloc.decode("ascii"))
            except Expired:
                raise way.late() from None
            finally:
                way.close()
        except Failed as error:
            raise _translated(error, request) from error
        except KeyError:
            raise httpx.UnsupportedProtocol(f"{request.url.scheme} is neither http nor https", request=request) from None
        extensions = {
            "exchange": exchange,
            "http_version": _VERSIONS[reply.version],
            "reason_phrase": reply.reason.encode(),
        }
        return httpx.Response(reply.status, headers=reply.headers, stream=_Bytes(reply.body), extensions=extensions)

    def _exchange(self, request: httpx.Request) -> Exchange:
        limits = [seconds for seconds in request.extensions.get("timeout", {}).values() if seconds]
        timeout = max(limits, default=_DEFAULT_TIMEOUT)
        way = Way(time.monotonic() + timeout, timeout, "any", self._loopback)
        return Exchange(way, trust.context(self._policy) if request.url.scheme == "https" else None)


def require_http2(channel: Channel) -> None:
    """With TLS, the server must have chosen HTTP/2 (ALPN); in the clear it is told in advance. Raises Failed."""
    if isinstance(channel, Secure) and channel.alpn != "h2":
        chosen = f"it chose {channel.alpn}" if channel.alpn else "it chose no protocol"
        raise failed("http.protocol", f"{channel.link.where} does not offer HTTP/2, which this check asks for: {chosen}")


def _translated(failure: Failed, request: httpx.Request) -> httpx.TransportError:
    kind = failure.fault.kind
    error: type[httpx.TransportError] = Unreached if failure.fault.ours else httpx.ConnectError
    error = next((known for prefix, known in _ERRORS if kind.startswith(prefix)), error)
    return error(f"{kind}: {failure}", request=request)


def fault_of(error: httpx.HTTPError) -> Fault:
    """The fault behind an error of an httpx client, ours or a stranger's (another transport, a mock)."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Failed):
            return cause.fault
        cause = cause.__cause__
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (httpx.ConnectTimeout, "timeout.connect"),
        (httpx.TimeoutException, "timeout.response"),
        (httpx.ConnectError, "conn.refused"),
        (httpx.NetworkError, "conn.reset"),
        (httpx.RemoteProtocolError, "http.protocol"),
    )
    kind = next((kind for known, kind in kinds if isinstance(error, known)), "probe.internal")
    return Fault(kind, str(error) or type(error).__name__)
