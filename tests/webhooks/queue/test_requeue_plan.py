"""Which of several deliveries go now, which wait, and which are passed over."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.queue.requeue import Choice, QueuedDelivery, plan_requeue
from service.webhooks.states import DeliveryState

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def row(
    name: str, detection: str | None = "det_1", state: str = "held", attempts: int = 0, at: datetime = NOW
) -> QueuedDelivery:
    return QueuedDelivery(name, detection, DeliveryState(state), attempts, at)


def test_within_a_detection_the_older_goes_first_and_detections_do_not_wait() -> None:
    rows = [row("a"), row("b", "det_2"), row("c"), row("d", None), row("e", None)]
    assert plan_requeue(rows, set("abcde"), "all", NOW) == {
        "a": "due",
        "b": "due",
        "c": "blocked",
        "d": "due",
        "e": "due",
    }


def test_one_that_failed_three_times_blocks_nobody() -> None:
    assert plan_requeue([row("a", attempts=3), row("b")], set("ab"), "all", NOW) == {"a": "due", "b": "due"}


def test_an_older_one_on_its_way_blocks_and_is_not_moved() -> None:
    assert plan_requeue([row("a", state="due"), row("b")], set("b"), "all", NOW) == {"b": "blocked"}


def test_the_newest_of_each_detection_is_sent_and_the_rest_skipped() -> None:
    rows = [row("a"), row("b", "det_2"), row("c", state="blocked"), row("d"), row("e", None), row("f", None)]
    assert plan_requeue(rows, set("abdef"), "newest", NOW) == {
        "a": "skipped",
        "b": "due",
        "c": "skipped",
        "d": "due",
        "e": "due",
        "f": "due",
    }


def test_what_is_newer_than_all_that_was_held_makes_it_old() -> None:
    rows = [row("a"), row("b", state="blocked", at=LATER)]
    assert plan_requeue(rows, {"a"}, "newest", NOW) == {"a": "skipped", "b": "due"}


def test_nothing_held_is_sent_and_what_it_blocked_since_goes_on() -> None:
    rows = [row("a"), row("b", state="blocked"), row("c", state="blocked", at=LATER), row("d", None)]
    assert plan_requeue(rows, {"a", "d"}, "none", NOW) == {"a": "skipped", "b": "skipped", "c": "due", "d": "skipped"}


def test_what_was_held_by_a_race_after_the_choice_is_sent() -> None:
    assert plan_requeue([row("a", at=LATER)], {"a"}, "none", NOW) == {"a": "due"}


_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["det_1", "det_2", None]),
        st.sampled_from(["held", "blocked", "due"]),
        st.integers(0, 4),
        st.booleans(),
    ),
    max_size=12,
)


@pytest.mark.parametrize("choice", ["all", "newest", "none"])
@given(drawn=_ROWS)
def test_never_do_two_unordered_ones_of_a_detection_go_at_once_and_nobody_is_left_behind(
    choice: Choice, drawn: list[tuple[str | None, str, int, bool]]
) -> None:
    rows = [
        QueuedDelivery(str(n), detection, DeliveryState(state), attempts, LATER if late else NOW)
        for n, (detection, state, attempts, late) in enumerate(drawn)
    ]
    chosen = {each.id for each in rows if each.state == "held"}
    moves = plan_requeue(rows, chosen, choice, NOW)
    after = {each.id: moves.get(each.id, each.state) for each in rows}
    assert "held" not in after.values()
    for detection in ("det_1", "det_2"):
        line = [each for each in rows if each.detection_id == detection and after[each.id] != "skipped"]
        moved = [each for each in line if moves.get(each.id) == "due"]
        for each in moved:
            assert all(older.attempts >= 3 for older in line[: line.index(each)])
        if line:
            assert after[line[0].id] == "due"
