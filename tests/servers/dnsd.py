"""A small real DNS server on loopback, UDP and TCP on one port, with misbehaviours by name; with ``tls`` also DoT and DoH.

    async with Dnsd({"api.test A": "192.0.2.1 192.0.2.2", "www.test CNAME": "api.test"}) as dnsd:
        resolver = Resolver(dnsd.resolv_conf(tmp_path), hosts)

Names below a known name's zone that are not known are NXDOMAIN; known names without that type are NODATA; both with an SOA.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import struct
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

MISBEHAVIOURS = (
    "drop",  # no answer at all
    "drop-udp",  # no answer over UDP (to a question that was not sent over TCP)
    "drop-first",  # no answer to the first question
    "garbage",  # the right id, then noise
    "foreign",  # wrong id, then wrong question, then another sender's lie, and then the truth
    "liar",  # only wrong ids and wrong questions
    "truncate",  # TC over UDP; the whole over TCP
    "truncate-refuse",  # TC over UDP; the connection is closed over TCP
    "servfail", "refused", "notimp",
    "bare-refused",  # REFUSED without the question
    "formerr-edns",  # FORMERR to EDNS, the answer otherwise
    "maze",  # 16 KB of compression pointers
    "huge",  # an announced length of 60,000 bytes over TCP
    "slow-tcp",  # a byte of the TCP answer every 50 ms
    "no-soa",  # a denial without SOA
    "status",  # over HTTPS: 500
    "redirect",  # over HTTPS: to somewhere else
    "page",  # over HTTPS: a page for people
    "other",  # over TLS and HTTPS: the answer to another question
)  # fmt: skip


@dataclass
class Seen:
    """One question that came in."""

    name: str
    rdtype: str
    transport: str
    port: int
    id: int
    edns: bool
    flags: int


@dataclass
class Dnsd:
    records: dict[str, str] = field(default_factory=dict)  # "name TYPE" -> values separated by spaces (or by " | ")
    behaves: dict[str, str] = field(default_factory=dict)  # "name" or "name TYPE" -> a misbehaviour
    delays: dict[str, float] = field(default_factory=dict)  # "name" or "name TYPE" -> seconds
    ttl: int = 60
    minimum: int = 30  # of the SOA: how long a denial holds
    flags: int = dns.flags.RA  # AA, AD ...
    chains: bool = True  # whether aliases are followed in the answer, as a recursive server does
    host: str = "127.0.0.1"
    seen: list[Seen] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)  # of requests over HTTPS
    port: int = 0
    tls: ssl.SSLContext | None = None
    dot: int = 0  # the ports of both
    doh: int = 0

    async def __aenter__(self) -> Dnsd:
        loop = asyncio.get_running_loop()
        self._work: set[asyncio.Task[None]] = set()
        for _ in range(20):  # a port that is free for both
            self._tcp = await asyncio.start_server(self._serve, self.host, 0)
            self.port = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), (self.host, self.port))
                break
            except OSError:
                self._tcp.close()
        self._sealed: list[asyncio.Server] = []
        if self.tls is not None:
            for serve in (functools.partial(self._serve, transport="dot"), self._page):
                self._sealed.append(await asyncio.start_server(serve, self.host, 0, ssl=self.tls))
            self.dot, self.doh = (server.sockets[0].getsockname()[1] for server in self._sealed)
        self._stranger, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, (self.host, 0))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._udp.close()
        self._stranger.close()
        for server in (self._tcp, *self._sealed):
            server.close()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await asyncio.sleep(0)

    def resolv_conf(self, folder: Path, *lines: str) -> str:
        path = folder / "resolv.conf"
        path.write_text("\n".join((f"nameserver [{self.host}]:{self.port}", *lines)) + "\n")
        return str(path)

    def asked(self, name: str, rdtype: str | None = None) -> list[Seen]:
        return [seen for seen in self.seen if seen.name == name and rdtype in (None, seen.rdtype)]

    # answering

    def _spawn(self, coroutine) -> None:  # type: ignore[no-untyped-def]
        task = asyncio.ensure_future(coroutine)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _of(self, table, name: str, rdtype: str):  # type: ignore[no-untyped-def]
        return table.get(f"{name} {rdtype}", table.get(name))

    def _note(self, query: dns.message.Message, transport: str, port: int) -> tuple[str, str]:
        question = query.question[0]
        name, rdtype = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.seen.append(Seen(name, rdtype, transport, port, query.id, query.edns >= 0, int(query.flags)))
        return name, rdtype

    def answer(self, query: dns.message.Message, name: str, rdtype: str) -> dns.message.Message:
        reply = dns.message.make_response(query, recursion_available=bool(self.flags & dns.flags.RA))
        reply.flags |= self.flags
        how = self._of(self.behaves, name, rdtype)
        if how in ("servfail", "refused", "notimp", "bare-refused"):
            reply.set_rcode(dns.rcode.from_text(how.removeprefix("bare-")))
            if how == "bare-refused":
                reply.question.clear()
            return reply
        if how == "formerr-edns" and query.edns >= 0:
            reply.use_edns(False)
            reply.set_rcode(dns.rcode.FORMERR)
            return reply
        owner = name
        for _ in range(10):
            values = self.records.get(f"{owner} {rdtype}")
            alias = self.records.get(f"{owner} CNAME")
            if values is None and alias is not None:
                reply.answer.append(dns.rrset.from_text(owner + ".", self.ttl, "IN", "CNAME", alias + "."))
                owner = alias
                if not self.chains:
                    return reply
                continue
            break
        if values is not None and rdtype == "CNAME":
            values += "."
        if values is not None:
            many = values.split(" | ") if " | " in values or rdtype not in ("A", "AAAA") else values.split()
            found = dns.rrset.from_text(owner + ".", self.ttl, "IN", rdtype, *many)
            found.__class__ = _InOrder
            reply.answer.append(found)
            return reply
        if not any(key.split()[0] == owner for key in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if how != "no-soa":
            soa = f"ns.test. admin.test. 1 3600 600 86400 {self.minimum}"
            reply.authority.append(dns.rrset.from_text("test.", self.ttl, "IN", "SOA", soa))
        return reply

    async def datagram(self, data: bytes, sender: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name, rdtype = self._note(query, "udp", sender[1])
        await asyncio.sleep(self._of(self.delays, name, rdtype) or 0)
        how = self._of(self.behaves, name, rdtype)
        if how in ("drop", "drop-udp") or (how == "drop-first" and len(self.asked(name, rdtype)) == 1):
            return
        wire = self.answer(query, name, rdtype).to_wire(max_size=65535)
        if how == "garbage":
            wire = wire[:2] + b"\x81\x80\x00\x01\xff\xff\x00\x00\x00\x00" + b"\xc1\xff" * 20
        elif how == "maze":
            wire = maze(query)
        elif how in ("truncate", "truncate-refuse", "huge", "slow-tcp"):
            wire = wire[:2] + bytes([wire[2] | 0x02]) + wire[3:]
        elif how in ("foreign", "liar"):
            lie = dns.message.make_response(query)
            lie.answer.append(dns.rrset.from_text(name + ".", 60, "IN", "A", "203.0.113.66"))
            lied = lie.to_wire()
            self._udp.sendto(bytes([lied[0] ^ 0xFF]) + lied[1:], sender)
            other = dns.message.make_query("other.test", "A", id=query.id)
            self._udp.sendto(dns.message.make_response(other).to_wire(), sender)
            self._udp.sendto(lied[:2] + b"\x01\x00" + lied[4:], sender)  # a question, not an answer
            self._stranger.sendto(lied, sender)
            await asyncio.sleep(0.02)
            if how == "liar":
                return
        self._udp.sendto(wire, sender)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transport: str = "tcp") -> None:
        self._work.add(task := asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            query = dns.message.from_wire(await reader.readexactly(length))
            name, rdtype = self._note(query, transport, writer.get_extra_info("peername")[1])
            how = self._of(self.behaves, name, rdtype)
            await asyncio.sleep(self._of(self.delays, name, rdtype) or 0)
            if how == "drop":
                await asyncio.sleep(60)
            if how != "truncate-refuse":
                wire = other(query) if how == "other" else self.answer(query, name, rdtype).to_wire(max_size=65535)
                sent = struct.pack("!H", 60000 if how == "huge" else len(wire)) + wire
                for piece in (sent[i : i + 1] for i in range(len(sent))) if how == "slow-tcp" else (sent[:1], sent[1:]):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.05 if how == "slow-tcp" else 0)
        writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()
        self._work.discard(task)  # type: ignore[arg-type]

    async def _page(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """DNS over HTTPS."""
        self._work.add(task := asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            self.heads.append(head)
            query = dns.message.from_wire(await reader.readexactly(int(head.split("content-length: ")[1].split()[0])))
            name, rdtype = self._note(query, "doh", writer.get_extra_info("peername")[1])
            how = self._of(self.behaves, name, rdtype)
            await asyncio.sleep(self._of(self.delays, name, rdtype) or 0)
            if how == "drop":
                await asyncio.sleep(60)
            wire = {"other": other, "maze": maze}[how](query) if how in ("other", "maze") else None
            wire = wire or self.answer(query, name, rdtype).to_wire(max_size=65535)
            moved = "302 Found\r\nLocation: https://127.0.0.1:1/dns-query"
            status = {"status": "500 Oops", "redirect": moved}.get(how or "", "200 OK")
            media = "text/html" if how == "page" else "application/dns-message"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {len(wire)}\r\n\r\n".encode() + wire)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()
        self._work.discard(task)  # type: ignore[arg-type]


def other(query: dns.message.Message) -> bytes:
    """A good answer to another question."""
    asked = dns.message.make_query("other.test", "A", id=query.id)
    return dns.message.make_response(asked).to_wire()


def maze(query: dns.message.Message) -> bytes:
    """An answer whose names all go through thousands of pointers."""
    head = query.to_wire()
    head = head[:2] + b"\x81\x80" + head[4:6]
    question = query.to_wire()[12:]
    start = 12 + len(question)
    # one record of 8 KB whose data is a chain of pointers, each to the one before; then records that begin at its end
    chain = b"".join(struct.pack("!H", 0xC000 | (12 if i == 0 else start + 12 + 2 * (i - 1))) for i in range(3900))
    first = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, len(chain)) + chain
    end = struct.pack("!H", 0xC000 | (start + 12 + 2 * 3899))
    record = end + struct.pack("!HHIH", 1, 1, 60, 4) + b"\xc0\x00\x02\x01"
    count = (16000 - start - len(first)) // len(record)
    return head + struct.pack("!HHH", count + 1, 0, 0) + question + first + record * count


class _InOrder(dns.rrset.RRset):
    """Records in the order of the zone: dnspython shuffles them otherwise."""

    __slots__ = ()

    def to_wire(self, *args, **options):  # type: ignore[no-untyped-def, override]
        return super().to_wire(*args, **{**options, "want_shuffle": False})


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, dnsd: Dnsd) -> None:
        self.dnsd = dnsd

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.dnsd._spawn(self.dnsd.datagram(data, addr))
