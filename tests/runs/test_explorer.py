"""All orders in which six things can happen to a detection: whatever comes when, the same must hold after each."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from service.runs.state.lifecycle import RunState
from service.verdicts.votes import Rule
from tests.detections.scripted import NOW
from tests.runs.faults import faults
from tests.runs.happenings import (
    Happening,
    accepted,
    answered_at_once,
    asked_again,
    called_back,
    cancelled,
    deadline,
    erased,
    followers_told,
    leaves,
    lost_sight,
    poll_answered,
    poll_begins,
    polled,
)
from tests.runs.values import Life, detection_row, run_row

Six = Mapping[str, Happening]
_STEP = timedelta(seconds=60)


def _life(**second: object) -> Life:
    """Two detectors asked: the first is queued, the second as it is said."""
    other = run_row(id="run_2", position=1, vendor="aippim", detector="aippim/pro", **second)
    return Life({"det_1": detection_row()}, {"run_1": run_row(), "run_2": other})


def _at_vendor(life: Life) -> Life:
    """Both vendors have their runs."""
    for number in (1, 2):
        for happen in (leaves(f"run_{number}", "at first"), accepted(f"run_{number}", "at first", f"j{number}")):
            life = happen(life, NOW)
    return life


def _one_left(life: Life) -> Life:
    """The second detector has answered; the first is queued."""
    for happen in (leaves("run_2", "at first"), answered_at_once("run_2", "at first", "human")):
        life = happen(life, NOW)
    return life


def _cascade() -> Life:
    life = _life(state="reserved", due_at=None)
    return replace(life, detections={"det_1": detection_row(rule=Rule.CASCADE.value)})


def _followed() -> Life:
    """Two detections about the same audio: the first one's run is sent, the second one's follows it."""
    key = "asc::" + "5" * 64
    other = detection_row(id="det_2")
    leader = run_row(dedup_key=key, leader_key=key)
    follower = run_row(
        id="run_2",
        detection_id="det_2",
        dedup_key=key,
        follows_run_id="run_1",
        followed_at=NOW,
        due_at=NOW + timedelta(seconds=3600),
        waiting_for="following",
    )
    return Life({"det_1": detection_row(), "det_2": other}, {"run_1": leader, "run_2": follower})


_SETS: Mapping[str, tuple[Life, Six]] = {
    "one run from its submission to its end": (
        _one_left(_life()),
        {
            "leaves": leaves("run_1", "w1"),
            "accepted": accepted("run_1", "w1", "j1"),
            "called back": called_back("run_1", "j1", "ai"),
            "polled": polled("run_1", "w2", "ai"),
            "deadline": deadline("run_1"),
            "cancelled": cancelled(),
        },
    ),
    "two runs at their vendors": (
        _at_vendor(_life()),
        {
            "poll begins": poll_begins("run_1", "w1"),
            "poll answered": poll_answered("run_1", "w1", "ai"),
            "called back": called_back("run_1", "j1", "human"),
            "deadline": deadline("run_1"),
            "the other polled": polled("run_2", "w2", "human"),
            "asked again": asked_again("run_3", "run_4"),
        },
    ),
    "a submission of unknown outcome": (
        _one_left(_life()),
        {
            "leaves": leaves("run_1", "w1"),
            "lost sight of": lost_sight("run_1", "w1"),
            "leaves again": leaves("run_1", "w2"),
            "accepted": accepted("run_1", "w1", "j1"),
            "accepted again": accepted("run_1", "w2", "j2"),
            "called back": called_back("run_1", "j1", "ai"),
        },
    ),
    "an answer at once, and erasing": (
        _one_left(_life()),
        {
            "leaves": leaves("run_1", "w1"),
            "answered": answered_at_once("run_1", "w1", "ai"),
            "called back": called_back("run_1", "j1", "human"),
            "deadline": deadline("run_1"),
            "cancelled": cancelled(),
            "erased": erased(),
        },
    ),
    "a cascade": (
        _cascade(),
        {
            "leaves": leaves("run_1", "w1"),
            "answered": answered_at_once("run_1", "w1", "ai"),
            "deadline": deadline("run_1"),
            "the second leaves": leaves("run_2", "w2"),
            "the second is accepted": accepted("run_2", "w2", "j2"),
            "the second polled": polled("run_2", "w3", "human"),
        },
    ),
    "one that follows another": (
        _followed(),
        {
            "leaves": leaves("run_1", "w1"),
            "accepted": accepted("run_1", "w1", "j1"),
            "polled": polled("run_1", "w2", "ai"),
            "cancelled": cancelled(),
            "followers told": followers_told(),
            "the follower's deadline": deadline("run_2"),
        },
    ),
}


def _lives(life: Life, left: Six, order: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Life]]:
    """Yield every order of what is left, and each beginning of one, with what stands after it."""
    yield order, life
    for name, happen in left.items():
        after = happen(life, NOW + _STEP * (len(order) + 1))
        yield from _lives(after, {each: left[each] for each in left if each != name}, (*order, name))


@pytest.mark.parametrize("name", _SETS)
def test_in_every_order_of_six_happenings_nothing_is_ended_twice_paid_twice_or_lost(name: str) -> None:
    life, six = _SETS[name]
    found = {order: wrong for order, after in _lives(life, six) if (wrong := [*faults(after)])}
    shortest = min(found, key=len, default=())
    assert (len(found), shortest, found.get(shortest)) == (0, (), None)


_ENDED = answered_at_once("run_1", "w1", "ai")(leaves("run_1", "w1")(_one_left(_life()), NOW), NOW)
_BROKEN: Mapping[str, tuple[Life, str]] = {
    "a revision is lost": (replace(_ENDED, revisions=()), "has the revisions"),
    "an end is told twice": (replace(_ENDED, drafts=_ENDED.drafts * 2), "final events of"),
    "a run is open again": (_ENDED.altered("run_1", state="waiting", ended_at=None), "never due again"),
    "a run that ended is due": (_ENDED.altered("run_1", due_at=NOW), "still somebody's or due"),
    "a submission is made again": (replace(_ENDED, ledger=_ENDED.ledger * 2), "2 times unmarked"),
    "an answer is thrown away": (replace(_ENDED, seen=()), "nobody kept it"),
    "what decided is missing": (_ENDED.altered("run_1", observation_n=99), "which is not there"),
    "bytes outlive their erasing": (replace(_ENDED.erased("det_1", NOW), bodies=_ENDED.bodies), "bytes are kept"),
    "a move is in no table": (replace(_ENDED, moves=((RunState.SKIPPED, RunState.QUEUED),)), "cannot become"),
}


def test_a_life_in_order_has_no_faults() -> None:
    assert [*faults(_ENDED)] == []


@pytest.mark.parametrize("name", _BROKEN)
def test_what_is_wrong_is_seen(name: str) -> None:
    broken, said = _BROKEN[name]
    assert [each for each in faults(broken) if said in each]
