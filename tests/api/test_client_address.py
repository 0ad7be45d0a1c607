"""The client address of a request: only our own proxies are trusted, and only what they wrote themselves."""

import pytest
from starlette.requests import Request

from service.api.limits import client_address, neighbourhood

PEER = "203.0.113.9"


def request(*forwarded: str, peer: tuple[str, int] | None = (PEER, 1)) -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Request({"type": "http", "headers": headers, "client": peer})


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (0, ["198.51.100.1"], PEER),
        (1, [], PEER),
        (1, ["198.51.100.1"], "198.51.100.1"),
        (1, ["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
        (2, ["192.0.2.66, 198.51.100.1, 10.0.0.1"], "198.51.100.1"),
        (2, ["192.0.2.66", "198.51.100.1", "10.0.0.1"], "198.51.100.1"),  # several lines are one list
        (2, ["198.51.100.1"], PEER),  # it did not pass both proxies
        (1, ["192.0.2.66, nonsense"], PEER),
        (1, ["192.0.2.66,"], PEER),
        (1, ["198.51.100.1:4711"], "198.51.100.1"),
        (1, ["[2001:db8::1]:4711"], "2001:db8::1"),
        (1, ["2001:DB8::1"], "2001:db8::1"),
    ],
)
def test_the_address_stands_as_many_entries_from_the_right_as_there_are_proxies(
    hops: int, forwarded: list[str], address: str
) -> None:
    assert client_address(request(*forwarded), hops) == address


def test_without_a_connection_of_its_own_the_address_is_unknown() -> None:
    assert client_address(request(peer=None), 0) == "unknown"


@pytest.mark.parametrize(
    ("address", "one"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_subscriber_counts_as_one_whatever_address_it_picks(address: str, one: str) -> None:
    assert neighbourhood(address) == one
