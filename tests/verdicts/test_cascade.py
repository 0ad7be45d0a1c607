"""Asked one after another: who is next, when it stops, and that the outcome fits."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.reading import Reading
from service.verdicts.cascade import StartNext, Stop, Wait, next_step
from service.verdicts.verdict import Decided, decide
from service.verdicts.votes import Part, Rule

VERDICTS = {
    "AI": Verdict.AI_GENERATED,
    "partial": Verdict.AI_PARTIAL,
    "no": Verdict.NO_AI_DETECTED,
    "abstain": Verdict.INCONCLUSIVE,
}
STATUSES = {
    "error": (RunStatus.FAILED, ReasonCode.VENDOR_ERROR),
    "timeout": (RunStatus.TIMED_OUT, ReasonCode.NO_CALLBACK_NO_RESULT),
    "short": (RunStatus.NOT_APPLICABLE, ReasonCode.TOO_SHORT),
    "running": (RunStatus.RUNNING, None),
    "?": (RunStatus.PENDING, None),
}
ANSWERS = ("AI", "partial", "no", "abstain", "error", "timeout", "short")


def part(name: str, word: str) -> Part:
    """`name` is the detector; what stands before its slash is the vendor."""
    vendor = name.partition("/")[0]
    if word in VERDICTS:
        reading = Reading(status=RunStatus.SUCCEEDED, verdict=VERDICTS[word])
        return Part(name, name, vendor, RunStatus.SUCCEEDED, None, reading)
    return Part(name, name, vendor, *STATUSES[word])


def parts(text: str) -> list[Part]:
    return [part(*item.split(":")) for item in text.split()]


def played(names: Sequence[str], answers: Sequence[str], quorum: int = 1) -> tuple[list[Part], list[str]]:
    """The parts after a whole cascade in which each detector answers as listed, and who was asked."""
    state = [part(name, "?") for name in names]
    asked: list[str] = []
    while True:
        step = next_step(state, quorum=quorum)
        assert not isinstance(step, Wait)
        if isinstance(step, Stop):
            break
        asked.append(step.run_id)
        place = names.index(step.run_id)
        state[place] = part(names[place], answers[place])
    skipped = set(step.skip_run_ids)
    ended = [
        replace(one, status=RunStatus.SKIPPED, reason_code=ReasonCode.FALLBACK_NOT_NEEDED)
        if one.run_id in skipped
        else one
        for one in state
    ]
    return ended, asked


def decided(ended: Sequence[Part], quorum: int = 1) -> Decided:
    return decide(ended, rule=Rule.CASCADE, quorum=quorum)


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ("a:? b:? c:?", StartNext("a")),
        ("a:running b:? c:?", Wait()),
        ("a:no b:? c:?", Stop(("b", "c"))),
        ("a:error b:? c:?", StartNext("b")),
        ("a:abstain b:? c:?", StartNext("b")),
        ("a:short b:no c:?", Stop(("c",))),
        ("a:AI b:? c:?", StartNext("b")),
        ("a:AI b:running c:?", Wait()),
        ("a:AI b:AI c:?", Stop(("c",))),
        ("a:AI b:partial c:?", Stop(("c",))),
        ("a:AI b:no c:?", Stop(("c",))),
        ("a:AI b:timeout c:?", StartNext("c")),
        ("a:AI b:abstain c:error", Stop(())),
        ("a/1:AI a/2:? b:?", StartNext("b")),
        ("a/1:AI a/2:? b:error", Stop(("a/2",))),
        ("a/1:error a/2:? b:?", StartNext("a/2")),
        ("a:no b:running", Wait()),
        ("a:no b:running c:?", Stop(("c",))),
        ("a:error b:error", Stop(())),
    ],
)
def test_the_next_step_follows_the_list(state: str, step: StartNext | Wait | Stop) -> None:
    assert next_step(parts(state)) == step


@pytest.mark.parametrize(
    ("state", "quorum", "step"),
    [
        ("a:no b:? c:?", 2, StartNext("b")),
        ("a:no b:no c:?", 2, Stop(("c",))),
        ("a:no b:AI c:?", 2, Stop(("c",))),
        ("a:no b:error c:?", 3, Stop(("c",))),
        ("a:AI b:AI c:?", 3, StartNext("c")),
        ("a/1:AI a/2:? b:AI", 3, StartNext("a/2")),
        ("a:no b:error c:error", 2, Stop(())),
    ],
)
def test_a_quorum_above_one_asks_on_until_it_is_met_or_out_of_reach(
    state: str, quorum: int, step: StartNext | Wait | Stop
) -> None:
    assert next_step(parts(state), quorum=quorum) == step


@pytest.mark.parametrize(
    ("answers", "asked", "status", "verdict", "reason"),
    [
        ("no AI AI", "a", "completed", "no_ai_detected", None),
        ("AI AI no", "a b", "completed", "ai_generated", None),
        ("AI partial no", "a b", "completed", "ai_partial", None),
        ("AI no AI", "a b", "completed", "inconclusive", "detector_disagreement"),
        ("error no AI", "a b", "completed_partial", "no_ai_detected", None),
        ("abstain AI AI", "a b c", "completed", "ai_generated", None),
        ("AI error timeout", "a b c", "completed_partial", "inconclusive", "quorum_not_met"),
        ("AI error AI", "a b c", "completed_partial", "ai_generated", None),
        ("error timeout short", "a b c", "failed", "not_analyzed", "no_detector_answered"),
        ("abstain abstain error", "a b c", "completed_partial", "inconclusive", "abstained"),
    ],
)
def test_a_cascade_played_to_its_end(answers: str, asked: str, status: str, verdict: str, reason: str | None) -> None:
    ended, were_asked = played(["a", "b", "c"], answers.split())
    outcome = decided(ended)
    assert were_asked == asked.split()
    assert (outcome.status, outcome.verdict, outcome.outcome_reason) == (status, verdict, reason)


def test_a_positive_without_a_second_vendor_is_left_to_a_person() -> None:
    outcome = decided(parts("a/1:AI a/2:AI b:error"))
    assert (outcome.verdict, outcome.outcome_reason) == ("inconclusive", "quorum_not_met")
    assert outcome.review_reasons == ("quorum_not_met",)


def test_a_late_contradiction_of_a_pass_leaves_no_pass() -> None:
    assert decided(parts("a:AI b:no")).verdict == "inconclusive"


lists = st.lists(st.sampled_from(["a/1", "a/2", "b/1", "b/2", "c/1"]), min_size=2, max_size=5, unique=True)


@given(lists, st.lists(st.sampled_from(ANSWERS), min_size=5, max_size=5), st.integers(1, 3))
def test_each_is_asked_once_and_the_outcome_fits(names: list[str], answers: list[str], quorum: int) -> None:
    ended, asked = played(names, answers, quorum)
    assert len(asked) == len(set(asked))
    outcome = decided(ended, quorum)
    voted = [one for one in ended if one.vote is not None]
    if outcome.verdict in ("ai_generated", "ai_partial"):
        assert len({one.vendor for one in voted}) > 1
        assert outcome.votes.no_ai == 0
    if outcome.verdict == "no_ai_detected":
        assert outcome.votes.ai == 0
        assert len(voted) == quorum
    assert all(one.sat_out or one.run_id in asked for one in ended)


@given(lists, st.lists(st.sampled_from(ANSWERS), min_size=5, max_size=5), st.integers(1, 3))
def test_it_gives_up_only_when_no_vote_left_could_change_the_verdict(
    names: list[str], answers: list[str], quorum: int
) -> None:
    ended, _ = played(names, answers, quorum)
    outcome = decided(ended, quorum)
    skipped = [place for place, one in enumerate(ended) if one.sat_out]
    if outcome.verdict != "inconclusive":
        return  # decided by the rule: the first alone, or two vendors
    for words in itertools.product(("AI", "no", "error"), repeat=len(skipped)):
        other = list(ended)
        for place, word in zip(skipped, words, strict=True):
            other[place] = part(names[place], word)
        assert decided(other, quorum).verdict == "inconclusive"
