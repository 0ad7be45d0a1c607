"""Rules for submissions and answers: nothing is asked or charged twice in vain, and no run is forgotten."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from service.runs.state.models import Run
from tests.journeys.hammer import Hammer
from tests.journeys.hammer_rows import Rows

_HAS_ANSWER = ("succeeded", "not_applicable")
# Whoever has more time than that left when its leader fails asks itself; the clock may leap, but not that far at once.
_TIME_TO_ASK = timedelta(seconds=31)
_LEAP = timedelta(seconds=201)


def nothing_was_submitted_twice_unmarked(rows: Rows, here: Hammer) -> Iterator[str]:
    """And nothing more often than twice: after an unknown outcome once more, and never again."""
    marked = {rows.chains[run.id] for run in rows.runs if run.resubmitted}
    for chain, times in _taken(rows, here).items():
        if times > 1 and chain not in marked:
            yield f"{chain} was submitted {times} times, unmarked"
        if times > 2:
            yield f"{chain} was submitted {times} times"


def the_ledger_has_each_submission(rows: Rows, here: Hammer) -> Iterator[str]:
    taken, entries, doubled = _taken(rows, here), Counter[str](), Counter[str]()
    for entry in rows.ledger:
        chain = rows.chains[entry.run_id]
        entries[chain] += 1
        doubled[chain] += entry.kind == "possible_duplicate"
    for chain in {*taken, *entries}:
        # One may be marked whose forerunner turned out not to be taken after all.
        if here.weather.cuts:
            entries[chain] = min(entries[chain], max(taken[chain], doubled[chain]))  # what left nobody could say
        if taken[chain] != entries[chain] or not taken[chain] - 1 <= doubled[chain] <= entries[chain]:
            yield f"{chain}: {taken[chain]} submissions, {entries[chain]} entries, {doubled[chain]} of them doubled"


def _taken(rows: Rows, here: Hammer) -> Counter[str]:
    taken: Counter[str] = Counter()
    for vendor in here.vendors:
        for run_id, times in vendor.taken_of.items():
            taken[rows.chains[run_id]] += times
    return taken


def what_is_under_way_or_known_is_not_asked_again(rows: Rows, here: Hammer) -> Iterator[str]:
    """Of those that may share an answer one asks at a time, and none once there is an answer."""
    by_question: dict[tuple[str, str], list[Run]] = {}
    for run in rows.runs:
        shares = not rows.detection(run).force and run.round == 1 and run.dedup_key is not None
        if shares and run.submit_started_at is not None:
            by_question.setdefault((run.account_id, run.dedup_key or ""), []).append(run)
    for asked in by_question.values():
        for first, second in pairwise(sorted(asked, key=_began)):
            # A late answer moves the end of a run whose time had run out.
            if _began(first) < _began(second) < min(_ended(first), first.deadline_at):
                yield f"{second.id} was submitted while {first.id} was under way"
            if first.state in _HAS_ANSWER and first.via != "reuse" and _ended(first) < second.created_at:
                yield f"{second.id} was submitted though {first.id} had an answer"


def _began(run: Run) -> datetime:
    return run.submit_started_at or run.created_at


def _ended(run: Run) -> datetime:
    return run.ended_at or run.deadline_at


def followers_are_not_forgotten(rows: Rows, here: Hammer) -> Iterator[str]:
    """Whom a leader's end concerns has its answer, or asks itself, or follows whoever went on with the work."""
    runs = {run.id: run for run in rows.runs}
    for run in rows.runs:
        leader = runs.get(run.follows_run_id or "")
        if leader is None or run.state in _HAS_ANSWER or run.ended_at is None or leader.ended_at is None:
            continue
        detection = rows.detection(run)
        open_to_it = run.round == detection.round and detection.status != "cancelled" and detection.erased_at is None
        if leader.state in _HAS_ANSWER and run.state == "timed_out" and open_to_it and not rows.erased_at(leader.id):
            yield f"{run.id} timed out, and {leader.id}, which it follows, has an answer"
        waited = run.ended_at - leader.ended_at
        if (
            leader.state not in _HAS_ANSWER
            and waited > _LEAP
            and run.deadline_at - leader.ended_at > _LEAP + _TIME_TO_ASK
        ):
            yield f"{run.id} ended {waited} after {leader.id}, which it follows, had ended without an answer"


def reused_answers_are_the_first_ones(rows: Rows, here: Hammer) -> Iterator[str]:
    runs = {run.id: run for run in rows.runs}
    for run in rows.runs:
        origin = runs.get(json.loads(run.refs_json).get("reused_run_id", ""))
        if (run.via == "reuse") != (origin is not None) and rows.erased_at(run.id) is None:
            yield f"{run.id} came by {run.via} from {origin and origin.id}"
        if origin is not None and (origin.state, origin.answered_at) != (run.state, run.answered_at):
            yield f"{run.id} is {run.state}, and {origin.id}, whose answer it has, is {origin.state}"


ANSWERS: tuple[Callable[[Rows, Hammer], Iterator[str]], ...] = (
    nothing_was_submitted_twice_unmarked,
    the_ledger_has_each_submission,
    what_is_under_way_or_known_is_not_asked_again,
    followers_are_not_forgotten,
    reused_answers_are_the_first_ones,
)
