"""Four detectors asked one after another: every way their vendors can be shared, every answer, quorum 1 and 2."""

import itertools
from collections.abc import Iterator, Sequence
from functools import cache

import pytest

from service.verdicts.cascade import StartNext, Stop, Wait, next_step
from service.verdicts.verdict import Decided
from tests.verdicts.test_cascade import decided, part, parts, played

ANSWERS = ("AI", "partial", "no", "abstain", "error")
OURS = ("asc", "asc/sync", "aippim/standard", "pex")


Names = tuple[str, ...]


def lists() -> Iterator[Names]:
    """Every way to share four detectors among at least two vendors, their names aside."""
    for vendors in itertools.product("abcd", repeat=4):
        first_seen = list(dict.fromkeys(vendors))
        if len(first_seen) > 1 and first_seen == sorted("abcd"[: len(first_seen)]):
            yield tuple(f"{vendor}/{place}" for place, vendor in enumerate(vendors))


LISTS = list(lists())


Said = tuple[str, ...]
"""What each detector of a list has said, `?` where it was not asked yet."""


def walk(names: Names, quorum: int) -> Iterator[tuple[Said, StartNext | Stop]]:
    """Every state that a cascade of these detectors can come to, and what is to be done there."""
    open_ = [("?",) * len(names)]
    while open_:
        said = open_.pop()
        step = next_step([part(name, word) for name, word in zip(names, said, strict=True)], quorum=quorum)
        assert not isinstance(step, Wait)
        yield said, step
        if isinstance(step, StartNext):
            place = names.index(step.run_id)
            open_ += [(*said[:place], word, *said[place + 1 :]) for word in ANSWERS]


@cache
def outcome(names: Names, said: Said, quorum: int) -> Decided:
    """What it is where it stops there: whoever was not asked sat out."""
    heard = [part(name, word) for name, word in zip(names, said, strict=True) if word != "?"]
    return decided(heard, quorum)


def filled(said: Said, answers: Sequence[str]) -> Iterator[Said]:
    """It, with every answer that those not asked yet could give."""
    yield from itertools.product(*(answers if word == "?" else (word,) for word in said))


@pytest.fixture(scope="module", autouse=True)
def _let_go() -> Iterator[None]:
    yield
    outcome.cache_clear()


def test_all_ways_are_looked_at() -> None:
    assert len(LISTS) == 14  # the partitions of four, without the one of a single vendor


@pytest.mark.parametrize("quorum", [1, 2])
@pytest.mark.parametrize("names", LISTS, ids="".join)
def test_it_stops_early_only_when_decided_or_when_no_vote_left_can_change_the_verdict(
    names: Names, quorum: int
) -> None:
    for said, step in walk(names, quorum):
        if isinstance(step, StartNext):
            continue
        assert step.skip_run_ids == tuple(name for name, word in zip(names, said, strict=True) if word == "?")
        end = outcome(names, said, quorum)
        voters = [names[place][0] for place, word in enumerate(said) if word in ("AI", "partial", "no")]
        if end.verdict == "no_ai_detected":
            assert (end.votes.ai, len(voters)) == (0, quorum), "the first that vote, and nobody more"
        elif end.verdict in ("ai_generated", "ai_partial"):
            assert (end.votes.no_ai, len(set(voters))) == (0, 2), "a second vendor, and no third"
        elif not end.votes.no_ai or not end.votes.ai:  # a split is left to a person, whoever else would vote
            assert {outcome(names, other, quorum).verdict for other in filled(said, ANSWERS)} == {end.verdict}


@pytest.mark.parametrize("quorum", [1, 2])
@pytest.mark.parametrize("names", LISTS, ids="".join)
def test_nobody_is_asked_whose_vote_could_not_change_the_verdict(names: Names, quorum: int) -> None:
    for said, step in walk(names, quorum):
        if isinstance(step, StartNext):
            place = names.index(step.run_id)
            now = outcome(names, said, quorum).verdict
            votes = [(*said[:place], word, *said[place + 1 :]) for word in ("AI", "no")]
            could = {outcome(names, other, quorum).verdict for vote in votes for other in filled(vote, ANSWERS)}
            assert could != {now}, (said, step)


@pytest.mark.parametrize(
    ("answers", "asked", "verdict", "reason"),
    [
        ("AI AI AI AI", "asc aippim/standard", "ai_generated", None),
        ("AI AI error error", "asc aippim/standard pex", "inconclusive", "quorum_not_met"),
        ("AI no error abstain", "asc aippim/standard pex", "inconclusive", "quorum_not_met"),
        ("error AI error error", "asc asc/sync aippim/standard pex", "inconclusive", "quorum_not_met"),
        ("error AI error AI", "asc asc/sync aippim/standard pex", "ai_generated", None),
        ("error no AI AI", "asc asc/sync", "no_ai_detected", None),
        ("no AI AI AI", "asc", "no_ai_detected", None),
        ("AI AI no AI", "asc aippim/standard", "inconclusive", "detector_disagreement"),
    ],
)
def test_both_of_asc_are_one_vendor(answers: str, asked: str, verdict: str, reason: str | None) -> None:
    ended, were_asked = played(OURS, answers.split())
    end = decided(ended)
    assert (were_asked, end.verdict, end.outcome_reason) == (asked.split(), verdict, reason)


@pytest.mark.parametrize("late", ["AI", "no"])
@pytest.mark.parametrize("under_way", ["b", "c", "d"])
def test_who_is_at_a_vendor_already_is_waited_for_and_the_rest_let_go_once_decided(late: str, under_way: str) -> None:
    """The first is answered late, while a later one is asked: a positive waits for it, a negative skips the rest."""
    state = parts(" ".join(f"{name}:{'running' if name == under_way else '?'}" for name in "bcd"))
    waiting = tuple(one.run_id for one in state if one.status == "pending")
    step = next_step([part("a", late), *state])
    assert step == (Stop(waiting) if late == "no" else Wait())
