"""How webhooks to an endpoint are sent is worked out once a minute, or when it changes."""

from datetime import timedelta

import pytest
from yarl import URL

from service.kit.errors import RelayError
from service.kit.security.sealing import Sealer
from service.kit.security.signatures import key_of, new_secret
from service.webhooks.queue.claimed import Target
from service.webhooks.sending.senders import Senders
from service.webhooks.sending.signing import HEADERS_PURPOSE, SECRET_PURPOSE
from tests.webhooks.rows import NOW, SEALER

MINUTE = timedelta(minutes=1)
SECRET = new_secret()


class Counting(Sealer):
    """Counts what it opens."""

    def __init__(self) -> None:
        super().__init__(["secret " * 6])
        self.opened = 0

    def open(self, purpose: str, owner: str, sealed: bytes) -> bytes:
        self.opened += 1
        return super().open(purpose, owner, sealed)


def target(*secrets: str, url: str = "https://customer.example/in", headers: bytes | None = None) -> Target:
    sealed = tuple(
        (f"whs_{n}", SEALER.seal(SECRET_PURPOSE, f"whs_{n}", each.encode())) for n, each in enumerate(secrets)
    )
    return Target("we_1", url, None, headers and SEALER.seal(HEADERS_PURPOSE, "we_1", headers), sealed)


def test_all_is_in_clear_and_the_newest_secret_signs_first() -> None:
    new, old = new_secret(), new_secret()
    sender = Senders(SEALER).of(target(new, old, headers=b'{"X-Key":"sesame"}'), NOW)
    assert sender.url == URL("https://customer.example/in")
    assert sender.keys == (key_of(new), key_of(old))
    assert sender.headers["X-Key"] == "sesame"
    assert sender.headers["content-type"] == "application/json"


def test_nothing_is_opened_again_within_a_minute() -> None:
    sealer = Counting()
    senders, at = Senders(sealer), target(SECRET)
    for seconds in (0, 30, 59.9):
        senders.of(at, NOW + timedelta(seconds=seconds))
    assert sealer.opened == 1
    senders.of(at, NOW + MINUTE)
    assert sealer.opened == 2


@pytest.mark.parametrize(
    "changed",
    [target(new_secret()), target(SECRET, url="https://other.example/"), target(SECRET, headers=b'{"X":"1"}')],
)
def test_an_endpoint_that_changed_is_worked_out_anew_at_once(changed: Target) -> None:
    senders, before = Senders(SEALER), target(SECRET)
    assert senders.of(before, NOW) != senders.of(changed, NOW)
    assert senders.of(changed, NOW) == Senders(SEALER).of(changed, NOW)


def test_after_a_minute_nothing_in_clear_is_kept() -> None:
    senders = Senders(SEALER)
    senders.of(target(SECRET), NOW)
    senders.forget(NOW + MINUTE - timedelta(seconds=1))
    assert senders._kept
    senders.forget(NOW + MINUTE)
    assert not senders._kept


def test_without_a_secret_there_is_no_sender() -> None:
    with pytest.raises(RelayError):
        Senders(SEALER).of(target(), NOW)


def test_an_address_that_is_none_is_left_to_the_attempt() -> None:
    assert Senders(SEALER).of(target(SECRET, url="https://[::1"), NOW).url == "https://[::1"
