"""Which internet addresses a message may be sent to: public ones; private ones where named; some never.

An IPv6 address can carry an IPv4 one (mapped, NAT64, 6to4, Teredo), and ``ipaddress`` calls several of those global; the screen
looks at every address on the way in. Ranges: IANA special-purpose registries (RFC 6890, RFC 8190).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

METADATA: Final = frozenset(
    map(ip_address, ("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"))
)
"""Where clouds keep the credentials of the machine: AWS (also for containers and over IPv6), Google, Alibaba, Azure."""
_EMBEDDING: Final = tuple(
    (IPv6Network(network), shift)
    for network, shift in (("::ffff:0:0/96", 0), ("64:ff9b::/96", 0), ("::/96", 0), ("64:ff9b:1::/48", 0), ("2002::/16", 80))
)
_TRANSLATED: Final = tuple(network for network, _ in _EMBEDDING[:2])
"""The two an ordinary network uses to reach a public IPv4 address: judged by the address inside. The others are refused."""
_TEREDO: Final = IPv6Network("2001::/32")


def unwrap(address: str) -> list[IPv4Address | IPv6Address]:
    """The address and the IPv4 address inside it, if it holds one. A zone (``fe80::1%eth0``) is dropped. ValueError: no address."""
    outer = ip_address(address.partition("%")[0])
    if isinstance(outer, IPv4Address) or outer.is_loopback or outer.is_unspecified:
        return [outer]
    inner = [IPv4Address((int(outer) >> shift) & 0xFFFFFFFF) for network, shift in _EMBEDDING if outer in network]
    if outer in _TEREDO:
        inner.append(IPv4Address(~int(outer) & 0xFFFFFFFF))
    return [outer, *inner]


def refusal(address: str, *, private: bool = False) -> str | None:
    """Why nothing may be sent to that literal address, or None. ``private`` allows loopback and private ranges, and only those."""
    for part in unwrap(address):
        if part in METADATA:
            return "is a cloud's metadata address"
        if part.is_link_local:
            return "is a link-local address"
        if part.is_multicast or part.is_unspecified or part == IPv4Address("255.255.255.255"):
            return "is not the address of one machine"
        if private:
            continue
        if part.is_loopback:
            return "is a loopback address"
        if isinstance(part, IPv6Address) and any(part in network for network in _TRANSLATED):
            continue
        tunnel = isinstance(part, IPv6Address) and (part in _TEREDO or any(part in network for network, _ in _EMBEDDING))
        if tunnel or not part.is_global or part.is_reserved or getattr(part, "is_site_local", False):
            return "is not a public address"
    return None
