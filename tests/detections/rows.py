"""Rows to begin with, and a small world around them: scripted vendors, a clock the test turns, the rooms' loops."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, col, select

from service.callbacks.correlate import match_parked
from service.callbacks.intake import Arrived, callbacks_seen, store_callbacks
from service.callbacks.models import Callback
from service.callbacks.process import CallbackProcessor
from service.detections.submit import Question, submit
from service.detectors.catalogue import Catalogue, ConfiguredVendor, VendorPolicy
from service.detectors.enums import Authenticity
from service.detectors.port import Adapter
from service.events.models import Event
from service.events.outbox import Outbox
from service.kit.db.database import Database
from service.kit.ids import new_id
from service.media.models import Media, MediaChunk
from service.media.store import DatabaseStore
from service.runs.followers import FollowerTeller
from service.runs.policy import DetectionPolicy
from service.runs.state.models import Detection, Revision, Run
from service.vendor_calls.dispatch import Dispatcher
from service.vendor_calls.poll import Poller
from service.vendor_calls.run_context import RunContextBuilder
from service.verdicts.votes import Rule
from tests.detections.scripted import NOW, Scripted
from tests.media.sounds import wav

ACCOUNT = "acc_1"
SOUND = wav(0.05)


class Hands:
    """A clock that only the test turns."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Addresses:
    """Links whose parts can be read."""

    def media(self, run_id: str, mode: str, name: str, expires_at: datetime) -> str:
        return f"http://relay/media/{mode}/{run_id}/{name}?until={expires_at:%H:%M}"

    def callback(self, run_id: str, mode: str, vendor: str, expires_at: datetime) -> str:
        return f"http://relay/callbacks/{mode}/{vendor}/{run_id}?until={expires_at:%H:%M}"


PLAN = VendorPolicy(first_poll=45, poll=15, poll_max=300, deadline=3600, resubmit_after=90, timeout=60)


def policy_of(*adapters: Adapter, plan: VendorPolicy = PLAN, mode: str = "live") -> DetectionPolicy:
    """The room's policy with these vendors, all on one plan, and without chance."""
    vendors = {(mode, adapter.vendor): ConfiguredVendor(adapter, plan) for adapter in adapters}
    return DetectionPolicy(
        catalogue=Catalogue(vendors),
        outbox=Outbox(),
        random=lambda: 0.0,
        callbacks_seen=callbacks_seen,
        on_names_known=[match_parked],
    )


def add_media(session: Session, *, account: str = ACCOUNT, mode: str = "live", **changes: Any) -> Media:
    """A recording of this account, its bytes in the database's store."""
    media_id = new_id("med")
    row: dict[str, Any] = {
        "id": media_id, "account_id": account, "mode": mode, "sha256": hashlib.sha256(media_id.encode()).hexdigest(),
        "name_key": "", "bytes": len(SOUND), "name": "song.ai.wav", "format": "wav", "content_type": "audio/wav",
        "created_at": NOW,
    } | changes  # fmt: skip
    media = Media(**row)
    session.add_all([media, MediaChunk(media_id=media_id, n=0, data=SOUND)])
    session.flush()
    return media


def question(**changes: Any) -> Question:
    """A well-formed one."""
    plain = Question(
        account_id=ACCOUNT,
        mode="live",
        source_url=None,
        source_name=None,
        media_id=None,
        detectors=(),
        rule=Rule.CONSENSUS,
        quorum=1,
        external_id=None,
        metadata={},
        declared=None,
        answer_within_seconds=900,
        force=False,
    )
    return replace(plain, **changes)


@dataclass
class World:
    """The rooms over one database."""

    database: Database
    policy: DetectionPolicy
    clock: Hands = field(default_factory=Hands)

    def __post_init__(self) -> None:
        contexts = RunContextBuilder(DatabaseStore(self.database), Addresses(), frozenset())
        self.dispatcher = Dispatcher(self.database, self.policy, contexts, clock=self.clock)
        self.poller = Poller(self.database, self.policy, contexts, clock=self.clock)
        self.processor = CallbackProcessor(self.database, self.policy, self.clock)
        self.followers = FollowerTeller(self.database, self.policy, self.clock)

    def submit(self, *detectors: str, media: dict[str, Any] | None = None, **asked: Any) -> str:
        """The id of a detection whose audio is at hand, or at `source_url` if that is given."""
        with self.database.writing() as session:
            if "source_url" not in asked:
                asked["media_id"] = add_media(session, **(media or {})).id
            made = submit(session, question(detectors=detectors, **asked), self.policy, self.clock())
            return made.id

    async def dispatch(self) -> None:
        """Every due run has been dispatched, and what came of it is on record."""
        while await self.dispatcher.step() or self.dispatcher._under_way:
            await _finished(self.dispatcher._under_way)
        await self.tell_followers()

    async def poll(self) -> None:
        """Every due run has been asked for, and what came of it is on record."""
        while await self.poller.step() or self.poller._under_way:
            await _finished(self.poller._under_way)
        await self.tell_followers()

    async def callbacks(self) -> None:
        """Every stored callback that was due has had its effect, and what was parked too long is put aside."""
        await self.processor.expire()
        while await self.processor.step():
            pass
        await self.tell_followers()

    async def tell_followers(self) -> None:
        """Every run knows what became of the one that it follows."""
        while await self.followers.step():
            pass

    def arrive(self, subject: str, body: object, *, vendor: str = "asc", **changes: Any) -> bool:
        """An authentic callback is stored; whether it is new."""
        arrived = Arrived(
            mode="live",
            vendor=vendor,
            subject=subject,
            job_id=None,
            body=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
            authenticity=Authenticity.URL_TOKEN.value,
            received_at=self.clock(),
        )
        with self.database.writing() as session:
            (is_new,) = store_callbacks(session, [replace(arrived, **changes)])
        return is_new

    def runs(self, detection_id: str | None = None) -> list[Run]:
        """The runs as they are now, in the order asked."""
        wanted = select(Run).order_by(col(Run.detection_id), col(Run.round), col(Run.position))
        with self.database.reading() as session:
            found = session.exec(wanted if detection_id is None else wanted.where(Run.detection_id == detection_id))
            return list(found.all())

    def run(self) -> Run:
        """The only run."""
        (found,) = self.runs()
        return found

    def detection(self, detection_id: str) -> Detection:
        with self.database.reading() as session:
            return session.get_one(Detection, detection_id)

    def results(self, detection_id: str) -> list[dict[str, Any]]:
        """The revisions' results, oldest first."""
        with self.database.reading() as session:
            rows = session.exec(select(Revision).where(Revision.detection_id == detection_id).order_by(col(Revision.n)))
            return [json.loads(row.result) for row in rows]

    def events(self) -> list[str]:
        """The types of all events, oldest first."""
        with self.database.reading() as session:
            return list(session.exec(select(Event.type).order_by(col(Event.position))))

    def callback_states(self) -> list[str]:
        """Of all callbacks, oldest first."""
        with self.database.reading() as session:
            return list(session.exec(select(Callback.state).order_by(col(Callback.id))))


async def _finished(under_way: set[asyncio.Task[None]]) -> None:
    await asyncio.gather(*under_way)


def world(database: Database, *adapters: Scripted, **plan: Any) -> World:
    """A world with these vendors; `plan` changes their policy."""
    return World(database, policy_of(*adapters, plan=replace(PLAN, **plan)))


def alter(database: Database, rows: Sequence[Any], **values: Any) -> None:
    """The rows have these values now."""
    with database.writing() as session:
        for row in rows:
            found = session.get_one(type(row), row.id)
            for name, value in values.items():
                setattr(found, name, value)
