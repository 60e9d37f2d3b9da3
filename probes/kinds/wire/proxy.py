"""The way through an HTTP proxy: whole URLs for http, a tunnel (CONNECT, RFC 9110 section 9.3.6) for https.

The proxy is resolved and screened like any host. What a target's name leads to is up to the proxy and cannot be seen from here;
only an address written as such is screened.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import h11

from probes.core.address import screen
from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.link import Link
from probes.kinds.wire.names import literal

_HEAD: Final = 16_384
_INTERIM: Final = 20
_UNREACHED: Final = {502, 503, 504}


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, spoken to in the clear; what passes the tunnel is encrypted for the target."""

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        """``the proxy p.example:3128``."""
        return f"the proxy {_authority(self.host, self.port)}"

    @property
    def credentials(self) -> list[tuple[bytes, bytes]]:
        """The header that the proxy alone is sent, where it wants one."""
        if self.user is None:
            return []
        token = base64.b64encode(f"{self.user}:{self.password or ''}".encode())
        return [(b"Proxy-Authorization", b"Basic " + token)]

    @contextmanager
    def named(self) -> Iterator[None]:
        """What fails within is the proxy's, and says so."""
        try:
            yield
        except Failed as error:
            raise failed(error.fault.kind, f"{self.where}: {error.fault.because}") from error

    def screen(self, host: str, *, loopback: bool) -> None:
        """Refuse a target that is an address no probe may visit, for the proxy may well be able to. Raises Failed."""
        address = literal(host)
        refusal = screen(address, loopback=loopback) if address else None
        if refusal is not None:
            raise failed("ssrf.blocked", refusal)

    def refused(self, status: int, what: str) -> Failed:
        """The failure that the proxy's own ``status`` means."""
        try:
            said = f"{status} {HTTPStatus(status).phrase}"
        except ValueError:
            said = str(status)
        if status in _UNREACHED:
            return failed("conn.unreachable", f"{self.where} could not reach {what}: it answered {said}")
        return failed("conn.refused", f"{self.where} does not let us reach {what}: it answered {said}")

    async def tunnel(self, link: Link, host: str, port: int) -> float:
        """Have a tunnel to ``host`` opened; how long that took, in seconds.

        Raises:
            Failed: the proxy does not, or does not speak HTTP. Expired.
        """
        what = _authority(host, port)
        machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
        headers = [(b"Host", what.encode("ascii")), *self.credentials]
        try:
            wire = machine.send(h11.Request(method=b"CONNECT", target=what.encode("ascii"), headers=headers)) or b""
            wire += machine.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError as error:
            raise failed("probe.internal", f"{self.where} cannot be asked for {what}: {error}") from error
        sent = mark = link.put(wire)
        interim = 0
        try:
            while not isinstance(event := machine.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    data, mark = await link.receive()
                    if not data:
                        raise failed("conn.closed", f"{self.where} closed the connection in place of opening a tunnel to {what}")
                    machine.receive_data(data)
                interim += isinstance(event, h11.InformationalResponse)
                if interim > _INTERIM:
                    raise failed("http.protocol", f"{self.where} sent more than {_INTERIM} interim (1xx) answers")
        except h11.RemoteProtocolError as error:
            raise failed("http.malformed", f"{self.where} does not speak HTTP as it should: {error}") from error
        if not 200 <= event.status_code < 300:
            raise self.refused(event.status_code, what)
        if machine.trailing_data[0]:
            raise failed("http.protocol", f"{self.where} sent data before anything was asked through its tunnel")
        return max(0.0, mark - sent)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
