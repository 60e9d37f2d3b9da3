"""The way to a host: resolve, screen, connect, shake hands; each phase timed, and noted also when the way ends early."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from probes.core.address import screen
from probes.kinds.wire import certificate, resolver
from probes.kinds.wire.failure import Failed, failed, late
from probes.kinds.wire.link import Expired, Link, connect
from probes.kinds.wire.names import literal
from probes.kinds.wire.proxy import Proxy
from probes.kinds.wire.secure import Secure

Family = Literal["any", 4, 6]
Channel = Link | Secure
_GRACE: Final = 0.25
_screen = lru_cache(maxsize=4096)(screen)
_literal = lru_cache(maxsize=4096)(literal)


@dataclass(slots=True)
class Way:
    """One way to one place, filled in as it is gone.

    Attributes:
        deadline: :func:`time.monotonic` seconds at which the run must be over; ``timeout`` is what was granted, for messages.
        family: of the address wanted.
        loopback: whether loopback may be visited.
        phase: what is under way.
        phases: seconds of what was completed.
        ip: the address connected to, or tried.
        clock: ``loop`` as soon as one wait was not stamped by the kernel.
        chain: certificates the server sent (DER).
        version: of TLS; ``cipher`` its suite.
        began: mark before the name was looked up, :func:`time.monotonic` seconds; 0.0 before.
        ended: mark of the last arrival; 0.0 before it was closed.
        opened: when the connection was open.
        proxy: through which the way leads; then ``resolve``, ``connect`` and ``ip`` are the proxy's, and ``tunnel`` is the part of
            ``connect`` that the proxy took to reach the host.
    """

    deadline: float
    timeout: float
    family: Family = "any"
    loopback: bool = True
    phase: str = "resolve"
    phases: dict[str, float] = field(default_factory=dict)
    ip: str | None = None
    port: int = 0
    clock: Literal["kernel", "loop"] = "loop"
    chain: tuple[bytes, ...] = ()
    version: str | None = None
    cipher: str | None = None
    channel: Channel | None = None
    began: float = 0.0
    ended: float = 0.0
    opened: float = 0.0
    proxy: Proxy | None = None
    tunnel: float | None = None
    beyond: str | None = None

    async def go(self, host: str, port: int, context: ssl.SSLContext | None = None, name: str | None = None) -> Channel:
        """Open the channel to ``host`` (a name, or an address without brackets); TLS with ``context``, for ``name``.

        Raises:
            Failed: why it could not be opened. Expired: to be turned into words by :meth:`late`.
        """
        if self.proxy is None:
            link = await self._open(host, port)
        else:
            link = await self._through(self.proxy, host, port, tunnel=context is not None)
        self.phase = "wait"
        return link if context is None else await self.secure(link, context, name or host)

    async def secure(self, link: Link, context: ssl.SSLContext, name: str) -> Secure:
        """Speak TLS over the open ``link`` from here on, with the server called ``name``. Raises as :meth:`go` does."""
        self.phase = "tls"
        secure = self.channel = Secure(link, context, name.rstrip("."))
        try:
            await secure.handshake()
        finally:
            self.chain, self.version, self.cipher = secure.chain, secure.version, secure.cipher
            if secure.chain:  # also when it was not accepted: the server had done its part
                self.phases["tls"] = secure.seconds
        self.phase = "wait"
        return secure

    async def _open(self, host: str, port: int) -> Link:
        self.port = port
        addresses = await self.addresses(host)
        self.phase, self.ip = "connect", addresses[0]
        link = await connect(addresses, port, self.deadline)
        self.channel = link
        if len(addresses) == 1:  # our own few steps between the last answer about the name and the first packet are nobody's
            self.began = link.dialled - self.phases["resolve"]
        self.ip, self.clock = link.address, link.clock
        self.phases["connect"], self.opened = link.connect, link.dialled + link.connect
        return link

    async def _through(self, proxy: Proxy, host: str, port: int, *, tunnel: bool) -> Link:
        proxy.screen(host, loopback=self.loopback)
        with proxy.named():
            link = await self._open(proxy.host, proxy.port)
        link.beyond = proxy.where
        if tunnel:
            self.tunnel = await proxy.tunnel(link, host, port)
            self.phases["connect"] += self.tunnel
            self.opened += self.tunnel
        self.beyond = link.beyond = f"{host} through {proxy.where}"
        return link

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of ``host``, every one of which may be visited. Raises as :meth:`go` does."""
        self.began = time.monotonic()
        left = self.deadline - self.began
        if left <= 0:
            raise Expired
        address = _literal(host)
        if address is not None and self.family in ("any", 6 if ":" in address else 4):
            addresses: tuple[str, ...] = (address,)
            self.phases["resolve"] = 0.0
        else:
            try:
                async with asyncio.timeout(left + _GRACE):
                    answer = await resolver.resolve(host, timeout=left, family=self.family)
            except TimeoutError:
                raise Expired from None
            addresses = answer.addresses
            self.phases["resolve"] = answer.seconds
        for address in addresses:
            refusal = _screen(address, loopback=self.loopback)
            if refusal is not None:
                self.ip = address
                raise failed("ssrf.blocked", f"{host}: {refusal}" if host != address else refusal)
        return addresses

    @property
    def where(self) -> str:
        """``10.0.0.7:443``, as far as known."""
        if self.proxy is not None:
            return self.beyond or self.proxy.where
        if self.ip is None:
            return "no address yet"
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    def late(self) -> Failed:
        """The failure that a deadline passing now means."""
        return late(self.phase, self.where, self.timeout)

    def close(self) -> None:
        """Close the channel, if one was opened, and note which clock stamped it."""
        if self.channel is not None:
            link = self.channel.link if isinstance(self.channel, Secure) else self.channel
            self.clock, self.ended = link.clock, link.arrived
            self.channel.close()

    def certificate(self) -> dict[str, Any]:
        """The facts of the server's certificate; none without TLS."""
        return certificate.facts(self.chain)
