"""Tables of this room: the question, its parts, what was seen of them, and the answers given."""

from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, String, Table, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from service.billing.models import Entry
from service.kit.db.columns import Serial, UtcTime, table_of
from service.media.models import Media
from service.runs.state.rows import DetectionRow, LedgerRow, MediaRow, ObservationRow, RunRow

SOURCE_WAITING = "source_state = 'due'"
RUN_DISPATCHABLE = "state IN ('queued', 'unknown')"
# A run whose time ran out is due once more when its vendor calls back late.
RUN_POLLABLE = "state IN ('waiting', 'timed_out') AND due_at IS NOT NULL"
RUN_OPEN = "ended_at IS NULL"
# A run that others followed has ended, and they do not know it yet.
FOLLOWERS_DUE = "followers_due_at IS NOT NULL"
# A run that may not be submitted yet: its vendor's gate takes the first in line when it can.
RUN_THROTTLED = "state IN ('queued', 'unknown') AND throttled_at IS NOT NULL AND lease_token IS NULL"
# A run that takes up a place at its vendor. A lease that has ended takes up none.
RUN_UNDER_WAY = "(state = 'waiting' OR (state IN ('queued', 'unknown') AND lease_token IS NOT NULL))"
# An answer of the run's own, that later twins may take over.
RUN_ANSWERED = "state IN ('succeeded', 'not_applicable') AND via <> 'reuse'"
DELAY_UNANNOUNCED = "delay_due_at IS NOT NULL"
UNERASED = "erased_at IS NULL"
DETECTION_OPEN = "completed_at IS NULL"
CERTIFICATE_ANNOUNCED = "state = 'announced'"


class Detection(SQLModel, table=True):
    """One question: whether some audio is machine-made."""

    __tablename__ = "detection"
    __table_args__ = (
        Index("ix_detection_list", "account_id", "mode", "created_at", "id"),
        Index("ix_detection_external", "account_id", "external_id"),
        Index(
            "ix_detection_source_due",
            "due_at",
            postgresql_where=text(SOURCE_WAITING),
            sqlite_where=text(SOURCE_WAITING),
        ),
        Index(
            "ix_detection_delay",
            "delay_due_at",
            postgresql_where=text(DELAY_UNANNOUNCED),
            sqlite_where=text(DELAY_UNANNOUNCED),
        ),
        Index(
            "ix_detection_open",
            "answer_by_at",
            postgresql_where=text(DETECTION_OPEN),
            sqlite_where=text(DETECTION_OPEN),
        ),
        Index("ix_detection_unerased", "completed_at", postgresql_where=text(UNERASED), sqlite_where=text(UNERASED)),
    )

    id: str = Field(primary_key=True)
    account_id: str
    mode: str
    created_at: datetime = Field(sa_type=UtcTime)
    external_id: str | None = None
    metadata_json: str = "{}"
    declared_json: str | None = None
    rule: str
    quorum: int
    force: bool = False
    status: str
    revision: int = 0
    verdict: str | None = None
    outcome_reason: str | None = None
    completed_at: datetime | None = Field(default=None, sa_type=UtcTime)
    answer_by_at: datetime = Field(sa_type=UtcTime)
    deadline_at: datetime = Field(sa_type=UtcTime)
    source_url: str | None = None
    source_name: str
    source_state: str  # of `state/lifecycle`
    source_tries: int = 0
    source_ended_at: datetime | None = Field(default=None, sa_type=UtcTime)  # fetched, or given up
    media_id: str | None = Field(default=None, index=True)
    due_at: datetime | None = Field(default=None, sa_type=UtcTime)
    lease_token: str | None = None
    # asking again: runs of earlier rounds stay as they ended
    round: int = 1
    rechecked_at: datetime | None = Field(default=None, sa_type=UtcTime)  # when this round was asked; null: at first
    # when it is to be told that the answer is late; null once told or ended
    delay_due_at: datetime | None = Field(default=None, sa_type=UtcTime)
    delayed_at: datetime | None = Field(default=None, sa_type=UtcTime)
    erased_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Revision(SQLModel, table=True):
    """One answer given. A later answer is a later row; only erasing takes words out of an earlier one."""

    __tablename__ = "revision"

    detection_id: str = Field(sa_column=Column(String, ForeignKey("detection.id"), primary_key=True))
    n: int = Field(primary_key=True)
    verdict: str
    status: str
    result: str  # the full result, JSON text as composed
    created_at: datetime = Field(sa_type=UtcTime)


class Run(SQLModel, table=True):
    """One detector's part in one detection."""

    __tablename__ = "run"
    __table_args__ = (
        Index(
            "ix_run_dispatch", "due_at", postgresql_where=text(RUN_DISPATCHABLE), sqlite_where=text(RUN_DISPATCHABLE)
        ),
        Index("ix_run_poll", "due_at", postgresql_where=text(RUN_POLLABLE), sqlite_where=text(RUN_POLLABLE)),
        Index(
            "ix_run_followers_due",
            "followers_due_at",
            postgresql_where=text(FOLLOWERS_DUE),
            sqlite_where=text(FOLLOWERS_DUE),
        ),
        Index("ix_run_unfinished", "deadline_at", postgresql_where=text(RUN_OPEN), sqlite_where=text(RUN_OPEN)),
        Index(
            "ix_run_line",
            *("mode", "vendor", "throttled_at", "id"),
            postgresql_where=text(RUN_THROTTLED),
            sqlite_where=text(RUN_THROTTLED),
        ),
        Index(
            "ix_run_under_way",
            *("mode", "vendor"),
            postgresql_where=text(RUN_UNDER_WAY),
            sqlite_where=text(RUN_UNDER_WAY),
        ),
        Index(
            "ix_run_answer",
            "account_id",
            "mode",
            "dedup_key",
            "ended_at",
            postgresql_where=text(RUN_ANSWERED),
            sqlite_where=text(RUN_ANSWERED),
        ),
        Index(
            "ix_run_measured",
            *("mode", "detector", "answered_at"),
            postgresql_where=text(RUN_ANSWERED),
            sqlite_where=text(RUN_ANSWERED),
        ),
        UniqueConstraint("mode", "vendor", "vendor_job_id"),
        UniqueConstraint("account_id", "mode", "leader_key"),
        # SQLite renames a column and no key, so the key is still called by the old one.
        UniqueConstraint("detection_id", "round", "position", name="uq_run_detection_id_round_place"),
    )

    id: str = Field(primary_key=True)
    detection_id: str = Field(foreign_key="detection.id")
    round: int = 1  # of a detection that is asked again
    position: int  # the order in which the detectors were named
    account_id: str
    mode: str
    vendor: str
    detector: str
    tier: str | None = None
    state: str
    created_at: datetime = Field(sa_type=UtcTime)
    deadline_at: datetime = Field(sa_type=UtcTime)
    due_at: datetime | None = Field(default=None, sa_type=UtcTime)
    lease_token: str | None = None
    throttled_at: datetime | None = Field(default=None, sa_type=UtcTime)  # its place before a gate; null: in no line
    # detector, tier and audio: runs that have it in common ask the same. Null before the bytes are known, and erased
    dedup_key: str | None = None
    leader_key: str | None = None  # the same, of an unfinished run that later twins may follow; else null
    follows_run_id: str | None = Field(default=None, index=True)  # whose answer is waited for, instead of asking
    followed_at: datetime | None = Field(default=None, sa_type=UtcTime)
    followers_due_at: datetime | None = Field(default=None, sa_type=UtcTime)  # since when they are to learn of its end
    successor_run_id: str | None = None  # who goes on with the work of this cancelled run
    submitted_as_run_id: str | None = None  # an heir's vendor knows it by that run's id
    # how far the submission came
    prepared_ref: str | None = None
    submit_started_at: datetime | None = Field(default=None, sa_type=UtcTime)
    submitted_at: datetime | None = Field(default=None, sa_type=UtcTime)
    submit_tries: int = 0
    refusals: int = Field(
        default=0, sa_column_kwargs={"server_default": "0"}
    )  # whole answers that refused it, and said neither "later" nor "never"
    resubmitted: bool = False  # a submission of unknown outcome was repeated: perhaps charged twice
    vendor_job_id: str | None = None
    refs_json: str = "{}"
    media_fetches: int = 0
    # asking
    polls: int = 0
    confirmations: int = 0
    polled_at: datetime | None = Field(default=None, sa_type=UtcTime)
    confirmation_requested_at: datetime | None = Field(default=None, sa_type=UtcTime)
    callback_authenticity: str | None = None
    # how it ended
    reason_code: str | None = None
    reason_text: str | None = None
    retryable: bool = False
    waiting_for: str | None = None
    last_refusal: str | None = None  # the reason code of the last answer that was none
    via: str | None = None
    authenticity: str | None = None
    confirmed_by_fetch: bool = False
    observation_n: int | None = None  # which observation decided
    answered_at: datetime | None = Field(default=None, sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Observation(SQLModel, table=True):
    """One normalised look at a run, from a callback, a poll or an answer at once; or a try to hand it to its vendor.

    A try has an `outcome`, and in `via` its errand. It belongs to the story of the run and to no result.
    """

    __tablename__ = "observation"
    __table_args__ = (UniqueConstraint("run_id", "n"), Index("ix_observation_at", "at"))

    id: int | None = Field(default=None, sa_column=Column(Serial, primary_key=True))
    run_id: str
    n: int
    via: str
    at: datetime = Field(sa_type=UtcTime)
    effect: str  # what it did to the run: the lifecycle input, "none" or "late"
    http_status: int | None = None
    callback_id: str | None = None
    reading: str | None = None  # normalised, JSON text
    refusal: str | None = None  # reason code, where the answer was none
    reason_text: str | None = None  # the words beside it
    body_sha256: str | None = None
    content_type: str | None = None
    # of a try only
    outcome: str | None = None
    left_at: datetime | None = Field(default=None, sa_type=UtcTime)  # null: nothing began to leave
    retry_after_seconds: int | None = None  # the vendor's hint, where it gave one
    # of a try, and of a callback that wants to be confirmed: what was planned next, at that moment
    next_at: datetime | None = Field(default=None, sa_type=UtcTime)


class RawBody(SQLModel, table=True):
    """Bytes as a vendor sent them. Kept by owner (a run or a callback), so erasing one harms no other."""

    __tablename__ = "raw_body"

    owner_id: str = Field(primary_key=True)
    sha256: str = Field(primary_key=True)
    body: bytes
    content_type: str
    created_at: datetime = Field(sa_type=UtcTime, index=True)


class Certificate(SQLModel, table=True):
    """A vendor's certificate of one run's analysis. Its states are a table: `state/lifecycle`."""

    __tablename__ = "certificate"
    __table_args__ = (
        UniqueConstraint("mode", "vendor", "certificate_id"),
        Index(
            "ix_certificate_announced",
            "due_at",
            postgresql_where=text(CERTIFICATE_ANNOUNCED),
            sqlite_where=text(CERTIFICATE_ANNOUNCED),
        ),
    )

    id: str = Field(primary_key=True)
    detection_id: str = Field(foreign_key="detection.id", index=True)
    run_id: str
    account_id: str
    mode: str
    vendor: str
    detector: str
    state: str
    format: str
    analysis_id: str | None = None
    certificate_id: str | None = None  # the vendor's name for it
    verification_url: str | None = None
    download_url: str | None = None
    expires_at: datetime | None = Field(default=None, sa_type=UtcTime)
    issued_at: datetime | None = Field(default=None, sa_type=UtcTime)
    ready_at: datetime | None = Field(default=None, sa_type=UtcTime)
    tries: int = 0
    due_at: datetime | None = Field(default=None, sa_type=UtcTime)
    lease_token: str | None = None


def _columns(table: Table, row: Any) -> tuple[Column[Any], ...]:
    return tuple(table.c[field.name] for field in fields(row))


DETECTION, RUN, OBSERVATION, REVISION, RAW_BODY, CERTIFICATE, MEDIA, LEDGER = (
    table_of(model) for model in (Detection, Run, Observation, Revision, RawBody, Certificate, Media, Entry)
)
DETECTION_COLUMNS = _columns(DETECTION, DetectionRow)
RUN_COLUMNS = _columns(RUN, RunRow)
OBSERVATION_COLUMNS = _columns(OBSERVATION, ObservationRow)
MEDIA_COLUMNS = _columns(MEDIA, MediaRow)
LEDGER_COLUMNS = _columns(LEDGER, LedgerRow)
