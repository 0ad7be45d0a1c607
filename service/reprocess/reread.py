"""What a run's stored answer means today, to the adapter as it is now. Reads only, and asks no vendor."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlmodel import Session, col, select

from service.detectors.catalogue import Catalogue
from service.detectors.enums import ReasonCode, RunStatus, Via
from service.detectors.port import Accepted, Adapter, Raw, Refused
from service.detectors.reading import Reading
from service.runs.filename_match import as_asked
from service.runs.reporting.facts import PARTIAL
from service.runs.state.lifecycle import RunState
from service.runs.state.models import Observation, RawBody, Run
from service.verdicts.facts import RunFacts

ANSWER = (
    "status", "verdict", "outcome_reason", "agreement", "votes", "components", "attribution", "review", "conflicts",
)  # fmt: skip
"""What of a result is its answer; of conflicts the kinds, of the review whether and why it is required."""
DETECTOR_ANSWER = (
    "tier", "engine", "status", "reason_code", "retryable", "verdict", "verdict_raw", "verdict_derived", "kind",
    "score", "confidence", "components", "content", "attribution", "segments", "sub_models", "reasons",
)  # fmt: skip
"""The same of one detector's part. Not: our own sentences, the vendor's names and times, what has no field yet."""

_ENDS = (RunStatus.SUCCEEDED, RunStatus.NOT_APPLICABLE, RunStatus.FAILED)
_ANSWERED = (RunState.SUCCEEDED.value, RunState.NOT_APPLICABLE.value, RunState.FAILED.value)


class Left(StrEnum):
    """Why a run stays as it is."""

    NOTHING_SAID = "nothing_said"  # it ended without a vendor's word
    RAW_MISSING = "raw_missing"  # the bytes are gone, or past their time
    NO_ADAPTER = "no_adapter"
    NO_END = "no_end"  # to the adapter of today the vendor had not finished


@dataclass(frozen=True, slots=True)
class RereadAnswer:
    """An answer and what is made of it today. `seen` is the look it came with."""

    seen: Observation
    said: Reading | Refused

    @property
    def status(self) -> RunStatus:
        """Return how the run has ended by it. A refusal of the request says nothing of the track."""
        return self.said.status if isinstance(self.said, Reading) else RunStatus.FAILED


def reread(session: Session, run: Run, catalogue: Catalogue, kept_since: datetime) -> RereadAnswer | Left:
    """Today's reading of the run's answer, from bytes that came at `kept_since` or later; or why there is none."""
    seen = _deciding(session, run)
    way = _way(session, run, seen) if seen is not None else None
    if seen is None or way is None:
        return Left.NOTHING_SAID
    body = session.get(RawBody, (run.id, seen.body_sha256))
    if body is None or body.created_at < kept_since:
        return Left.RAW_MISSING
    adapter = _adapter(catalogue, run)
    if adapter is None:
        return Left.NO_ADAPTER
    via, status = way
    raw = Raw(status, {"content-type": body.content_type}, body.body, run.answered_at or seen.at)
    said = adapter.parse_submit(raw) if via == Via.SYNC.value else adapter.read(raw, run.detector)
    if not isinstance(said, Accepted):
        said = as_asked(run.vendor, run.detector, said, adapter.detectors)
    return RereadAnswer(seen, said) if not isinstance(said, Accepted) and _ends(said) else Left.NO_END


def facts_today(facts: RunFacts, again: RereadAnswer) -> RunFacts:
    """Return the run as it would be if its answer had been read today."""
    said = again.said
    return replace(
        facts,
        status=again.status,
        reason_code=said.reason_code,
        reason_text=said.reason_text,
        retryable=said.retryable,
        reading=said if isinstance(said, Reading) else None,
    )


def answer_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of this result is its answer: where two differ, customers are notified."""
    review, conflicts = result["review"], result["conflicts"]
    return {
        **{name: result[name] for name in ANSWER},
        "review": {"required": review["required"], "reasons": review["reasons"]},
        "conflicts": sorted(conflict["kind"] for conflict in conflicts),
        "detectors": [{name: part[name] for name in DETECTOR_ANSWER} for part in result["detectors"]],
    }


def _ends(said: Reading | Refused) -> bool:
    """Return True if it can stand as an end: an ended run is never opened again."""
    return said.status in _ENDS if isinstance(said, Reading) else not said.retryable


def _deciding(session: Session, run: Run) -> Observation | None:
    """Return the observation that ended the run; the last one where unknown words made it fail at its deadline."""
    if run.state not in _ANSWERED:
        return None
    looks = select(Observation).where(Observation.run_id == run.id, col(Observation.outcome).is_(None))
    if run.observation_n is not None:
        return session.exec(looks.where(Observation.n == run.observation_n)).first()
    if run.reason_code != ReasonCode.SCHEMA_MISMATCH.value:
        return None
    # A callback's own look proves nothing until it is confirmed.
    looks = looks.where(Observation.effect != PARTIAL)
    fetched = looks.where(col(Observation.callback_id).is_(None), col(Observation.body_sha256).is_not(None))
    return session.exec(fetched.order_by(col(Observation.n).desc()).limit(1)).first()


def _way(session: Session, run: Run, seen: Observation) -> tuple[str, int] | None:
    """Return how the bytes came, also where another run had asked, and their status; `None`: not from a vendor."""
    for _ in range(100):  # a reused answer may have been reused before
        if seen.via != Via.REUSE.value:
            # Without a status it was a callback's; 0 is an objection of ours, before anything left.
            return None if seen.http_status == 0 else (seen.via, seen.http_status or 200)
        origin = session.get(Run, json.loads(run.refs_json).get("reused_run_id"))
        found = _deciding(session, origin) if origin is not None else None
        if origin is None or found is None:
            return None
        run, seen = origin, found
    return None


def _adapter(catalogue: Catalogue, run: Run) -> Adapter | None:
    """Return the adapter that reads this detector's answers, also where it is not configured any more."""
    found = (
        configured.adapter for configured, _ in catalogue.known(run.mode) if configured.adapter.vendor == run.vendor
    )
    return next((adapter for adapter in found if run.detector in adapter.detectors), None)
