"""One question to a name server that nobody on the way can read: over TLS (RFC 7858) or over HTTPS (RFC 8484)."""

from __future__ import annotations

import ssl
import struct
from typing import Final

import dns.message
import httpx

from probes.kinds.wire import nameserver
from probes.kinds.wire.exchange import AGENT
from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.link import Expired
from probes.kinds.wire.nameserver import LARGEST, Malformed
from probes.kinds.wire.transport import Exchange, Transport, fault_of
from probes.kinds.wire.way import Way

MEDIA: Final = "application/dns-message"


async def over_tls(
    way: Way, host: str, port: int, query: dns.message.Message, context: ssl.SSLContext, name: str | None
) -> tuple[dns.message.QueryMessage, int]:
    """The answer of the name server at ``host`` (called ``name`` in its certificate), and its bytes.

    Raises:
        Failed: why there is none; ``timeout.*`` as well.
    """
    try:
        channel = await way.go(host, port, context, name)
        wire = query.to_wire()
        sent = channel.put(struct.pack("!H", len(wire)) + wire)
        got, mark = b"", sent
        while len(got) < 2 or len(got) < 2 + int.from_bytes(got[:2]):
            if len(got) >= 2 and int.from_bytes(got[:2]) > LARGEST:
                raise failed("dns.malformed", f"{way.where}: the answer has {int.from_bytes(got[:2])} bytes, above {LARGEST}")
            data, mark = await channel.receive()
            if not data:
                raise failed("conn.closed", f"{way.where} closed the connection before it had answered")
            got += data
    except Expired:
        raise way.late() from None
    way.phases["wait"] = max(0.0, mark - sent)
    return _read(got[2 : 2 + int.from_bytes(got[:2])], query, way)


async def over_https(
    way: Way, url: str, query: dns.message.Message, context: ssl.SSLContext
) -> tuple[dns.message.QueryMessage, int]:
    """The answer of the resource at ``url``, and its bytes. Redirects are not followed. Raises as :func:`over_tls` does."""
    query.id = 0  # so that answers to the same question are the same (RFC 8484, section 4.1)
    exchange = Exchange(way, context)
    headers = {"accept": MEDIA, "content-type": MEDIA, "user-agent": AGENT}
    request = httpx.Request("POST", url, content=query.to_wire(), headers=headers, extensions={"exchange": exchange})
    try:
        await Transport().handle_async_request(request)
    except httpx.HTTPError as error:
        raise Failed(fault_of(error)) from error
    reply = exchange.reply
    assert reply is not None  # that transport was our own
    media = (reply.header(b"content-type") or "nothing").partition(";")[0].strip().lower()
    if reply.status != 200:
        raise failed("http.protocol", f"{way.where} answered status {reply.status} where a name server answers 200")
    if media != MEDIA:
        raise failed("dns.malformed", f"{way.where} answered with {media[:60]!r}, not {MEDIA}")
    return _read(bytes(reply.body), query, way)


def _read(wire: bytes, query: dns.message.Message, way: Way) -> tuple[dns.message.QueryMessage, int]:
    try:
        message = nameserver.read(wire, query)
    except Malformed as error:
        raise failed("dns.malformed", f"name server {way.where}: {error}") from None
    if message is None:
        raise failed("dns.malformed", f"name server {way.where}: the answer is to another question")
    return message, len(wire)
