"""Which addresses a probe may visit and an alert may be sent to.

Addresses are compared, never names or spellings; what is wrapped is unwrapped first. Ranges: the IANA special-purpose registries
(RFC 6890, RFC 8190).
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

METADATA: Final = {
    IPv6Address("fd00:ec2::254"): "AWS instance metadata",
    IPv6Address("fd00:ec2::23"): "AWS container credentials",
    IPv6Address("fd20:ce::254"): "Google Cloud metadata",
    IPv4Address("100.100.100.200"): "Alibaba Cloud metadata",
    IPv4Address("168.63.129.16"): "Azure platform services",
    IPv4Address("192.0.0.192"): "Oracle Cloud metadata",
}
"""Metadata services outside the link-local networks: whoever can ask them can be given credentials."""

_THIS_HOST: Final = IPv4Network("0.0.0.0/8")
_BROADCAST: Final = IPv4Address("255.255.255.255")
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_DOCUMENTATION: Final = IPv6Network("3fff::/20")
_LAST_32_BITS: Final = (
    IPv6Network("::ffff:0:0/96"),  # v4-mapped, RFC 4291
    IPv6Network("::ffff:0:0:0/96"),  # v4-translated, RFC 7915
    IPv6Network("::/96"),  # v4-compatible, RFC 4291
    IPv6Network("64:ff9b::/96"),  # NAT64, RFC 6052
    IPv6Network("64:ff9b:1::/48"),  # NAT64 of local use, RFC 8215
)
_DIRECT: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))


def screen(address: str, *, loopback: bool) -> str | None:
    """Why a probe may not visit ``address`` (an IP address in its canonical spelling), or None when it may.

    Private networks are allowed: to watch them is the probe's job. Link-local and metadata addresses never are, in whatever
    IPv6 form they come; loopback only where ``loopback`` says so (a laptop, not Lambda).
    """
    return _refusal(address, lambda inner: _forbidden(inner, loopback=loopback))


def public(address: str) -> str | None:
    """Why ``address`` is not a public one, or None when it is: webhooks and addresses given in chat may go nowhere else."""
    return _refusal(address, lambda inner: _forbidden(inner, loopback=False) or _not_public(inner)) or _tunnelled(address)


def literal(text: str) -> bool:
    """Whether the text is an IP address in its canonical spelling, and not a name."""
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _refusal(text: str, rule: Callable[[Address], str | None]) -> str | None:
    try:
        outer = ip_address(text.partition("%")[0])
    except ValueError:
        return f"{text} is not an IP address"
    for inner in unwrap(outer):
        reason = rule(inner)
        if reason:
            return f"{text} is {reason}" if inner == outer else f"{text} stands for {inner}, {reason}"
    return None


def unwrap(address: Address) -> tuple[Address, ...]:
    """The addresses that packets to ``address`` may end at: itself, or the IPv4 ones inside a mapped or tunnelled form."""
    if isinstance(address, IPv4Address) or address in (IPv6Address("::"), IPv6Address("::1")):
        return (address,)
    if any(address in network for network in _LAST_32_BITS):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    if address.sixtofour:
        return (address.sixtofour,)
    return address.teredo or (address,)  # Teredo holds two: its server and its client


def _forbidden(address: Address, *, loopback: bool) -> str | None:
    if address in METADATA:
        return f"{METADATA[address]}, which no probe may visit"
    if address.is_loopback:
        return None if loopback else "a loopback address, which is not probed from here"
    if address.is_link_local:
        return "a link-local address, where metadata services live: no probe may visit it"
    if address.is_unspecified or (isinstance(address, IPv4Address) and address in _THIS_HOST):
        return "an address of no host"
    if address.is_multicast:
        return "a multicast address"
    return "the broadcast address" if address == _BROADCAST else None


def _tunnelled(text: str) -> str | None:
    """A public IPv4 address inside a tunnel's is reached through somebody's relay; mapped and NAT64 ones are reached directly."""
    outer = ip_address(text.partition("%")[0])
    direct = isinstance(outer, IPv4Address) or any(outer in network for network in _DIRECT)
    return None if direct or unwrap(outer) == (outer,) else f"{text} is not a public address"


def _not_public(address: Address) -> str | None:
    if isinstance(address, IPv6Address):
        routed = address in _GLOBAL_UNICAST and address not in _DOCUMENTATION and not address.is_private
    else:
        routed = address.is_global
    return None if routed else "not a public address"
