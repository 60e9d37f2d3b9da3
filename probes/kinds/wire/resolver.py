"""From a name to addresses: asynchronous, with a strict deadline, and never through libc.

``getaddrinfo`` runs in a small pool of threads and has no deadline: six hanging names made fifty healthy checks time out. So the
machine's own configuration (``/etc/hosts``, ``/etc/resolv.conf``) is read here, and its name servers are asked directly.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final, Literal

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from probes.core.fault import Fault
from probes.kinds.wire import nameserver
from probes.kinds.wire.failure import OURS, Failed, failed
from probes.kinds.wire.names import File, Settings, canonical, literal, parse_hosts
from probes.kinds.wire.nameserver import Malformed, Outcome, Reply, Server, Silence

Family = Literal["any", 4, 6]

LONGEST: Final = 3600.0
"""Seconds that an answer may be kept, whatever its TTL says."""
LONGEST_NO: Final = 60.0
"""Seconds that the answer "there is none" may be kept."""
PATIENCE: Final = 0.25
"""Seconds that one family waits for the other. RFC 8305 waits 50 ms; longer, since a change of family changes what is measured."""
RESEND: Final = 1.0
"""Seconds after which the next server is asked as well, at most."""
_CACHED: Final = 4096
_ADDRESSES: Final = 32
_CHAIN: Final = 8
_GLOBAL: Final = IPv6Network("2000::/3")
_NO_ROUTE: Final = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}
_GRAVITY: Final = (
    "probe.resources",
    "dns.nxdomain",
    "dns.servfail",
    "dns.refused",
    "dns.malformed",
    "timeout.dns",
    "probe.offline",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The addresses of a name, best first.

    Attributes:
        addresses: at least one, in canonical spelling.
        seconds: from the first question sent to the last answer received; 0.0 for a literal, ``/etc/hosts`` and a kept answer.
        ttl: seconds for which the answer holds.
    """

    addresses: tuple[str, ...]
    seconds: float
    ttl: float


@dataclass(frozen=True, slots=True)
class _Found:
    """What one question brought: addresses, or the fault; ``until`` is the steady clock's time to which it may be kept."""

    addresses: tuple[str, ...]
    fault: Fault | None
    seconds: float
    until: float


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[_Found]
    waiters: int = 0


class Resolver:
    """One per process; keeps what it learned. ``resolv_conf`` and ``hosts`` are paths."""

    def __init__(self, resolv_conf: str = "/etc/resolv.conf", hosts: str = "/etc/hosts") -> None:
        self._resolv_conf, self._hosts_file = File(resolv_conf), File(hosts)
        self._settings = Settings()
        self._hosts: dict[str, tuple[str, ...]] = {}
        self._kept: dict[tuple[str, str], _Found] = {}
        self._flights: dict[tuple[str, str, int], _Flight] = {}
        self._turn = 0

    async def resolve(self, host: str, *, timeout: float, family: Family = "any") -> Answer:  # noqa: ASYNC109  # a deadline for the fault, not only for the task
        """See :func:`resolve`."""
        address = literal(host)
        if address is not None:
            return Answer(_of_family((address,), family, host), 0.0, LONGEST)
        name = canonical(host)
        self._refresh()
        here = self._known_here(name, family)
        if here:
            return Answer(here, 0.0, LONGEST)
        deadline = time.monotonic() + timeout
        types = {"any": ("A", "AAAA"), 4: ("A",), 6: ("AAAA",)}[family]
        spent, told = 0.0, Fault("timeout.dns", _late(host, timeout))
        for full in self._candidates(name):
            found = await self._find(full, types, deadline)
            if found is None:
                raise failed("timeout.dns", _late(host, timeout))
            spent += found.seconds
            if found.fault is None:
                return Answer(found.addresses, spent, max(0.0, found.until - time.monotonic()))
            if found.fault.kind.startswith("probe."):
                raise Failed(found.fault)
            if full == name.derelativize(dns.name.root):
                told = found.fault  # of the name as it was written, not of a search domain's
        raise Failed(told)

    def _refresh(self) -> None:
        text = self._resolv_conf.changed()
        if text is not None:  # another network may see another world
            self._settings = Settings.parse(text)
            self._kept.clear()
        text = self._hosts_file.changed()
        if text is not None:
            self._hosts = parse_hosts(text)

    def _known_here(self, name: dns.name.Name, family: Family) -> tuple[str, ...]:
        text = name.to_text(omit_final_dot=True).lower()
        if text == "localhost" or text.endswith(".localhost"):  # RFC 6761, section 6.3
            addresses = tuple(address for address in ("127.0.0.1", "::1") if _source(address)) or ("127.0.0.1",)
        else:
            addresses = self._hosts.get(text, ())
        return tuple(address for address in addresses if family in ("any", ip_address(address).version))

    def _candidates(self, name: dns.name.Name) -> list[dns.name.Name]:
        """The full names to try, in order: search domains first when the name has fewer dots than ``ndots``."""
        if name.is_absolute():
            return [name]
        alone, searched = name.derelativize(dns.name.root), []
        for domain in self._settings.search:
            try:
                searched.append(name.concatenate(domain))
            except dns.exception.DNSException:  # longer than 255 bytes
                continue
        return [alone, *searched] if len(name) - 1 >= self._settings.ndots else [*searched, alone]

    def servers(self) -> tuple[Server, ...]:
        """This machine's name servers, in the order to ask them."""
        self._refresh()
        servers = self._settings.servers
        if self._settings.rotate:
            self._turn = (self._turn + 1) % len(servers)
            servers = servers[self._turn :] + servers[: self._turn]
        return servers

    async def _find(self, name: dns.name.Name, types: tuple[str, ...], deadline: float) -> _Found | None:
        """All families together; None when the deadline passed first."""
        kept = [one for rdtype in types if (one := self._kept_for(name, rdtype)) is not None]
        if len(kept) == len(types):
            return _together(kept)
        tasks = {asyncio.create_task(self._shared(name, rdtype, deadline)): rdtype for rdtype in types}
        pending: set[asyncio.Task[_Found]] = set(tasks)
        try:
            until = deadline
            while pending and time.monotonic() < until:
                done, pending = await asyncio.wait(pending, timeout=until - time.monotonic(), return_when=asyncio.FIRST_COMPLETED)
                if any(task.result().addresses for task in done):
                    until = min(until, time.monotonic() + PATIENCE)
        finally:
            for task in pending:
                task.cancel()
            if pending:
                await asyncio.gather(*pending, return_exceptions=True)
        found = [task.result() for task in tasks if task not in pending]
        whole = _together(found) if found else None
        certain = whole is not None and (whole.fault is None or whole.fault.kind == "dns.nxdomain")
        return whole if certain or not pending else None

    def _kept_for(self, name: dns.name.Name, rdtype: str) -> _Found | None:
        kept = self._kept.get((name.to_text().lower(), rdtype))
        return kept if kept is not None and kept.until > time.monotonic() else None

    async def _shared(self, name: dns.name.Name, rdtype: str, deadline: float) -> _Found:
        """What is kept, or what a question under way brings, or what a new one does. The last to leave cancels it."""
        kept = self._kept_for(name, rdtype)
        if kept is not None:
            return kept
        key = (name.to_text().lower(), rdtype, id(asyncio.get_running_loop()))
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(self._look_up(name, rdtype, deadline)))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                flight.task.cancel()
                await asyncio.wait({flight.task})

    async def _look_up(self, name: dns.name.Name, rdtype: str, deadline: float) -> _Found:
        """Ask for ``name`` and follow its aliases."""
        seconds, ttl, asked = 0.0, LONGEST, name
        for _ in range(_CHAIN):
            try:
                reply = await self._ask_servers(asked, rdtype, deadline)
                seconds += reply.seconds
                chain = reply.message.resolve_chaining()
            except Failed as failed:
                return _Found((), failed.fault, seconds, 0.0)
            except dns.exception.DNSException as error:
                return _Found((), Fault("dns.malformed", f"the answer for {asked} cannot be followed: {error}"), seconds, 0.0)
            ttl = min(ttl, float(chain.minimum_ttl))
            if chain.answer is not None:
                addresses = tuple(dict.fromkeys(str(ip_address(record.address)) for record in chain.answer))[:_ADDRESSES]
                return self._keep(name, rdtype, _Found(addresses, None, seconds, ttl))
            refused = reply.message.rcode() == dns.rcode.NXDOMAIN
            denied = any(rrset.rdtype == dns.rdatatype.SOA for rrset in reply.message.authority)
            if chain.canonical_name == asked or refused or denied:
                kind = "dns.nxdomain" if refused else "dns.no_address"
                what = "does not exist" if refused else f"has no {rdtype} record"
                alias = f" (an alias of {_plain(chain.canonical_name)})" if chain.canonical_name != name else ""
                ttl = min(LONGEST_NO, max(1.0, ttl)) if denied else 1.0
                return self._keep(name, rdtype, _Found((), Fault(kind, f"{_plain(name)}{alias} {what}"), seconds, ttl))
            asked = chain.canonical_name  # a server that gives the alias alone
        return _Found((), Fault("dns.malformed", f"the aliases of {_plain(name)} do not end after {_CHAIN}"), seconds, 0.0)

    def _keep(self, name: dns.name.Name, rdtype: str, found: _Found) -> _Found:
        """Remember ``found`` (whose ``until`` is still a TTL) and give it with its time; what is kept costs no seconds."""
        timed = replace(found, until=time.monotonic() + found.until)
        if found.until > 0:
            while len(self._kept) >= _CACHED:
                del self._kept[next(iter(self._kept))]
            key = (name.to_text().lower(), rdtype)
            self._kept.pop(key, None)
            self._kept[key] = replace(timed, seconds=0.0)
        return timed

    async def _ask_servers(self, name: dns.name.Name, rdtype: str, deadline: float) -> Reply:
        """The first useful answer. Every server gets its turns; whoever was asked before may still answer.

        Raises:
            Failed: none had a useful answer; the gravest of their faults.
        """
        settings = self._settings
        servers = self.servers()
        turns = servers * settings.attempts
        gap = min(settings.timeout, RESEND, max(0.05, (deadline - time.monotonic()) / (len(turns) + 1)))
        query = dns.message.make_query(name, rdtype)
        try:
            _, offset, reply = await nameserver.ask_in_turn(
                turns,
                query,
                "tcp" if settings.tcp else "udp",
                gap=gap,
                patience=settings.timeout,
                weigh=lambda server, outcome: _weigh(server, outcome, name),
            )
        except Silence as silence:
            faults = list(silence.faults)
            if silence.unheard:
                because = f"no name server answered for {_plain(name)}: asked {', '.join(map(str, servers))}"
                faults.append(Fault("timeout.dns", because))
            raise Failed(min(faults, key=lambda fault: _grave(fault.kind))) from None
        return replace(reply, seconds=offset + reply.connect + reply.seconds)


def _together(found: Sequence[_Found]) -> _Found:
    """What the families brought, as one: the addresses of all, or the gravest fault."""
    seconds = max(one.seconds for one in found)  # one without addresses counts as well: it was waited for
    good = [one for one in found if one.addresses]
    if good:
        addresses = _ordered(tuple(address for one in good for address in one.addresses))
        return _Found(addresses, None, seconds, min(one.until for one in good))
    faults = sorted((one.fault for one in found if one.fault), key=lambda fault: _grave(fault.kind))
    return _Found((), faults[0], seconds, 0.0)


def _weigh(server: Server, outcome: Outcome, name: dns.name.Name) -> Fault | None:
    if isinstance(outcome, Malformed):
        return Fault("dns.malformed", f"name server {server}: {outcome}")
    if isinstance(outcome, OSError):
        return own_trouble(outcome, server)
    rcode = outcome.message.rcode()
    if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return None
    kind = "dns.refused" if rcode == dns.rcode.REFUSED else "dns.servfail"
    return Fault(kind, f"name server {server} answered {dns.rcode.to_text(rcode)} for {_plain(name)}")


def own_trouble(error: OSError, server: Server) -> Fault:
    """What it means that one of this machine's own name servers cannot be asked."""
    if error.errno in OURS:
        return Fault("probe.resources", f"this machine could not ask name server {server}: {error.strerror}")
    if error.errno in _NO_ROUTE:
        return Fault("probe.offline", f"this machine has no route to its name server {server}")
    return Fault("dns.servfail", f"name server {server} could not be asked: {error.strerror or error}")


def _grave(kind: str) -> int:
    """The order in which faults are told: what is certain before what is not."""
    return _GRAVITY.index(kind) if kind in _GRAVITY else len(_GRAVITY)


def _late(host: str, timeout: float) -> str:
    return f"the name {host} was not resolved within {timeout:.3g} s"


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)


def _of_family(addresses: tuple[str, ...], family: Family, host: str) -> tuple[str, ...]:
    fitting = tuple(address for address in addresses if family in ("any", ip_address(address).version))
    if not fitting:
        raise failed("dns.no_address", f"{host} is not an IPv{family} address")
    return fitting


def _ordered(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Best first, by the rules of RFC 6724 that matter here: reachable ones, then same scope as our own address, then IPv6.

    Addresses of a family that this machine has no route for are left out, unless there is nothing else.
    """
    if len({ip_address(address).version for address in addresses}) < 2:
        return addresses
    ranks = {
        address: (source := _source(address), source is not None and _scope(source) != _scope(address)) for address in addresses
    }
    reachable = [address for address in addresses if ranks[address][0]]
    return tuple(sorted(reachable or addresses, key=lambda address: (ranks[address][1], ":" not in address)))


def _source(address: str) -> str | None:
    """The address this machine would send from, or None without a route. Connecting a datagram socket sends nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
            return str(sock.getsockname()[0])
    except OSError:
        return None


def _scope(address: str) -> str:
    """Which policy label of RFC 6724, section 2.1, the address is under, coarsely."""
    parsed = ip_address(address.partition("%")[0])
    if parsed.is_loopback:
        return "loopback"
    if isinstance(parsed, IPv6Address):
        return "global" if parsed in _GLOBAL else "local"
    return "v4"


DEFAULT = Resolver()
"""The process's own resolver."""


async def resolve(host: str, *, timeout: float, family: Family = "any") -> Answer:  # noqa: ASYNC109  # a deadline for the fault, not only for the task
    """The addresses of ``host`` within ``timeout`` seconds.

    Literals are returned as they are; ``localhost`` is loopback; ``/etc/hosts`` comes before DNS; answers are kept as long as
    their TTL allows, at most an hour, and one question serves all who ask it at the same time.

    Raises:
        Failed: ``dns.*``, ``timeout.dns``, ``ssrf.blocked`` for a disguised literal, ``probe.offline`` when this machine has no
            route to its own name servers, ``probe.resources``.
    """
    return await DEFAULT.resolve(host, timeout=timeout, family=family)
