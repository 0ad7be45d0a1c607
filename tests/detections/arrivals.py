"""What can happen to a detection's runs, one after another: through the verbs, and in a model of a dozen lines."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from sqlmodel import col, select

from service.detections.changes import cancel, expire_overdue
from service.detectors.enums import Authenticity, ReasonCode, RunStatus, Via
from service.detectors.port import Raw
from service.detectors.reading import Reading
from service.events.models import Event
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.runs.inputs import AnsweredAtOnce, SubmissionAttempt, SubmissionOutcome, VendorAnswer
from service.runs.load.lock import lock_detection
from service.runs.step import step_one
from tests.detections.rows import World, alter, world
from tests.detections.scripted import Scripted, raw
from tests.runs.acting import observe
from tests.verdicts.votes_cast import VERDICTS

_REASONS = {"too_short": ReasonCode.TOO_SHORT, "error": ReasonCode.VENDOR_ERROR}
_ENDS = {"too_short": RunStatus.NOT_APPLICABLE, "error": RunStatus.FAILED}
ANSWERS = (*VERDICTS, *_ENDS)

Arrival = tuple[int, str]
"""The place of a run, and what happens to it. `cancelled` happens to the whole detection."""


def vendors(database: Database, *vendors: Scripted) -> World:
    """A world of these vendors, or of four with one detector each: v0 to v3."""
    return world(database, *(vendors or [Scripted(f"v{place}", (f"v{place}",)) for place in range(4)]))


def reading(word: str) -> Reading:
    if word in VERDICTS:
        return Reading(status=RunStatus.SUCCEEDED, verdict=VERDICTS[word], verdict_raw=word)
    return Reading(status=_ENDS[word], reason_code=_REASONS[word])


def happen(here: World, detection_id: str, arrival: Arrival, via: Via = Via.POLL) -> None:
    """It has happened, in a transaction of its own. An answer `at once` comes from whoever holds the run's lease."""
    place, word = arrival
    here.clock.turn(1)
    run = here.runs(detection_id)[place]
    with here.database.writing() as session:
        now = here.clock()
        if word == "cancelled":
            with suppress(CallerError):  # it has ended already
                cancel(session, lock_detection(session, detection_id), here.policy, now)
        elif word == "timeout":
            expire_overdue(session, run.id, here.policy, now)
        elif word == "unclear":
            observe(session, run.id, _sighting(here, Reading(status=RunStatus.RUNNING), via), here.policy, now)
        elif via is Via.SYNC and run.lease_token is not None:
            answer = _sighting(here, reading(word), via)
            attempt = SubmissionAttempt(SubmissionOutcome.ANSWERED, raw=answer.raw)
            step_one(session, AnsweredAtOnce(run.id, run.lease_token, answer, attempt), here.policy, now)
        else:
            observe(session, run.id, _sighting(here, reading(word), via), here.policy, now)


def lease(here: World, detection_id: str) -> None:
    """A worker has claimed the runs that are due."""
    due = [run for run in here.runs(detection_id) if run.state == "queued"]
    alter(here.database, due, lease_token="ours", due_at=here.clock() + timedelta(hours=1))


def finals(here: World, detection_id: str) -> list[tuple[int | None, str]]:
    """The final events of this detection, by revision."""
    wanted = select(Event.final_revision, Event.type).where(Event.detection_id == detection_id)
    with here.database.reading() as session:
        return list(session.exec(wanted.where(col(Event.final_revision).is_not(None)).order_by(col(Event.position))))


@dataclass
class Model:
    """What must have come of it: the word each run ended with, and how many last words were spoken."""

    words: list[str | None]
    revisions: int = 0
    cancelled: bool = False
    told: list[str] = field(default_factory=list)

    @classmethod
    def after(cls, size: int, arrivals: Iterable[Arrival]) -> "Model":
        model = cls([None] * size)
        for place, word in arrivals:
            model.happen(place, word)
        return model

    @property
    def ended(self) -> Sequence[str]:
        assert None not in self.words
        return [word for word in self.words if word is not None]

    def happen(self, place: int, word: str) -> None:
        before = self.words[place]
        late = before == "timeout" and word in ANSWERS and not self.cancelled
        if word == "unclear" or not (self.revisions == 0 or late):
            return
        if word == "cancelled":
            self.words = [each or "cancelled" for each in self.words]
            self.cancelled = True
        elif before is None or late:
            self.words[place] = word
        else:
            return
        if None not in self.words:
            self.revisions += 1
            self.told.append(word)


def _sighting(here: World, said: Reading, via: Via) -> VendorAnswer:
    body: Raw = raw({"said": said.verdict_raw or said.status.value}, at=here.clock())
    return VendorAnswer(via, body, said, Authenticity.TLS_FETCH)
