"""An answer that comes when its bringer's lease is lost: kept once, and not at all once its detection is erased."""

from datetime import timedelta

import pytest

from service.runs.inputs import Polled
from tests.detections.scripted import NOW
from tests.runs.happenings import (
    Happening,
    accepted,
    answered_at_once,
    cancelled,
    deadline,
    erased,
    leaves,
    poll_answered,
    poll_begins,
)
from tests.runs.values import Life, detection_row, run_row

_LATER = NOW + timedelta(minutes=5)


def _after(*happened: Happening) -> Life:
    life = Life({"det_1": detection_row()}, {"run_1": run_row()})
    for happen in happened:
        life = happen(life, NOW)
    return life


def _waiting_and_asked(*then: Happening) -> Life:
    return _after(leaves("run_1", "w1"), accepted("run_1", "w1", "j1"), poll_begins("run_1", "w2"), *then)


def test_an_end_that_a_poll_brings_after_the_run_was_called_off_is_kept_once_and_moves_nothing() -> None:
    before = _waiting_and_asked(cancelled())
    bring = poll_answered("run_1", "w2", "ai")
    once = bring(before, _LATER)
    assert [row.effect for row in once.seen[len(before.seen) :]] == ["late"]
    assert (once.runs, once.revisions, once.drafts) == (before.runs, before.revisions, before.drafts)
    assert bring(once, _LATER).seen == once.seen


def test_a_poll_that_brings_no_end_after_the_run_was_called_off_leaves_nothing() -> None:
    before = _waiting_and_asked(cancelled())
    assert poll_answered("run_1", "w2", "running")(before, _LATER).seen == before.seen
    assert before.put(Polled("run_1", "w2", NOW, confirms=False), _LATER).seen == before.seen


@pytest.mark.parametrize(
    "late",
    [accepted("run_1", "w1", "j1"), answered_at_once("run_1", "w1", "ai"), poll_answered("run_1", "w1", "ai")],
)
@pytest.mark.parametrize("end", [cancelled(), deadline("run_1")])
def test_nothing_is_kept_of_an_answer_that_comes_after_its_detection_was_erased(
    end: Happening, late: Happening
) -> None:
    before = _after(leaves("run_1", "w1"), end, erased())
    after = late(before, _LATER)
    assert (after.seen, after.bodies, after.revisions) == (before.seen, before.bodies, before.revisions)
    assert after.outcomes[-1].outcome == "lease_lost"


def test_that_the_vendor_took_a_submission_is_settled_though_its_detection_was_erased() -> None:
    before = _after(leaves("run_1", "w1"), cancelled(), erased())
    after = accepted("run_1", "w1", "j1")(before, _LATER)
    assert [(row.billed) for row in before.ledger + after.ledger] == [None, True]
