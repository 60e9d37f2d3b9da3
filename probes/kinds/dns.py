"""``dns``: one question to one name server; what it answered is the fact, also when it is "there is no such name"."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset
from pydantic import AfterValidator, Field, model_validator

from probes.core.address import screen
from probes.core.fault import Fault
from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import Observation
from probes.core.shapes import complain
from probes.core.units import Duration, Size
from probes.kinds.wire import nameserver, resolver, trust
from probes.kinds.wire.failure import Failed, failed, system
from probes.kinds.wire.look import Look, look
from probes.kinds.wire.names import literal
from probes.kinds.wire.nameserver import Malformed, Outcome, Reply, Server, Silence
from probes.kinds.wire.target import Text
from probes.kinds.wire.trust import Policy
from probes.kinds.wire.way import Way

Transport = Literal["udp", "tcp", "dot", "doh"]
Type = Literal["A", "AAAA", "CNAME", "MX", "NS", "TXT", "SRV", "SOA", "CAA", "PTR"]
TYPES: Final = ("A", "AAAA", "CNAME", "MX", "NS", "TXT", "SRV", "SOA", "CAA", "PTR")
PAYLOAD: Final = 1232
"""Bytes of datagram we say we can take: what passes every path unfragmented (DNS flag day 2020)."""
ATTEMPTS: Final = 3
"""Questions sent to a server that stays silent, spread over the deadline: a datagram may be lost."""
PORTS: Final = {"udp": 53, "tcp": 53, "dot": 853}
_PATH: Final = "/dns-query"
_CASELESS: Final = frozenset({"CNAME", "MX", "NS", "SRV", "SOA", "PTR"})
_FAULTS: Final = {"NXDOMAIN": "dns.nxdomain", "REFUSED": "dns.refused"}

FACTS: Final = {
    "rcode": Fact("text", "response code: NOERROR, NXDOMAIN, SERVFAIL, REFUSED ..."),
    "answers": Fact(
        "list", "the records, sorted, names without their last dot (`10 mail.shop.example`); empty when there are none"
    ),
    "ttl": Fact("duration", "the shortest time to live among the records and aliases of the answer"),
    "authenticated": Fact("boolean", "the server has verified the answer by DNSSEC (AD)"),
    "authoritative": Fact("boolean", "the server is an authority for the name (AA)"),
    "truncated": Fact("boolean", "the answer did not fit into a datagram, and was asked for again over TCP"),
    "size": Fact("size", "bytes of the answer"),
    "ip": Fact("text", "address of the server that answered"),
    "family": Fact("number", "4 or 6: of that address"),
    "latency": Fact("duration", "connect + tls + wait + receive, as the network took it"),
    "total": Fact("duration", "from the start of all to the end, with finding the server's address"),
    "resolve": Fact("duration", "finding the server's address"),
    "connect": Fact("duration", "opening the connection, but over UDP"),
    "tls": Fact("duration", "the TLS handshake, over TLS and HTTPS"),
    "wait": Fact("duration", "from the question sent to the answer received, over HTTPS to its first byte"),
    "receive": Fact("duration", "from the answer's first byte to its last, over HTTPS"),
}


def _name(text: str) -> str:
    if "${{" not in text:
        try:
            question(text)
        except ValueError as error:
            raise complain("value", str(error)) from None
    return text


def _server(text: str) -> str:
    if "${{" in text:
        return text
    try:
        host = _of_url(text) if text.startswith("https://") else place(text)[0]
        address = literal(host)
    except ValueError as error:
        raise complain("address", str(error)) from None
    except Failed as error:
        raise complain("address", error.fault.because) from None
    reason = screen(address, loopback=True) if address else None
    if reason:
        raise complain("ssrf", reason)
    return text


def _of_url(text: str) -> str:
    """The host of a URL. Raises ValueError."""
    url = urlsplit(text)
    if not url.hostname or "@" in url.netloc or re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError(f"{text[:80]!r} is not the URL of a name server: write https://dns.example/dns-query")
    if url.port == 0:
        raise ValueError("0 is not a port: it is 1 to 65535")
    return url.hostname


class Target(Shape):
    """One question.

    Attributes:
        name: what is asked for; an IP address for PTR.
        type: of the records.
        server: name server, ``host`` or ``host:port``, with ``doh`` also a URL; without one, this machine's own are asked in turn.
        port: of the server, where ``server`` does not say.
        transport: over UDP the question is asked again over TCP when the answer does not fit; ``dot`` is DNS over TLS, ``doh`` over
            HTTPS, where a server that is a host is asked at ``/dns-query``.
        ca: with ``dot`` and ``doh``, file or PEM text of the trust anchors, in place of the system's.
        server_name: with ``dot``, the name in the server's certificate, where it is not ``server``'s.
        recursion: ask the server to find out what it does not know.
        dnssec: ask for DNSSEC's signatures.
    """

    name: Annotated[str, AfterValidator(_name)]
    type: Type = "A"
    server: Annotated[str, AfterValidator(_server)] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    transport: Transport = "udp"
    ca: str | None = None
    server_name: Text | None = None
    recursion: bool = True
    dnssec: bool = False

    @model_validator(mode="after")
    def _together(self) -> Target:
        if self.transport in ("udp", "tcp") and (self.ca or self.server_name):
            raise complain("value", f"`ca` and `server_name` are for TLS, and there is none over {self.transport}")
        if self.transport == "doh" and self.server_name:
            raise complain("value", "`server_name` is for dot; with doh it is the host of the URL")
        if self.transport in ("dot", "doh") and self.server is None:
            raise complain("missing-key", f"`{self.transport}` needs a `server`: this machine's own need not speak it")
        if self.transport != "doh" and (self.server or "").startswith("https://"):
            raise complain("value", "a server that is a URL is asked by transport: doh")
        return self


def short(text: Any) -> dict[str, Any]:
    """``A api.shop.example @1.1.1.1``: the type and the server may be left out; ``@tls://1.1.1.1`` is ``dot``."""
    words = _words(text) if isinstance(text, str) else []
    target: dict[str, Any] = {}
    if words and words[-1].startswith("@"):
        target |= _at(words.pop()[1:])
    if len(words) == 2:
        if words[0].upper() not in TYPES:
            raise ValueError(f"{words[0]} is not one of the record types {', '.join(TYPES)}")
        target["type"] = words.pop(0).upper()
    if len(words) != 1 or target.get("server") == "":
        raise ValueError("write what to ask for: type, name and @server, such as A api.shop.example @1.1.1.1")
    return {"name": words[0], **target}


def _at(server: str) -> dict[str, Any]:
    """``tls://1.1.1.1`` and ``https://dns.example/dns-query`` say the transport as well."""
    if server.startswith("https://"):
        return {"server": server, "transport": "doh"}
    return {"server": server[6:], "transport": "dot"} if server.startswith("tls://") else {"server": server}


def _words(text: str) -> list[str]:
    """Split at spaces, but not those inside ``${{ var.dns }}``."""
    return re.findall(r"(?:\$\{\{.*?\}\}|\S)+", text)


def place(text: str) -> tuple[str, int | None]:
    """Host and port of ``host``, ``host:port``, ``[address]:port`` or a bare IPv6 address. Raises ValueError."""
    match = re.fullmatch(r"\[([0-9A-Fa-f:.%\w]+)\](?::(\d{1,5}))?|([^:\s\[\]/@]+)(?::(\d{1,5}))?", text)
    if match is None:
        try:
            return str(ip_address(text)), None
        except ValueError:
            raise ValueError(f"{text!r} is not a server: write a host, host:port or [address]:port") from None
    port = match[2] or match[4]
    if port is not None and not 1 <= int(port) <= 65535:
        raise ValueError(f"{port} is not a port: it is 1 to 65535")
    return match[1] or match[3], int(port) if port else None


def question(name: str, rdtype: str = "A") -> dns.name.Name:
    """The name that goes on the wire; for PTR an IP address becomes its reverse name. Raises ValueError."""
    try:
        if not name:
            raise ValueError("it is empty")
        if rdtype == "PTR" and re.fullmatch(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", name):
            return dns.reversename.from_address(name)
        return dns.name.from_unicode(name, idna_codec=dns.name.IDNA_2008_Practical)
    except (dns.exception.DNSException, UnicodeError, ValueError) as error:
        raise ValueError(f"{name!r} cannot be asked for: {error}") from None


async def probe(target: Target, context: Context) -> Observation:
    """Ask once; the response code is a fact, and a fault as well unless it is NOERROR."""
    return await look(context, partial(_probe, target))


async def _probe(target: Target, seen: Look) -> None:
    asked = question(target.name, target.type)
    query = dns.message.make_query(asked, target.type, use_edns=0, payload=PAYLOAD, want_dnssec=target.dnssec)
    query.flags |= dns.flags.AD  # "tell me whether it is authentic" (RFC 6840, section 5.7)
    if not target.recursion:
        query.flags &= ~dns.flags.RD
    message = await (_clear if target.transport in ("udp", "tcp") else _encrypted)(target, query, seen)
    _note(target, message, seen)
    rcode = seen.facts["rcode"]
    if rcode != "NOERROR":
        because = f"name server {seen.evidence['server']} answered {rcode} for {target.type} {target.name}"
        raise failed(_FAULTS.get(rcode, "dns.servfail"), because)


async def _clear(target: Target, query: dns.message.Message, seen: Look) -> dns.message.QueryMessage:
    """The answer over UDP or TCP."""
    way = seen.way()
    servers = await _servers(target, seen, way)
    server, reply = await _ask(target, servers, query, seen, way)
    if reply.message.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP) and reply.message.edns < 0:
        query.use_edns(False)  # a server from before EDNS (RFC 6891, section 7)
        server, reply = await _ask(target, servers, query, seen, way)
    seen.facts |= {"truncated": reply.truncated, "size": Size(reply.size)}
    seen.evidence["server"] = str(server)
    return reply.message


async def _encrypted(target: Target, query: dns.message.Message, seen: Look) -> dns.message.QueryMessage:
    """The answer over TLS or HTTPS."""
    from probes.kinds.wire import encrypted  # with httpx, which others need not wait for

    https = target.transport == "doh"
    context = trust.context(Policy(target.ca, alpn=("http/1.1",) if https else ()), seen.context.base)
    seen.restart()
    way = seen.way()
    try:
        if https:
            message, size = await encrypted.over_https(way, address(target), query, context)
        else:
            host, port = _place(target)
            message, size = await encrypted.over_tls(way, host, port or PORTS["dot"], query, context, target.server_name)
    except Failed as error:
        if error.fault.kind in ("timeout.response", "timeout.body"):
            raise _silent(target, way.where, seen) from error
        raise
    seen.whole = True
    seen.facts |= {"truncated": False, "size": Size(size)}
    seen.evidence["server"] = way.where
    return message


def address(target: Target) -> str:
    """The URL that is asked over HTTPS. Raises Failed."""
    if target.server is not None and target.server.startswith("https://"):
        return target.server
    host, port = _place(target)
    return f"https://{f'[{host}]' if ':' in host else host}:{port or 443}{_PATH}"


def _place(target: Target) -> tuple[str, int | None]:
    """Host and port of the server, as far as they are said. Raises Failed."""
    try:
        host, port = place(target.server or "")
    except ValueError as error:
        raise failed("dns.nxdomain", str(error)) from None
    return host, port or target.port


def _silent(target: Target, who: str, seen: Look) -> Failed:
    because = f"name server {who} did not answer {target.type} {target.name} within {seen.context.timeout:g}s"
    return failed("timeout.dns", because)


async def _servers(target: Target, seen: Look, way: Way) -> tuple[Server, ...]:
    """Whom to ask: the server that was named, resolved and screened, or this machine's own, which are trusted."""
    if target.server is None:
        return tuple(replace(server, port=target.port or server.port) for server in resolver.DEFAULT.servers())
    host, port = _place(target)
    return (Server((await way.addresses(host))[0], port or PORTS[target.transport]),)


async def _ask(
    target: Target, servers: tuple[Server, ...], query: dns.message.Message, seen: Look, way: Way
) -> tuple[Server, Reply]:
    """Who answered first, and what, whatever it says; noted in ``way``, as nothing went it."""
    left = seen.deadline - time.monotonic()
    named = target.server is not None
    turns = servers * (ATTEMPTS if target.transport == "udp" else 1)
    who = ", ".join(map(str, servers))
    try:
        async with asyncio.timeout(left):
            server, _, reply = await nameserver.ask_in_turn(
                turns,
                query,
                "tcp" if target.transport == "tcp" else "udp",
                gap=left / (len(turns) + 1),
                patience=left,
                weigh=partial(_weigh, named),
            )
    except TimeoutError:
        raise _silent(target, who, seen) from None
    except Silence as silence:
        raise Failed(silence.faults[0]) from None
    way.ip, way.port, way.clock, seen.whole = server.address, server.port, reply.clock, True
    way.phases |= {"wait": reply.seconds} | ({"connect": reply.connect} if reply.connect else {})
    return server, reply


def _weigh(named: bool, server: Server, outcome: Outcome) -> Fault | None:
    if isinstance(outcome, Malformed):
        return Fault("dns.malformed", f"name server {server}: {outcome}")
    if isinstance(outcome, OSError):
        return system(outcome, str(server)).fault if named else resolver.own_trouble(outcome, server)
    return None


def _note(target: Target, message: dns.message.QueryMessage, seen: Look) -> None:
    seen.facts |= {
        "rcode": dns.rcode.to_text(message.rcode()),
        "authenticated": bool(message.flags & dns.flags.AD),
        "authoritative": bool(message.flags & dns.flags.AA),
        "answers": [],
    }
    server = seen.evidence["server"]
    try:
        chain = message.resolve_chaining() if message.question else None
    except dns.exception.DNSException as error:
        raise failed("dns.malformed", f"name server {server}: the aliases in the answer lead nowhere: {error}") from None
    if chain is not None and chain.answer is not None:
        seen.facts["answers"] = sorted({text(record, target.type) for record in chain.answer})
        seen.facts["ttl"] = Duration(chain.minimum_ttl)
    if chain is not None and chain.cnames:
        seen.evidence["aliases"] = [_plain(rrset[0].target) for rrset in chain.cnames]
    seen.evidence |= {"answers": seen.facts["answers"][:20], "flags": dns.flags.to_text(message.flags)}


def text(record: Any, rdtype: str) -> str:
    """A record as people write it: names without the last dot and in lower case, the pieces of a TXT joined."""
    if rdtype == "TXT":
        return b"".join(record.strings).decode("utf-8", "backslashreplace")
    words = str(record.to_text(origin=dns.name.root, relativize=True)).split(" ")
    plain = " ".join("." if word == "@" else word for word in words)
    return plain.lower() if rdtype in _CASELESS else plain


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def describe(target: Mapping[str, Any]) -> str:
    """``A api.shop.example @1.1.1.1``."""
    scheme = "tls://" if target.get("transport") == "dot" else ""
    server = f" @{scheme}{target['server']}" if target.get("server") else ""
    return f"{target.get('type', 'A')} {target.get('name', '')}{server}"


KIND: Final = Kind(
    name="dns",
    summary="Asks a name server, and states what it answered.",
    target=Target,
    short=short,
    example="A api.shop.example @1.1.1.1",
    facts=FACTS,
    must=('rcode == "NOERROR"',),
    probe=probe,
    describe=describe,
)
