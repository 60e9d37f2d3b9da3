"""From plain words to TLS on one port: what is said before the handshake of mail and of PostgreSQL.

RFC 3207 (SMTP), RFC 9051, section 6.2.1 (IMAP); "SSL Session Encryption" of PostgreSQL's frontend/backend protocol.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.link import Link
from probes.kinds.wire.way import Way

Protocol = Literal["smtp", "imap", "postgres"]
LARGEST: Final = 65536
"""Bytes that are read before TLS begins."""
GOODBYE: Final[dict[Protocol, bytes]] = {"smtp": b"QUIT\r\n", "imap": b"b LOGOUT\r\n", "postgres": b""}
"""What is polite to say at the end, inside TLS, so that no log complains of us."""
_SSL_REQUEST: Final = struct.pack("!II", 8, 80877103)
_SHOWN: Final = 80


class _Talk:
    """Lines of plain text over a link; what was waited for them is the way's ``wait``."""

    def __init__(self, way: Way, link: Link) -> None:
        self._way, self._link = way, link
        self._got = bytearray()
        self._read = 0
        self._since = way.opened
        way.phases["wait"] = 0.0

    def say(self, data: bytes) -> None:
        self._since = self._link.put(data)

    async def _more(self) -> None:
        data, mark = await self._link.receive()
        if not data:
            raise failed("conn.closed", f"{self._way.where} closed the connection before TLS began")
        self._way.phases["wait"] += max(0.0, mark - self._since)
        self._since = max(mark, self._since)
        self._read += len(data)
        if self._read > LARGEST:
            raise failed("body.too_large", f"{self._way.where} sent more than {LARGEST // 1024} KB before TLS began")
        self._got += data

    async def take(self, count: int) -> bytes:
        """So many bytes."""
        while len(self._got) < count:
            await self._more()
        taken = bytes(self._got[:count])
        del self._got[:count]
        return taken

    async def line(self) -> str:
        """A line, without its end."""
        start = 0
        while (end := self._got.find(b"\n", start)) < 0:
            start = len(self._got)
            await self._more()
        return (await self.take(end + 1)).decode("utf-8", "replace").rstrip("\r\n")

    def done(self) -> None:
        """Nothing may follow in plain text: it would be taken for the server's word under TLS (CVE-2011-0411, CVE-2021-23222)."""
        if self._got:
            raise failed("tls.handshake", f"{self._way.where} said more in plain text after it had agreed to TLS")

    def refused(self, protocol: str, said: str) -> Failed:
        return failed("tls.not_tls", f"{self._way.where} does not begin TLS over {protocol}; it said {said[:_SHOWN]!r}")


async def ask(protocol: Protocol, way: Way, link: Link) -> None:
    """Have the server begin TLS on ``link``, just opened by ``way``.

    Raises:
        Failed: ``tls.not_tls`` where it will not; ``conn.*``. Expired.
    """
    talk = _Talk(way, link)
    await _PROTOCOLS[protocol](talk)
    talk.done()


async def _reply(talk: _Talk, wanted: int) -> list[str]:
    """The lines of an SMTP reply, which is of that code."""
    lines: list[str] = []
    while True:
        line = await talk.line()
        if not re.match(rf"{wanted}(?:[ -]|$)", line):
            raise talk.refused("SMTP", line)
        lines.append(line[4:].strip())
        if line[3:4] != "-":
            return lines


async def _smtp(talk: _Talk) -> None:
    await _reply(talk, 220)
    talk.say(b"EHLO localhost\r\n")
    offered = await _reply(talk, 250)
    if "STARTTLS" not in (line.upper() for line in offered):
        raise talk.refused("SMTP", ", ".join(offered[1:]))
    talk.say(b"STARTTLS\r\n")
    await _reply(talk, 220)


async def _imap(talk: _Talk) -> None:
    greeting = await talk.line()
    if not greeting.upper().startswith("* OK"):
        raise talk.refused("IMAP", greeting)
    talk.say(b"a STARTTLS\r\n")
    while (line := await talk.line())[:2] != "a ":
        if not line.startswith("* ") or line.upper().startswith("* BYE"):
            raise talk.refused("IMAP", line)
    if not line.upper().startswith("A OK"):
        raise talk.refused("IMAP", line)


async def _postgres(talk: _Talk) -> None:
    talk.say(_SSL_REQUEST)
    answer = await talk.take(1)
    if answer != b"S":
        raise talk.refused("PostgreSQL", answer.decode("latin-1"))


_PROTOCOLS: Final[dict[Protocol, Callable[[_Talk], Awaitable[None]]]] = {"smtp": _smtp, "imap": _imap, "postgres": _postgres}
