"""Answers, time-outs, cancellations and repeats in any order, through the real verbs: one last word a revision."""

import itertools
import threading

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.detectors.enums import Via
from service.kit.db.database import Database
from service.verdicts.votes import Rule
from tests.detections.arrivals import ANSWERS, Arrival, Model, finals, happen, lease, vendors
from tests.detections.rows import World
from tests.detections.scripted import aippim, asc
from tests.verdicts.rule_book import by_the_book
from tests.verdicts.test_cascade import decided, played
from tests.verdicts.votes_cast import FREE_RULES

_BOUNDED = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_ENDS = (*ANSWERS, "timeout")
_FINAL = {
    "completed": "detection.completed",
    "completed_partial": "detection.completed",
    "failed": "detection.failed",
    "expired": "detection.failed",
    "cancelled": "detection.cancelled",
}


@st.composite
def lives(draw: st.DrawFn) -> tuple[int, list[Arrival], list[Via]]:
    """How many runs there are, and what happens to them in the order drawn. Each of them ends at least once."""
    size = draw(st.integers(1, 4))
    ends = [(place, draw(st.sampled_from([*_ENDS, "timeout", "timeout"]))) for place in range(size)]
    more = draw(st.lists(st.tuples(st.integers(0, size - 1), st.sampled_from([*_ENDS, "unclear"])), max_size=4))
    calls = draw(st.sampled_from([[], [], [], [(0, "cancelled")]]))
    arrivals = draw(st.permutations([*ends, *more, *calls]))
    return size, arrivals, draw(st.lists(st.sampled_from(list(Via)[:3]), min_size=9, max_size=9))


@example((2, [(0, "timeout"), (0, "AI"), (1, "no"), (0, "no")], [Via.POLL] * 4), Rule.ANY, 1)
@example((2, [(0, "timeout"), (1, "timeout"), (1, "AI"), (1, "no")], [Via.POLL] * 4), Rule.CONSENSUS, 2)
@given(lives(), st.sampled_from(FREE_RULES), st.integers(1, 2))
@_BOUNDED
def test_whatever_comes_in_whatever_order_each_revision_has_one_final_event(
    database: Database, life: tuple[int, list[Arrival], list[Via]], rule: Rule, quorum: int
) -> None:
    size, arrivals, ways = life
    here = vendors(database)
    asked = min(quorum, size)
    detection_id = here.submit(*(f"v{place}" for place in range(size)), rule=rule, quorum=asked)
    lease(here, detection_id)
    for arrival, via in zip(arrivals, ways, strict=False):
        happen(here, detection_id, arrival, via)
    model = Model.after(size, arrivals)
    results, detection = here.results(detection_id), here.detection(detection_id)
    assert [result["revision"] for result in results] == list(range(1, model.revisions + 1))
    assert [n for n, _ in finals(here, detection_id)] == list(range(1, model.revisions + 1))
    expected = by_the_book(model.ended, rule, asked)
    last = results[-1]
    assert (last["status"], last["verdict"], last["outcome_reason"]) == (
        expected.status,
        expected.verdict,
        expected.reason,
    )
    assert (last["agreement"], tuple(last["votes"].values())) == (expected.agreement, expected.votes)
    assert (detection.status, detection.verdict, detection.revision) == (last["status"], last["verdict"], len(results))
    told = [kind for _, kind in finals(here, detection_id)]
    assert told == [_FINAL[results[0]["status"]], *["detection.revised"] * (len(results) - 1)]


ROWS = [
    ("all voted", "AI no", "completed", "inconclusive", "detector_disagreement", "detection.completed"),
    ("all voted or abstained", "AI abstain", "completed", "ai_generated", None, "detection.completed"),
    ("some did not answer", "no error", "completed_partial", "no_ai_detected", None, "detection.completed"),
    ("all abstained", "abstain abstain", "completed", "inconclusive", "abstained", "detection.completed"),
    ("all declined", "too_short too_short",
     "completed", "not_analyzed", "content_not_analyzable", "detection.completed"),
    ("none answered, one failed", "error timeout",
     "failed", "not_analyzed", "no_detector_answered", "detection.failed"),
    ("all timed out", "timeout timeout", "expired", "not_analyzed", "no_detector_answered", "detection.failed"),
    ("cancelled before the end", "AI cancelled", "cancelled", "not_analyzed", "cancelled", "detection.cancelled"),
]  # fmt: skip
"""Runs to outcome and event. The row of a source that cannot be fetched is in `test_fetch_source`."""


@pytest.mark.parametrize(
    ("words", "status", "verdict", "reason", "event"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_ended_runs_become_the_row_of_the_table_and_its_event(
    database: Database, words: str, status: str, verdict: str, reason: str | None, event: str
) -> None:
    here = vendors(database)
    said = words.split()
    detection_id = here.submit(*(f"v{place}" for place in range(len(said))))
    for arrival in enumerate(said):
        assert here.detection(detection_id).status in ("queued", "running")
        assert (here.detection(detection_id).verdict, finals(here, detection_id)) == (None, [])
        happen(here, detection_id, arrival)
    detection = here.detection(detection_id)
    assert (detection.status, detection.verdict, detection.outcome_reason) == (status, verdict, reason)
    assert finals(here, detection_id) == [(1, event)]


@pytest.mark.parametrize("words", ["AI AI AI AI", "AI no partial error", "too_short timeout error abstain"])
def test_four_last_words_at_once_end_it_once(database: Database, words: str) -> None:
    here = vendors(database)
    said = words.split()
    detection_id = here.submit("v0", "v1", "v2", "v3")
    barrier, problems = threading.Barrier(4), list[BaseException]()

    def come(arrival: Arrival) -> None:
        barrier.wait(10)
        try:
            happen(here, detection_id, arrival)
        except Exception as error:  # noqa: BLE001 - shown below, in the test's own thread
            problems.append(error)

    threads = [threading.Thread(target=come, args=(arrival,)) for arrival in enumerate(said)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert len(finals(here, detection_id)) == len(here.results(detection_id)) == 1
    expected = by_the_book(said, Rule.CONSENSUS, 1)
    assert here.detection(detection_id).verdict == expected.verdict


def in_turn(here: World, names: list[str], answers: list[str], quorum: int) -> str:
    """A cascade in which each that is asked says its word."""
    detection_id = here.submit(*names, rule=Rule.CASCADE, quorum=quorum)
    for _ in names:
        due = [run for run in here.runs(detection_id) if run.state == "queued"]
        assert len(due) <= 1, "one after another"
        for run in due:
            happen(here, detection_id, (run.position, answers[run.position]))
    return detection_id


FOUR = ["asc", "asc/sync", "aippim/standard", "aippim/pro"]
_NAMES = st.sampled_from([FOUR, FOUR[::-1], ["asc", "aippim/standard", "asc/sync"], FOUR[1:3]])


@given(_NAMES, st.lists(st.sampled_from(_ENDS), min_size=4, max_size=4), st.integers(1, 2))
@_BOUNDED
def test_a_cascade_records_whom_it_did_without(
    database: Database, names: list[str], answers: list[str], quorum: int
) -> None:
    one = asc()
    one.detectors = ("asc", "asc/sync")
    here = vendors(database, one, aippim())
    detection_id = in_turn(here, names, answers, quorum)
    words = ["short" if word == "too_short" else word for word in answers]
    ended, asked = played(names, words, quorum)
    expected = decided(ended, quorum)
    (result,) = here.results(detection_id)
    shown = {part["detector"]: (part["status"], part["reason_code"]) for part in result["detectors"]}
    skipped = [name for name in names if shown[name] == ("skipped", "fallback_not_needed")]
    assert skipped == [name for name in names if name not in asked]
    assert (result["status"], result["verdict"], result["outcome_reason"]) == (
        expected.status,
        expected.verdict,
        expected.outcome_reason,
    )
    assert len(finals(here, detection_id)) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_late_answers_in_any_order_come_to_the_same_end(database: Database, order: tuple[int, ...]) -> None:
    here = vendors(database)
    detection_id = here.submit("v0", "v1", "v2")
    for place in range(3):
        happen(here, detection_id, (place, "timeout"))
    for place in order:
        happen(here, detection_id, (place, ("AI", "AI", "no")[place]))
    assert [kind for _, kind in finals(here, detection_id)] == ["detection.failed", *["detection.revised"] * 3]
    assert (here.detection(detection_id).verdict, here.detection(detection_id).revision) == ("inconclusive", 4)
