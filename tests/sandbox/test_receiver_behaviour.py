import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from service.sandbox.receiver import BEHAVIOURS, Receiver, ReceiverBehaviour
from tests.sandbox.serving import serving
from tests.sandbox.test_receiver import BODY, SECRET, signed


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(lambda: SECRET)


@pytest.fixture
def url(receiver: Receiver) -> Iterator[str]:
    with serving(receiver.app) as base:
        yield base


def statuses(url: str, path: str, tries: int = 3, webhook_id: str = "evt_1") -> list[int]:
    return [post(url, path, webhook_id).status_code for _ in range(tries)]


def post(url: str, path: str, webhook_id: str = "evt_1", timeout: float = 5) -> httpx.Response:
    return httpx.post(url + path, content=BODY, headers=signed(webhook_id=webhook_id), timeout=timeout)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/webhooks/status/500", [500, 500, 500]),
        ("/webhooks/status/404", [404, 404, 404]),
        ("/webhooks/status/204", [204, 204, 204]),
        ("/webhooks/gone", [410, 410, 410]),
        ("/webhooks/redirect", [302, 302, 302]),
        ("/webhooks/throttled/2", [429, 204, 204]),
        ("/webhooks/fail-first", [500, 204, 204]),
        ("/webhooks/fail-first/2", [500, 500, 204]),
        ("/webhooks", [204, 204, 204]),
        ("/webhooks/unheard-of", [204, 204, 204]),
        ("/webhooks/gone-fishing", [204, 204, 204]),
        ("/", [204, 204, 204]),
    ],
)
def test_the_path_says_how_webhooks_are_answered(receiver: Receiver, url: str, path: str, expected: list[int]) -> None:
    assert statuses(url, path) == expected
    taken = expected.count(204)
    assert len(receiver.received) == min(taken, 1)
    assert receiver.duplicates == max(0, taken - 1)
    assert [one.path for one in receiver.refused] == [path] * (3 - taken)


def test_a_redirect_leads_back_to_where_a_follower_would_be_seen(url: str) -> None:
    assert post(url, "/webhooks/redirect").headers["location"] == "/webhooks/elsewhere"


def test_a_throttled_try_hears_when_to_come_back(url: str) -> None:
    assert post(url, "/webhooks/throttled/7").headers["retry-after"] == "7"


def test_tries_are_counted_for_each_webhook_by_itself(url: str) -> None:
    assert statuses(url, "/webhooks/fail-first/1", webhook_id="evt_a") == [500, 204, 204]
    assert statuses(url, "/webhooks/fail-first/1", webhook_id="evt_b") == [500, 204, 204]


def test_what_does_not_verify_is_refused_whatever_the_path(receiver: Receiver, url: str) -> None:
    for path in ("/webhooks/status/500", "/webhooks/fail-first/2", "/webhooks/reset"):
        assert httpx.post(url + path, content=BODY, headers={}).status_code == 400
    assert [one.verified for one in receiver.received] == [False] * 3
    assert statuses(url, "/webhooks/fail-first/2") == [500, 500, 204]


def test_a_reset_comes_after_the_webhook_was_read(receiver: Receiver, url: str) -> None:
    with pytest.raises(httpx.ReadError, match="reset"):
        post(url, "/webhooks/reset")
    assert [one.body for one in receiver.refused] == [BODY]


def test_a_timeout_lasts_longer_than_the_sender_waits(receiver: Receiver, url: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        post(url, "/webhooks/timeout", timeout=0.2)
    assert len(receiver.refused) == 1


def test_a_slow_receiver_has_it_already_while_it_thinks(receiver: Receiver, url: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        post(url, "/webhooks/slow/1", timeout=0.2)
    assert len(receiver.received) == 1
    begun = time.monotonic()
    assert post(url, "/webhooks/slow/1").status_code == 200
    assert time.monotonic() - begun > 0.9
    assert receiver.duplicates == 1


def test_the_path_is_known_under_a_mount(receiver: Receiver) -> None:
    with serving(Starlette(routes=[Mount("/customer", app=receiver.app)])) as base:
        assert post(base, "/customer/webhooks/gone").status_code == 410


def test_every_behaviour_is_described() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `/webhooks/([a-z-]+)", page, flags=re.MULTILINE)) == BEHAVIOURS


@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
def test_every_behaviour_has_an_answer_for_any_number(name: str) -> None:
    for number in (0, 1, 204, 9999):
        ReceiverBehaviour(name, number).refusal(0)
