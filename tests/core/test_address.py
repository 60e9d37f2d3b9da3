import pytest

from probes.core.address import literal, public, screen


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"])
def test_public_addresses_pass(address):
    assert public(address) is None
    assert screen(address, loopback=True) is None


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:127.0.0.1", "64:ff9b::10.0.0.1"],
)
def test_private_addresses_pass_only_where_named(address):
    assert public(address)
    assert screen(address, loopback=True) is None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.1.1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "ff02::1",
        "0.0.0.0",
        "::",
        "255.255.255.255",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
        "2001:0:4136:e378:8000:63bf:5601:5601",  # Teredo: the client is 169.254.169.254
    ],
)
def test_some_addresses_are_never_visited(address):
    assert public(address)
    assert screen(address, loopback=True)


@pytest.mark.parametrize("address", ["2002:0101:0101::1", "::1.1.1.1", "64:ff9b:1::1.1.1.1", "fec0::1", "240.0.0.1", "192.0.2.1"])
def test_tunnels_and_reserved_ranges_are_not_public(address):
    assert "not a public address" in (public(address) or "")


def test_a_name_is_no_address():
    assert literal("127.0.0.1")
    assert not literal("localhost")
    assert public("localhost")
