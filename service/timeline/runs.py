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
    """How the run came and ended."""
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
    """What was seen of the run; where we had asked, that too. A poll that brought no answer is only counted."""
    for row in rows:
        if row.effect == PARTIAL:
            yield Fact(row.at, "run.windows", f"{run_id}/windows/{row.n}", run_id, _heard(row))
            continue
        asked = _asked(row)
        if asked is not None:
            yield Fact(row.at, asked, f"{run_id}/asked/{row.n}", run_id, {"http_status": row.http_status})
        told = {
            "via": row.via,
            "effect": row.effect,
            **_said(row),
            "callback_id": row.callback_id,
        }
        yield Fact(row.at, "run.observed", f"{run_id}/observed/{row.n}", run_id, told)


def _begun(run: Run, rule: str) -> Fact:
    """Queued; a run behind a cascade's first is reserved, and when its turn came is seen by its submission."""
    kind = "run.reserved" if rule == Rule.CASCADE.value and run.position > 0 else "run.queued"
    return Fact(run.created_at, kind, f"{run.id}/begun", run.id, {"round": run.round})


def _shared(run: Run) -> Iterable[Fact]:
    """That another run asked, or had asked, the same."""
    refs: dict[str, str] = json.loads(run.refs_json)
    if run.followed_at is not None:
        told = {"leader": refs.get("followed_run_id") or run.follows_run_id}
        yield Fact(run.followed_at, "run.following", f"{run.id}/following", run.id, told)
    if run.via == Via.REUSE.value and run.ended_at is not None:
        told = {"from_run_id": refs.get("reused_run_id")}
        yield Fact(run.ended_at, "run.reused", f"{run.id}/reused", run.id, told)


def _asked(row: Observation) -> str | None:
    if row.effect == REREAD:
        return None
    if row.via == Via.POLL.value:
        return "run.polled"
    # A callback's own look names it; one without was our fetch, because of a callback.
    return "run.confirmed" if row.via == Via.CALLBACK.value and row.callback_id is None else None


def _heard(row: Observation) -> dict[str, Any]:
    """What a part of an answer says of the stretches of audio that the vendor has heard by then, as a result has it."""
    said = Reading.model_validate_json(row.reading) if row.reading else None
    return {"segments": [segment.model_dump(mode="json") for segment in said.segments] if said else []}


def _said(row: Observation) -> dict[str, Any]:
    """What it meant. A word for a state that no document has counts as still running, and is told with its reason."""
    said: dict[str, Any] = json.loads(row.reading) if row.reading else {}
    word = unknown_status(said.get("extras", {}))
    code, text = (None, None) if word is None else (ReasonCode.SCHEMA_MISMATCH.value, UNKNOWN_STATUS)
    return {
        **{name: said.get(name) for name in ("status", "verdict", "verdict_raw")},
        "reason_code": row.refusal or said.get("reason_code") or code,
        "reason_text": row.reason_text or said.get("reason_text") or text,
        "unknown_status": word,
    }
