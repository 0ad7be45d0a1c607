"""What holds for all addresses, not only for the rows somebody thought of."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

from hypothesis import given
from hypothesis import strategies as st

from service.kit.http.guard import NAT64, REFUSED, GuardPolicy, refusal

PUBLIC_ONLY = GuardPolicy()
ALLOWS_TEN = GuardPolicy(allow=(ip_network("10.0.0.0/8"),))

ipv4 = st.integers(0, 2**32 - 1).map(IPv4Address)
ipv6 = st.integers(0, 2**128 - 1).map(IPv6Address)
refused_ipv4 = st.one_of(
    [st.integers(int(network[0]), int(network[-1])).map(IPv4Address) for network, _ in REFUSED if network.version == 4]
)
interesting_ipv4 = ipv4 | refused_ipv4
global_unicast = st.integers(0, 2**125 - 1).map(lambda low: IPv6Address(1 << 125 | low))
# Uniform IPv6 addresses almost never meet a short prefix, so most are drawn from the table.
near_the_table = st.one_of(
    [
        st.integers(max(int(network[0]) - 1, 0), min(int(network[-1]) + 1, 2**128 - 1)).map(IPv6Address)
        for network, _ in REFUSED
        if network.version == 6
    ]
)
interesting_ipv6 = ipv6 | global_unicast | near_the_table


def carrying(prefix: str, address: IPv4Address) -> IPv6Address:
    return IPv6Address(int(IPv6Network(prefix)[0]) | int(address))


@given(interesting_ipv4)
def test_nat64_inherits_the_verdict_of_the_address_it_carries(address: IPv4Address) -> None:
    carried = carrying("64:ff9b::/96", address)
    assert refusal(carried, PUBLIC_ONLY) == refusal(address, PUBLIC_ONLY)
    assert refusal(carried, ALLOWS_TEN) == refusal(address, ALLOWS_TEN)


@given(interesting_ipv6)
def test_nothing_outside_global_unicast_and_nat64_is_accepted(address: IPv6Address) -> None:
    if address not in IPv6Network("2000::/3") and address not in NAT64:
        assert refusal(address, PUBLIC_ONLY)


@given(interesting_ipv4, st.sampled_from(["::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b:1::/48"]))
def test_embedded_ipv4_is_refused_even_if_it_is_public_or_allowed(address: IPv4Address, prefix: str) -> None:
    assert refusal(carrying(prefix, address), PUBLIC_ONLY)
    assert refusal(carrying(prefix, address), ALLOWS_TEN)


@given(interesting_ipv4, st.integers(0, 2**80 - 1))
def test_6to4_and_teredo_are_refused_whatever_they_carry(address: IPv4Address, low: int) -> None:
    assert refusal(IPv6Address(0x2002 << 112 | int(address) << 80 | low), PUBLIC_ONLY)
    assert refusal(IPv6Address(0x20010000 << 96 | int(address) << 64 | low % 2**64), PUBLIC_ONLY)


@given(st.integers(1 << 61, (1 << 62) - 1), st.sampled_from([0x5EFE, 0x2005EFE]), interesting_ipv4)
def test_isatap_is_refused_under_any_prefix(prefix: int, marker: int, address: IPv4Address) -> None:
    assert refusal(IPv6Address(prefix << 64 | marker << 32 | int(address)), PUBLIC_ONLY)


@given(interesting_ipv4 | interesting_ipv6)
def test_the_table_refuses_all_that_this_python_calls_not_global(address: IPv4Address | IPv6Address) -> None:
    carried = address in NAT64
    if not address.is_global and not carried:
        assert refusal(address, PUBLIC_ONLY)


@given(interesting_ipv4 | interesting_ipv6)
def test_text_and_parsed_form_are_judged_alike(address: IPv4Address | IPv6Address) -> None:
    assert refusal(str(address), PUBLIC_ONLY) == refusal(address, PUBLIC_ONLY)


@given(st.text())
def test_any_text_is_judged_without_an_exception(text: str) -> None:
    assert refusal(f"{text}%", PUBLIC_ONLY)
    assert refusal(f"x{text}", PUBLIC_ONLY)
