"""A claim of 100 due rows where few wait, in turn with one where very many do."""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Connection,
    String,
    Table,
    bindparam,
    create_engine,
    func,
    insert,
    literal,
    select,
    text,
    true,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlmodel import Session

from service.accounts.api_keys import account_named
from service.bench.counting.inside import settings_inside
from service.bench.driving.generator import BenchError
from service.bench.driving.processes import fresh_database
from service.bench.driving.vendor import DETECTOR
from service.bench.reach import Reach
from service.bench.report import heading, machine, quantile_ms, screen, table_with
from service.detections.submit import Question, submit
from service.events.models import Event
from service.events.types import Draft, EventType
from service.kit.concurrency.shares import Shares
from service.kit.db.columns import table_of
from service.kit.ids import new_id
from service.kit.schema.migrate import upgrade
from service.media.models import Media
from service.resources import Resources, open_resources
from service.runs.state.models import Detection, Run
from service.vendor_calls.admission import claim_submissions
from service.verdicts.votes import Rule
from service.webhooks.endpoints.registry import NewEndpoint, create_endpoint
from service.webhooks.models import Delivery
from service.webhooks.queue.claim import claim_deliveries

CLAIMED = 100
_LEASE = timedelta(minutes=10)
_NOBODY = "http://127.0.0.1:9"  # no vendor is asked here, and no webhook sent


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a measurement: rows that wait of each kind, few and many, and claims after the first few."""

    few: int
    many: int
    claims: int
    warm_up: int


FULL = Size(few=10_000, many=1_000_000, claims=40, warm_up=5)
QUICK = Size(few=2_000, many=20_000, claims=8, warm_up=2)


@dataclass(frozen=True, slots=True)
class Claims:
    """The seconds that claims took of one kind of row, where few and where many waited."""

    few: Sequence[float]
    many: Sequence[float]


async def measure_claim(server: str | None, size: Size) -> Mapping[str, Claims]:
    """Return the times by kind of row. Both databases stand beside each other, and are claimed from in turn."""
    async with AsyncExitStack() as stack:
        few, many = [await _waiting(stack, server, rows) for rows in (size.few, size.many)]
        return {
            kind: await _in_turn(claim, few, many, size)
            for kind, claim in {"deliveries": claim_deliveries_of, "runs": claim_runs_of}.items()
        }


async def _waiting(stack: AsyncExitStack, server: str | None, rows: int) -> Resources:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
    database_url = stack.enter_context(fresh_database(server, folder))
    await asyncio.to_thread(upgrade, database_url)
    settings = settings_inside(database_url, folder, _NOBODY)
    resources = await stack.enter_async_context(open_resources(settings))
    await asyncio.to_thread(write_waiting, resources, rows // WRITTEN - 1)
    return resources


async def _in_turn(claim: Callable[[Resources], Awaitable[int]], few: Resources, many: Resources, size: Size) -> Claims:
    for _ in range(size.warm_up):
        await _timed(claim, few)
        await _timed(claim, many)
    times = [(await _timed(claim, few), await _timed(claim, many)) for _ in range(size.claims)]
    return Claims(*zip(*times, strict=True))


async def _timed(claim: Callable[[Resources], Awaitable[int]], resources: Resources) -> float:
    started = time.perf_counter()
    claimed = await claim(resources)
    took = time.perf_counter() - started
    if claimed != CLAIMED:
        raise BenchError(f"a claim got {claimed} of {CLAIMED} due rows")
    return took


async def claim_deliveries_of(resources: Resources) -> int:
    """Claim up to 100 deliveries as a worker does; return how many."""
    now, places = resources.clock(), Shares(2 * CLAIMED)  # of which an account may have half
    claimed = await resources.database.write(
        claim_deliveries, now=now, lease_until=now + _LEASE, limit=CLAIMED, shares=places
    )
    return len(claimed)


async def claim_runs_of(resources: Resources) -> int:
    """Claim up to 100 runs as a worker does; return how many."""
    now, places = resources.clock(), Shares(2 * CLAIMED)  # of which a vendor may have half
    claimed, _ = await resources.database.write(
        claim_submissions, resources.policy.catalogue, now=now, limit=CLAIMED, shares=places
    )
    return len(claimed)


def claim_report(claims: Mapping[str, Claims], size: Size, database: str) -> dict[str, Any]:
    """Return the medians by kind of row, and their ratio."""
    return {
        "machine": machine(),
        "database": database,
        "claimed": CLAIMED,
        "claims": size.claims,
        "few": size.few,
        "many": size.many,
        "claim": {
            kind: {
                "few_p50_ms": quantile_ms(each.few, 50),
                "many_p50_ms": quantile_ms(each.many, 50),
                "ratio": median(each.many) / median(each.few),
            }
            for kind, each in claims.items()
        },
    }


def claim_reached(report: Mapping[str, Any]) -> list[Reach]:
    """Return what is to be reached of claims, and what was."""
    return [
        Reach(f"{kind}, {report['many']:,} waiting x {report['few']:,}", 1.5, each["ratio"])
        for kind, each in report["claim"].items()
    ]


def show_claim(report: Mapping[str, Any]) -> None:
    """Print the report as a table."""
    console = screen()
    console.print(f"{heading(report)}: {report['claims']} claims of {report['claimed']} due rows, in turn.\n")
    table = table_with("", f"{report['few']:,} waiting, ms", f"{report['many']:,} waiting, ms", "ratio")
    for kind, each in report["claim"].items():
        table.add_row(kind, f"{each['few_p50_ms']:.1f}", f"{each['many_p50_ms']:.1f}", f"{each['ratio']:.2f}")
    console.print(table)


WRITTEN = 2_000
_ENDPOINTS = 40
_RUNS_EACH = 10  # of a detection: a million of those would be a minute more, and a claim looks them up by their key
_MODE = "test"
_EARLIER = timedelta(hours=1)


def write_waiting(resources: Resources, copies: int) -> None:
    """Write 2,000 deliveries and 2,000 runs that are due, and of each so many copies."""
    now = resources.clock()
    with resources.database.writing() as session:
        account_id = account_named(session, "bench", now).id
        _write_deliveries(session, resources, account_id, now)
        for number in range(WRITTEN // _RUNS_EACH):
            _write_run(session, resources, account_id, number, now)
    engine = create_engine(resources.database.url)  # without the product's limits of time
    try:
        with engine.connect() as connection:
            if resources.database.is_sqlite:
                _take_memory(connection)
            with _without_indexes(connection):
                run = table_of(Run)
                within = _numbers(_RUNS_EACH - 1)
                renamed = _renamed(within, *_UNIQUE_OF_RUN, behind="-of-it-")
                _copy(connection, run, within, {**renamed, "position": within.c.n})
                for table in (table_of(Delivery), run):
                    _spread(connection, table, now)
                if copies:
                    _copy_all(connection, copies)
            connection.execute(text("ANALYZE"))  # as the product's databases do by themselves
            connection.commit()
    finally:
        engine.dispose()


def _take_memory(connection: Connection) -> None:
    """Let the indexes grow in memory: with the usual 2 MB a million rows take ten minutes."""
    for pragma in ("cache_size = -2000000", "synchronous = OFF"):
        connection.execute(text(f"PRAGMA {pragma}"))
    connection.commit()


@contextmanager
def _without_indexes(connection: Connection) -> Iterator[None]:
    """Make the indexes when all is there: they are not written row by row, and are what they would have become."""
    indexes = [index for model in (Delivery, Detection, Run) for index in table_of(model).indexes]
    for index in indexes:
        index.drop(connection)
    yield
    for index in indexes:
        index.create(connection)


def _write_deliveries(session: Session, resources: Resources, account_id: str, now: datetime) -> None:
    for number in range(_ENDPOINTS):
        new = NewEndpoint(account_id, _MODE, f"http://127.0.0.1:9/{number}", ["detection.completed"])
        create_endpoint(session, new, resources.sealer, now)
    ids = [f"det_{number}" for number in range(WRITTEN // _ENDPOINTS)]
    kind = EventType.DETECTION_COMPLETED
    drafts = [Draft(account_id, _MODE, kind, {"id": each}, detection_id=each) for each in ids]
    resources.outbox.record(session, drafts, now)


def _write_run(session: Session, resources: Resources, account_id: str, number: int, now: datetime) -> None:
    media = Media(
        id=new_id("med"),
        account_id=account_id,
        mode=_MODE,
        sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        name_key="",
        bytes=1_000,
        name="bench.wav",
        format="wav",
        content_type="audio/wav",
        created_at=now,
    )
    session.add(media)
    session.flush()
    question = Question(
        account_id=account_id,
        mode=_MODE,
        source_url=None,
        source_name=None,
        media_id=media.id,
        detectors=(DETECTOR,),
        rule=Rule.CONSENSUS,
        quorum=1,
        external_id=None,
        metadata={},
        declared=None,
        answer_within_seconds=900,
        force=False,
    )
    submit(session, question, resources.policy, now)


def _spread(connection: Connection, table: Table, now: datetime) -> None:
    """Let each row have been due at a moment of its own."""
    ids = connection.execute(select(table.c.id)).scalars().all()
    rows = [{"row_id": row_id, "at": now - _EARLIER + timedelta(seconds=n)} for n, row_id in enumerate(ids)]
    connection.execute(update(table).where(table.c.id == bindparam("row_id")).values(due_at=bindparam("at")), rows)


def _copy_all(connection: Connection, copies: int) -> None:
    event, delivery, detection, run = (table_of(model) for model in (Event, Delivery, Detection, Run))
    last = connection.execute(select(func.max(event.c.position))).scalar_one()
    number = _numbers(copies)
    position = number.c.n * last + event.c.position
    _copy(connection, event, number, {**_renamed(number, event.c.id, event.c.detection_id), "position": position})
    _copy(connection, delivery, number, _renamed(number, delivery.c.id, delivery.c.event_id, delivery.c.detection_id))
    _copy(connection, detection, number, _renamed(number, detection.c.id))
    _copy(connection, run, number, _renamed(number, run.c.detection_id, *_UNIQUE_OF_RUN))


def _numbers(count: int) -> CTE:
    """Return the numbers from 1 to `count`, as a table."""
    number = select(literal(1).label("n")).cte("number", recursive=True)
    return number.union_all(select(number.c.n + 1).where(number.c.n < count))


def _renamed(number: CTE, *columns: Column[str], behind: str = "-") -> dict[str, ColumnElement[str]]:
    """Return these names with the copy's number behind what they are: longer than any that the product gives."""
    ending = literal(behind).concat(sql_cast(number.c.n, String))
    return {column.name: column.concat(ending) for column in columns}


_UNIQUE_OF_RUN = [table_of(Run).c[name] for name in ("id", "dedup_key", "leader_key")]


def _copy(connection: Connection, table: Table, number: CTE, changed: Mapping[str, ColumnElement[Any]]) -> None:
    values = [changed.get(column.name, column).label(column.name) for column in table.columns]
    rows = select(*values).select_from(table).join(number, true())
    connection.execute(insert(table).from_select([column.name for column in table.columns], rows))
