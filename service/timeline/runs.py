"""Facts of runs: begun, asked, seen, ended. From rows to facts, pure."""

import json
from collections.abc import Iterable
from typing import Any

from service.detectors.answers import UNKNOWN_STATUS, unknown_status
from service.detectors.enums import ReasonCode, Via
from service.detectors.reading import Reading
from service.runs.state.lifecycle import RunState
from service.runs.state.models import Observation, Run
from service.runs.telling.facts import PARTIAL, REREAD
from service.timeline.fact import Fact
from service.verdicts.votes import Rule


def run_facts(run: Run, rule: str) -> Iterable[Fact]:
    """Yield how the run began and ended."""
    yield _begun(run, rule)
    yield from _shared(run)
    if run.ended_at is not None:
        ending = {
            "status": RunState(run.state).status.value,
            "reason_code": run.reason_code,
            "reason_text": run.reason_text,
            "via": run.via,
            "confirmed_by_fetch": run.confirmed_by_fetch,
            "polls": run.polls,
            "confirmations": run.confirmations,
        }
        yield Fact(run.ended_at, "run.ended", f"{run.id}/ended/{run.state}", run.id, ending)


def observed(run_id: str, rows: Iterable[Observation]) -> Iterable[Fact]:
    """Yield the run's observations, and the polls before them. A poll that brought no answer is only counted."""
    for row in rows:
        if row.effect == PARTIAL:
            yield Fact(row.at, "run.windows", f"{run_id}/windows/{row.n}", run_id, _windows(row))
            continue
        kind = _request_kind(row)
        if kind is not None:
            yield Fact(row.at, kind, f"{run_id}/asked/{row.n}", run_id, {"http_status": row.http_status})
        data = {
            "via": row.via,
            "effect": row.effect,
            **_meaning(row),
            "callback_id": row.callback_id,
        }
        yield Fact(row.at, "run.observed", f"{run_id}/observed/{row.n}", run_id, data)


def _begun(run: Run, rule: str) -> Fact:
    """Return the beginning: queued, or reserved behind a cascade's first, whose turn its submission will show."""
    kind = "run.reserved" if rule == Rule.CASCADE.value and run.position > 0 else "run.queued"
    return Fact(run.created_at, kind, f"{run.id}/begun", run.id, {"round": run.round})


def _shared(run: Run) -> Iterable[Fact]:
    """Yield that another run asked, or had asked, the same."""
    refs: dict[str, str] = json.loads(run.refs_json)
    if run.followed_at is not None:
        data = {"leader": refs.get("followed_run_id") or run.follows_run_id}
        yield Fact(run.followed_at, "run.following", f"{run.id}/following", run.id, data)
    if run.via == Via.REUSE.value and run.ended_at is not None:
        data = {"from_run_id": refs.get("reused_run_id")}
        yield Fact(run.ended_at, "run.reused", f"{run.id}/reused", run.id, data)


def _request_kind(row: Observation) -> str | None:
    if row.effect == REREAD:
        return None
    if row.via == Via.POLL.value:
        return "run.polled"
    # A callback's own look names it; one without was our fetch, because of a callback.
    return "run.confirmed" if row.via == Via.CALLBACK.value and row.callback_id is None else None


def _windows(row: Observation) -> dict[str, Any]:
    """Return a partial answer's windows of audio that the vendor has analysed by then, as a result has them."""
    reading = Reading.model_validate_json(row.reading) if row.reading else None
    return {"segments": [segment.model_dump(mode="json") for segment in reading.segments] if reading else []}


def _meaning(row: Observation) -> dict[str, Any]:
    """Return what it meant. A state that no document names counts as still running, and is shown with its reason."""
    reading: dict[str, Any] = json.loads(row.reading) if row.reading else {}
    word = unknown_status(reading.get("extras", {}))
    code, text = (None, None) if word is None else (ReasonCode.SCHEMA_MISMATCH.value, UNKNOWN_STATUS)
    return {
        **{name: reading.get(name) for name in ("status", "verdict", "verdict_raw")},
        "reason_code": row.refusal or reading.get("reason_code") or code,
        "reason_text": row.reason_text or reading.get("reason_text") or text,
        "unknown_status": word,
    }
