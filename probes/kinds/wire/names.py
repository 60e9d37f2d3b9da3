"""What this machine says about names: its resolv.conf, its hosts file, and what counts as an address or a name at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

import dns.exception
import dns.name

from probes.kinds.wire.failure import failed
from probes.kinds.wire.nameserver import Server


def literal(host: str) -> str | None:
    """The canonical spelling of an IP address, or None for a name.

    Raises:
        Failed: ``ssrf.blocked`` for ``0x7f.1``, ``2130706433`` and the like. Browsers and libc read these as addresses, so they
            serve to slip past a screen; nobody has to write them.
    """
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return str(ip_address(text if ":" in text else text.removesuffix(".")))
    except ValueError:
        pass
    last = text.removesuffix(".").rpartition(".")[2]
    if re.fullmatch(r"\d+|0[xX][0-9a-fA-F]*", last):  # what WHATWG's URL standard calls "ends in a number"
        because = f"{host!r} is an odd spelling of an address: write it as 192.0.2.1 or 2001:db8::1"
        raise failed("ssrf.blocked", because)
    return None


def canonical(host: str) -> dns.name.Name:
    """The name that is asked for, IDNA applied; relative unless it ends in a dot. Raises :class:`Failed`."""
    try:
        name = dns.name.from_unicode(host, origin=None, idna_codec=dns.name.IDNA_2008_Practical)
        labels = [label.decode("ascii") for label in name.labels if label]
    except (dns.exception.DNSException, UnicodeError):
        labels = []
    if not labels or not all(re.fullmatch(r"[A-Za-z0-9_-]+", label) for label in labels):
        raise failed("dns.nxdomain", f"{host!r} is not a valid host name")
    if literal(".".join(labels)):  # full-width digits and dots have become ASCII ones
        raise failed("ssrf.blocked", f"{host!r} is a disguised address")
    return name


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``/etc/resolv.conf`` says (resolv.conf(5)), with its defaults."""

    servers: tuple[Server, ...] = (Server("127.0.0.1"),)
    search: tuple[dns.name.Name, ...] = ()
    ndots: int = 1
    timeout: float = 5.0
    attempts: int = 2
    rotate: bool = False
    tcp: bool = False

    @classmethod
    def parse(cls, text: str) -> Settings:
        """Lines that make no sense are passed over, as libc does. ``nameserver [127.0.0.1]:5353`` names a port, as in OpenBSD."""
        settings, servers = cls(), []
        for line in text.splitlines():
            key, *words = line.split("#")[0].split(";")[0].split() or [""]
            if key == "nameserver" and words:
                match = re.fullmatch(r"\[(.+)\]:(\d{1,5})", words[0])
                address, port = (match[1], int(match[2])) if match else (words[0], 53)
                try:
                    servers.append(Server(str(ip_address(address)), port))
                except ValueError:
                    continue
            elif key in ("search", "domain"):
                settings = replace(settings, search=tuple(_domains(words)))
            elif key == "options":
                settings = _options(settings, words)
        return replace(settings, servers=tuple(servers[:3]) or cls().servers)  # three: MAXNS of libc


def _domains(words: list[str]) -> Iterator[dns.name.Name]:
    for word in words:
        try:
            yield dns.name.from_text(word)
        except dns.exception.DNSException:
            continue


def _options(settings: Settings, words: list[str]) -> Settings:
    for word in words:
        key, _, value = word.partition(":")
        number = int(value) if value.isdecimal() else None
        if key == "ndots" and number is not None:
            settings = replace(settings, ndots=min(number, 15))
        elif key == "timeout" and number:
            settings = replace(settings, timeout=float(min(number, 30)))
        elif key == "attempts" and number:
            settings = replace(settings, attempts=min(number, 5))
        elif key == "rotate":
            settings = replace(settings, rotate=True)
        elif key == "use-vc":
            settings = replace(settings, tcp=True)
    return settings


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Addresses by name (lower case) of the lines of hosts(5)."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.split("#")[0].split() or [""]
        try:
            canonical_address = str(ip_address(address))
        except ValueError:
            continue
        for name in names:
            known = found.get(name.lower(), ())
            found[name.lower()] = known if canonical_address in known else (*known, canonical_address)
    return found


class File:
    """A small text file, read again when it has changed; "" when it cannot be read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.stamp: tuple[int, int, int] | None = None

    def changed(self) -> str | None:
        """The text if it is not what it was, else None."""
        try:
            status = os.stat(self.path)
            stamp, text = (status.st_mtime_ns, status.st_size, status.st_ino), None
            if stamp != self.stamp:
                with open(self.path, encoding="utf-8", errors="replace") as file:
                    text = file.read(1 << 20)
        except OSError:
            stamp = (0, 0, 0)
            text = "" if stamp != self.stamp else None
        self.stamp = stamp
        return text
