"""The guard's table, row by row, and what is public beside it."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from service.kit.http.guard import REFUSED, GuardPolicy, refusal

PUBLIC_ONLY = GuardPolicy()

# Written by hand, not read from the table: a row that is lost there has to turn a test red here.
# Each: network, an address of it, a word of the reason.
ROWS = {
    "this network": ("0.0.0.0/8", "0.1.2.3", "1122"),
    "private 10": ("10.0.0.0/8", "10.1.2.3", "1918"),
    "carrier-grade NAT": ("100.64.0.0/10", "100.64.0.1", "6598"),
    "loopback": ("127.0.0.0/8", "127.0.0.1", "loopback"),
    "azure": ("168.63.129.16/32", "168.63.129.16", "Azure"),
    "metadata": ("169.254.0.0/16", "169.254.169.254", "metadata"),
    "private 172": ("172.16.0.0/12", "172.20.0.1", "1918"),
    "protocol assignments": ("192.0.0.0/24", "192.0.0.8", "6890"),
    "documentation 1": ("192.0.2.0/24", "192.0.2.1", "5737"),
    "6to4 relay": ("192.88.99.0/24", "192.88.99.1", "6to4"),
    "private 192": ("192.168.0.0/16", "192.168.0.1", "1918"),
    "benchmarking": ("198.18.0.0/15", "198.19.255.255", "2544"),
    "documentation 2": ("198.51.100.0/24", "198.51.100.1", "5737"),
    "documentation 3": ("203.0.113.0/24", "203.0.113.1", "5737"),
    "multicast": ("224.0.0.0/4", "224.0.0.1", "multicast"),
    "reserved": ("240.0.0.0/4", "255.255.255.255", "broadcast"),
    "unspecified v6": ("::/128", "::", "unspecified"),
    "loopback v6": ("::1/128", "::1", "loopback"),
    "v4-compatible": ("::/96", "::127.0.0.1", "compatible"),
    "v4-mapped": ("::ffff:0:0/96", "::ffff:169.254.169.254", "mapped"),
    "v4-translated": ("::ffff:0:0:0/96", "::ffff:0:127.0.0.1", "translated"),
    "local NAT64": ("64:ff9b:1::/48", "64:ff9b:1::7f00:1", "8215"),
    "discard": ("100::/64", "100::1", "discard"),
    "dummy": ("100:0:0:1::/64", "100:0:0:1::1", "dummy"),
    "teredo": ("2001::/32", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
    "benchmarking v6": ("2001:2::/48", "2001:2::1", "5180"),
    "orchid": ("2001:10::/28", "2001:1f::1", "4843"),
    "orchid v2": ("2001:20::/28", "2001:2f::1", "7343"),
    "protocol assignments v6": ("2001::/23", "2001:1ff::1", "2928"),
    "documentation v6": ("2001:db8::/32", "2001:db8::1", "3849"),
    "6to4": ("2002::/16", "2002:7f00:1::", "3056"),
    "6bone": ("3ffe::/16", "3ffe::1", "6bone"),
    "documentation v6 new": ("3fff::/20", "3fff::1", "9637"),
    "segment routing": ("5f00::/16", "5f00::1", "9602"),
    "unique local": ("fc00::/7", "fd00:ec2::254", "4193"),
    "link-local v6": ("fe80::/10", "fe80::1", "link-local"),
    "site-local": ("fec0::/10", "fec0::1", "site-local"),
    "multicast v6": ("ff00::/8", "ff0e::1", "multicast"),
}


def test_every_row_of_the_table_has_its_test() -> None:
    assert sorted(str(network) for network, _ in REFUSED) == sorted(row[0] for row in ROWS.values())


@pytest.mark.parametrize(("network", "address", "word"), ROWS.values(), ids=ROWS.keys())
def test_row_refuses_its_network_and_gives_the_reason(network: str, address: str, word: str) -> None:
    assert word in (refusal(address, PUBLIC_ONLY) or "accepted")
    assert refusal(ip_network(network)[0], PUBLIC_ONLY)
    assert refusal(ip_network(network)[-1], PUBLIC_ONLY)


@pytest.mark.parametrize(
    "address",
    [
        # Let through by `ipaddress.is_global` on some or all of CPython 3.11 to 3.13, or by `not is_private`.
        *("192.88.99.1", "224.0.0.1", "168.63.129.16", "::127.0.0.1", "::ffff:0:127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "3fff::1", "5f00::1", "fec0::1", "ff02::1", "ff0e::1"),
        *("::5efe:7f00:1", "192.0.0.8", "64:ff9b:1::7f00:1", "2002:7f00:1::", "100.64.0.1"),
        *("::ffff:169.254.169.254", "::1", "127.0.0.1", "169.254.169.254", "0.0.0.1", "::"),
    ],
)
def test_address_known_to_slip_through_other_guards_is_refused(address: str) -> None:
    assert refusal(address, PUBLIC_ONLY)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "64:ff9b::808:808"),
        # One beside each border.
        *("1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
        *("128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0"),
        *("172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255"),
        *("192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"),
        *("198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255"),
        *("2001:200::", "2001:db7:ffff::", "2001:db9::", "2003::", "3ffd::", "3fff:1000::"),
    ],
)
def test_public_address_is_accepted(address: str) -> None:
    assert refusal(address, PUBLIC_ONLY) is None


@pytest.mark.parametrize(
    "address",
    ["2606:4700::5efe:808:808", "2606:4700::200:5efe:a9fe:a9fe", "2a00:1450:4001:81b:0:5efe:7f00:1"],
)
def test_isatap_interface_id_is_refused_under_any_prefix(address: str) -> None:
    assert "5214" in (refusal(address, PUBLIC_ONLY) or "accepted")


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:4700:4700::1111%1", "127.0.0.1%lo"])
def test_zone_id_is_refused_even_where_the_address_is_allowed(address: str) -> None:
    everything = GuardPolicy(allow=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    assert refusal(address, everything)


def test_parsed_address_with_a_zone_is_refused() -> None:
    assert refusal(IPv6Address("2606:4700:4700::1111%1"), PUBLIC_ONLY) == "has a zone id"


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "2130706433", "0x7f000001", "010.0.0.1", "8.8.8.8 ", "[::1]", "8.8.8.8/32"]
)
def test_text_that_is_no_strict_address_is_refused(text: str) -> None:
    assert refusal(text, PUBLIC_ONLY) == "not an IP address"


def test_allowed_network_lets_through_just_itself() -> None:
    policy = GuardPolicy(allow=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
    assert refusal("127.0.0.1", policy) is None
    assert refusal(IPv4Address("127.255.255.255"), policy) is None
    assert refusal("::1", policy) is None
    assert refusal("10.0.0.1", policy)
    assert refusal("::2", policy)
    assert refusal("::ffff:127.0.0.1", policy)
    assert refusal("::127.0.0.1", policy)
