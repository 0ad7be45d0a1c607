"""What holds of deciding, for any inputs in any order: nothing happens twice, and nothing is lost."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from service.detectors.enums import ReasonCode
from service.detectors.port import Prepared
from service.runs.inputs import (
    CallbackReceived,
    DelayDue,
    GivenUp,
    Input,
    NotTaken,
    OverBudget,
    PollReleased,
    Released,
    SourceFailed,
    SourceReady,
    Uploaded,
)
from service.runs.load.snapshot import FactsNeededError
from service.runs.step import Done, decide_all
from service.verdicts.votes import OutcomeReason, Rule
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
    deferred,
    leaves,
    lost_sight,
    poll_answered,
    poll_begins,
    polled,
)
from tests.runs.values import POLICY, Life, detection_row, run_row
from tests.verdicts.votes_cast import FREE_RULES

_STEP = timedelta(seconds=40)
_DETECTORS = (("asc", "asc"), ("aippim", "aippim/pro"), ("aippim", "aippim/standard"))


def put(happened: Input) -> Happening:
    return lambda life, now: life.put(happened, now)


def _of_run(n: int) -> list[Happening]:
    """All that can happen to one run: `w1` submits it, `w2` perhaps again, and `p` polls. The usual comes oftener."""
    run_id = f"run_{n}"
    usual = [
        leaves(run_id, "w1"),
        accepted(run_id, "w1", f"j{n}"),
        poll_begins(run_id, "p"),
        polled(run_id, "p", "running"),
        lost_sight(run_id, "w1"),
    ]
    of_worker = [
        happen
        for worker in ("w1", "w2")
        for happen in (
            leaves(run_id, worker),
            accepted(run_id, worker, f"j{n}"),
            answered_at_once(run_id, worker, "ai"),
            lost_sight(run_id, worker),
            deferred(run_id, worker),
            put(Uploaded(run_id, worker, Prepared("ref"))),
            put(OverBudget(run_id, worker)),
            put(NotTaken(run_id, worker, ReasonCode.FILE_TOO_LARGE, "too large")),
            put(Released(run_id, worker)),
            put(GivenUp(run_id, worker)),
        )
    ]
    of_poll = [poll_answered(run_id, "p", "human"), put(PollReleased(run_id, "p", confirms=False))]
    return [*usual * 3, *of_worker, *of_poll, called_back(run_id, f"j{n}", "ai"), deadline(run_id)]


_OF_SOURCE = [
    put(SourceReady("det_1", "source", "med_1")),
    put(SourceFailed("det_1", "source", OutcomeReason.SOURCE_UNREACHABLE, retryable=True)),
    put(SourceFailed("det_1", "source", OutcomeReason.SOURCE_UNREACHABLE, retryable=False)),
]
_HAPPENINGS = [
    *_of_run(1), *_of_run(2), *_OF_SOURCE, cancelled(), asked_again("run_3", "run_4"), put(DelayDue("det_1")),
]  # fmt: skip


def _asked(count: int, **asked: object) -> Life:
    """A new detection that asks so many detectors."""
    runs = [
        run_row(id=f"run_{n}", position=n - 1, vendor=vendor, detector=detector)
        for n, (vendor, detector) in enumerate(_DETECTORS[:count], 1)
    ]
    return Life({"det_1": detection_row(delay_due_at=NOW, **asked)}, {run.id: run for run in runs})


def _sourcing() -> Life:
    """One whose audio is being fetched."""
    life = _asked(2, source_state="due", media_id=None, due_at=NOW, lease_token="source", source_tries=1)
    for run_id in life.runs:
        life = life.altered(run_id, state="sourcing", due_at=None)
    return life


def _cascade() -> Life:
    return _asked(2, rule="cascade").altered("run_2", state="reserved", due_at=None)


_BEGINNINGS = st.sampled_from([_asked(2), _sourcing(), _cascade()])
happenings = st.lists(st.sampled_from(_HAPPENINGS), max_size=14)
_OFTEN = settings(max_examples=60, deadline=None)


def _lived(life: Life, happened: Sequence[Happening]) -> Life:
    for n, happen in enumerate(happened):
        life = happen(life, NOW + _STEP * n)
    return life


def _stands(life: Life) -> tuple[object, ...]:
    """All but what callers were told."""
    return life.detections, life.runs, life.seen, life.revisions, life.drafts, life.ledger


@given(_BEGINNINGS, happenings)
@_OFTEN
def test_whatever_happens_in_whatever_order_all_is_as_it_must_be(life: Life, happened: list[Happening]) -> None:
    for n, happen in enumerate(happened):
        life = happen(life, NOW + _STEP * n)
        assert [*faults(life)] == []


@given(_BEGINNINGS, happenings, st.sampled_from(_HAPPENINGS), st.sampled_from([timedelta(0), timedelta(hours=2)]))
@_OFTEN
def test_the_same_input_twice_changes_nothing_the_second_time(
    life: Life, before: list[Happening], happen: Happening, later: timedelta
) -> None:
    now = NOW + _STEP * len(before)
    once = happen(_lived(life, before), now)
    told = [each.happened for each in once.outcomes if not isinstance(each.happened, CallbackReceived)]
    for happened in told[-1:]:  # a callback is put once: its own row is held, and says what became of it
        assert _stands(once.put(happened, now + later)) == _stands(once)


@given(_BEGINNINGS, happenings, happenings)
@_OFTEN
def test_a_batch_comes_to_the_same_as_its_inputs_one_by_one(
    life: Life, before: list[Happening], batch: list[Happening]
) -> None:
    now = NOW + _STEP * len(before)
    life = _lived(life, before)
    inputs = [each.happened for happen in batch for each in happen(life, now).outcomes[len(life.outcomes) :][:1]]
    done, decisions, _ = decide_all(life.loaded(), inputs, POLICY, now)
    assert [type(each) for each in done] == [Done] * len(inputs)
    together = life
    for decision in decisions:
        together = together.saved(decision)
    one_by_one = life
    for each in inputs:
        one_by_one = one_by_one.decided(each, now)
    assert _stands(together) == _stands(one_by_one)


@given(_BEGINNINGS, happenings, st.sampled_from(_HAPPENINGS))
@_OFTEN
def test_without_facts_the_same_is_decided_or_they_are_asked_for(
    life: Life, before: list[Happening], happen: Happening
) -> None:
    now = NOW + _STEP * len(before)
    life = _lived(life, before)
    for each in happen(life, now).outcomes[len(life.outcomes) :][:1]:
        known = life.loaded()
        with_facts, _, _ = decide_all(known, [each.happened], POLICY, now)
        try:
            without, decisions, _ = decide_all(replace(known, facts=None), [each.happened], POLICY, now)
        except FactsNeededError:
            continue
        assert [str(done) for done in without] == [str(done) for done in with_facts]
        assert not any(decision.revisions or decision.drafts for decision in decisions)


_WORDS = ("ai", "human", "short", "broken", "timeout")


@given(
    st.lists(st.sampled_from(_WORDS), min_size=2, max_size=3),
    st.sampled_from(FREE_RULES),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
@_OFTEN
def test_the_order_in_which_detectors_answer_does_not_matter_for_the_verdict(
    words: list[str], rule: Rule, quorum: int, random: Random
) -> None:
    asked = [*enumerate(words, 1)]
    life = _asked(len(words), rule=rule, quorum=min(quorum, len(words)))
    turned = random.sample(asked, len(asked))
    first, second = (_answered(life, order) for order in (asked, turned))
    assert first == second


def _answered(life: Life, order: Sequence[tuple[int, str]]) -> tuple[object, ...]:
    """The last word, once each detector has answered so, in this order."""
    at_vendor: list[Happening] = [
        happen
        for n, _ in order
        for happen in (leaves(f"run_{n}", "w"), accepted(f"run_{n}", "w", f"j{n}"), poll_begins(f"run_{n}", "p"))
    ]
    ends = [deadline(f"run_{n}") if word == "timeout" else poll_answered(f"run_{n}", "p", word) for n, word in order]
    (revision,) = _lived(life, [*at_vendor, *ends]).revisions
    result = json.loads(revision.result)
    return tuple(result[name] for name in ("status", "verdict", "outcome_reason", "agreement", "votes", "review"))
