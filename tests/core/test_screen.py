"""Which addresses a probe may visit: every disguise of a forbidden one is refused, every ordinary one allowed."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.core.address import public, screen


def disguises(inner: str) -> list[str]:
    """Every IPv6 form that leads to an IPv4 address."""
    bits = int(IPv4Address(inner))
    return [
        str(IPv6Address(0xFFFF << 32 | bits)),  # v4-mapped
        str(IPv6Address(bits)),  # v4-compatible
        str(IPv6Address(0xFFFF << 48 | bits)),  # v4-translated
        str(IPv6Address(0x64FF9B << 96 | bits)),  # NAT64
        str(IPv6Address(0x64FF9B0001 << 80 | bits)),  # NAT64, local use
        str(IPv6Address(0x2002 << 112 | bits << 80 | 7)),  # 6to4
        str(IPv6Address(0x20010000 << 96 | 0x08080808 << 64 | (bits ^ 0xFFFFFFFF))),  # Teredo client
        str(IPv6Address(0x20010000 << 96 | bits << 64 | (0x08080808 ^ 0xFFFFFFFF))),  # Teredo server
    ]


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.170.2", "169.254.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250", "255.255.255.255",
     "100.100.100.200", "168.63.129.16", "192.0.0.192"],
)  # fmt: skip
def test_a_forbidden_ipv4_address_is_refused_in_every_form(address: str) -> None:
    for form in [address, *disguises(address)]:
        for loopback in (True, False):
            reason = screen(form, loopback=loopback)
            assert reason, form
            assert reason.startswith(form)
        assert public(form), form


@pytest.mark.parametrize(
    "address",
    ["fe80::1", "fe80::1%eth0", "febf::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "::", "ff02::1", "ff0e::1"],
)
def test_a_forbidden_ipv6_address_is_refused(address: str) -> None:
    assert screen(address, loopback=True)
    assert public(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.255.254", "::1", *disguises("127.0.0.1")])
def test_loopback_is_for_the_laptop_alone(address: str) -> None:
    assert screen(address, loopback=True) is None
    assert "loopback" in (screen(address, loopback=False) or "")
    assert public(address)


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "fd00:ec2::253", *disguises("10.1.2.3")]
)
def test_private_networks_may_be_probed_but_take_no_webhook(address: str) -> None:
    assert screen(address, loopback=False) is None
    assert public(address)


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "240.0.0.1",
        "2001:db8::1",
        "3fff::1",
        "fec0::1",
        "100::1",
        "4000::1",
    ],
)
def test_addresses_of_no_public_host_take_no_webhook(address: str) -> None:
    assert public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert screen(address, loopback=False) is None
    assert public(address) is None


@pytest.mark.parametrize("text", ["localhost", "0x7f.1", "2130706433", "127.1", "", "1.2.3.4.5", "::ffff:0x7f.1", "%"])
def test_what_is_no_address_is_refused(text: str) -> None:
    assert screen(text, loopback=True)
    assert public(text)


def test_the_reason_names_the_hidden_address() -> None:
    assert screen("64:ff9b::a9fe:a9fe", loopback=True) == (
        "64:ff9b::a9fe:a9fe stands for 169.254.169.254, a link-local address, where metadata services live: no probe may visit it"
    )


@given(st.ip_addresses(v=4))
def test_a_disguise_is_never_treated_better_than_what_it_hides(address: IPv4Address) -> None:
    plain, is_public = screen(str(address), loopback=False), public(str(address))
    for form in disguises(str(address)):
        if IPv6Address(form) in (IPv6Address("::"), IPv6Address("::1")):
            continue
        if plain:
            assert screen(form, loopback=False), form
        if is_public:
            assert public(form), form


@given(st.ip_addresses())
def test_what_is_public_may_also_be_probed(address: IPv4Address | IPv6Address) -> None:
    if public(str(address)) is None:
        assert screen(str(address), loopback=False) is None
