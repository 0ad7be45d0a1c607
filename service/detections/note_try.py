"""Putting on record that a run was to be handed to its vendor: each try a row, with the bytes that came back.

A try is no look at the run: it says nothing of the track, moves nothing, and stands in no result.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlmodel import Session

from service.detections.observe import keep_raw, next_number
from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading
from service.kit.database import wakes
from service.runs.models import Observation, Run
from service.runs.policy import topic_of


class Errand(StrEnum):
    """What a request was to do: put the audio there, or start the analysis, which is billed."""

    PREPARE = "prepare"
    SUBMIT = "submit"


class Outcome(StrEnum):
    """How a try went."""

    ACCEPTED = "accepted"
    ANSWERED = "answered"  # at once, with what was asked for
    REFUSED = "refused"  # for good
    DEFERRED = "deferred"  # a whole answer that says: later
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"  # it left, and no whole answer came


@dataclass(frozen=True, slots=True)
class Try:
    """One try. `left_at` is `None` where nothing could begin to leave; `raw` is the answer, where one came whole.

    `besides` is what that answer says beside what it was asked for.
    """

    outcome: Outcome
    left_at: datetime | None = None
    errand: Errand = Errand.SUBMIT
    raw: Raw | None = None
    besides: Reading | None = None


def note_try(
    session: Session,
    run: Run,
    tried: Try,
    now: datetime,
    why: Reading | Refused | None = None,
    *,
    text: str = "",
    next_at: datetime | None = None,
) -> None:
    """The try is on record as the run's next row; who listens to the detection looks.

    `text` is a reason without a code. `next_at` is when the same leaves again, where it is to.
    """
    raw, code = tried.raw, why.reason_code if why else None
    digest = hashlib.sha256(raw.body).hexdigest() if raw else None
    session.add(
        Observation(
            run_id=run.id,
            n=next_number(session, run.id),
            via=tried.errand.value,
            at=now,
            effect="none",
            http_status=raw.status if raw else None,
            refusal=code.value if code else None,
            reason_text=(why.reason_text if why else text) or None,
            body_sha256=digest,
            content_type=(raw.content_type or None) if raw else None,
            outcome=tried.outcome.value,
            reading=tried.besides.model_dump_json(exclude_defaults=True) if tried.besides else None,
            left_at=tried.left_at,
            retry_after_seconds=why.retry_after_seconds if isinstance(why, Refused) else None,
            next_at=next_at,
        )
    )
    if raw is not None and digest is not None:
        keep_raw(session, run.id, digest, raw)
    session.flush()
    wakes(session, topic_of(run.detection_id))
