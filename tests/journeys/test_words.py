"""Every word of the sandbox at once, over real processes: how each run ends, and that the customer hears of it once."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from service.callbacks.models import Callback
from service.events.models import Event
from service.kit.db.database import Database
from service.runs.state.models import Run
from service.sandbox.script import WORDS
from tests import postgres
from tests.journeys.at_once import on_both
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import Inbox, inbox
from tests.journeys.processes import deployment
from tests.journeys.word_ends import CALLBACKS, EITHER_WAY, HASTY, HEARD_OF, LOOKED_AT, End, Outcome, Row
from tests.waiting import until

pytestmark = pytest.mark.timeout(400)

FINAL = {"detection.completed", "detection.failed"}


def quick(first_poll: int, deadline: int, *, unanswered: int = 16, resubmit_after: int = 10) -> dict[str, str]:
    """Settings quick enough for a test, in seconds.

    Who is to be heard is looked at only after the test would have given up, however late a busy machine takes its
    callbacks; who is to be looked at is so long before a late callback (at 16 s). Neither costs time: `outage` takes
    longest, by the waits between its tries. A hasty deadline lets a refused submission leave twice: after 5 s, and not
    after 10 more.
    """
    knobs = {
        "FIRST_POLL_SECONDS": str(first_poll),
        "POLL_SECONDS": "3",
        "POLL_MAX_SECONDS": "3",
        "TIMEOUT_SECONDS": str(unanswered),
        "RESUBMIT_AFTER_SECONDS": str(resubmit_after),
        "DEADLINE_SECONDS": str(deadline),
        "CONCURRENCY": "1000",  # all are asked about at once; a gate would let them wait
        "PER_MINUTE": "100000",
    }
    at_once = knobs | {
        "TIMEOUT_SECONDS": "16",
        "RESUBMIT_AFTER_SECONDS": "10",
    }  # the analysis is part of the request, and an eighth is for Pex's token
    of = {"AIPPIM": knobs, "ASC": knobs, "PEX": at_once, "MODULATE": at_once | {"RESUBMIT_AFTER_SECONDS": "6"}}
    named = {f"{vendor}_{name}": value for vendor, chosen in of.items() for name, value in chosen.items()}
    return {**named, "PEX_RETRY_FLOOR_SECONDS": "1", "SANDBOX_LATENCY_SECONDS": "0.8"}


@dataclass(frozen=True)
class Addresses:
    """Three databases on one engine, for a deployment that is told, one that looks, and a hasty one."""

    told: str
    looking: str
    hasty: str


@pytest.fixture
def addresses(sqlite_template: Path, postgres_folder: Path, tmp_path: Path) -> Iterator[dict[str, Addresses]]:
    """Migrated databases, by engine."""
    with ExitStack() as stack:
        names = [f"t_words_{tmp_path.name}_{n}" for n in range(3)]
        rows = [stack.enter_context(postgres.fresh_database(postgres_folder, name)) for name in names]
        files = [f"sqlite:///{shutil.copyfile(sqlite_template, tmp_path / f'{n}.db')}" for n in range(3)]
        yield {"sqlite": Addresses(*files), "postgresql": Addresses(*rows)}


async def play(
    database_url: str, folder: Path, rows: list[Row], settings: dict[str, str], turn: asyncio.Lock
) -> dict[str, list[str]]:
    """All rows are asked about at once, in a deployment of their own; what was found wrong, by row.

    Who has the `turn` starts and asks; then comes waiting, which all can do together.
    """
    async with AsyncExitStack() as stack:
        box = await stack.enter_async_context(inbox())
        one = stack.enter_context(deployment(database_url, folder, **settings))
        async with turn:
            one.start()
            key, _ = await asyncio.gather(one.key("test"), one.ready())
            asking = Customer(await stack.enter_async_context(customer(one.url, key)))
            box.secrets.append(await asking.register(box.url))
            media = [await asking.upload(folder, f"tune-{n}.{row.words}.wav") for n, row in enumerate(rows)]
            asked = await asyncio.gather(*map(partial(ask, asking), media, rows))
        results = await asyncio.gather(*map(partial(asking.ended, seconds=200), asked))
        database = Database(database_url)
        stack.callback(database.close)
        found = {}
        for row, result in zip(rows, results, strict=True):
            wrong = [*wrong_runs(row, result, database), *wrong_outcome(row, result)]
            wrong += await wrong_telling(result["id"], box, database)
            found[str(row)] = [*wrong, *await wrong_callbacks(row, result["id"], database)]
        errors = [line for process in one.processes for line in process.log.splitlines() if '"level": "error"' in line]
        doubled = [f"{box.receiver.duplicates} webhooks came twice"] if box.receiver.duplicates else []
        return {name: wrong for name, wrong in {**found, "log": errors, "receiver": doubled}.items() if wrong}


async def ask(asking: Customer, media_id: str, row: Row) -> str:
    """The id of the row's detection."""
    return await asking.ask(media_id, **row.detectors, **row.decision)


def wrong_runs(row: Row, result: dict[str, Any], database: Database) -> list[str]:
    """The runs that did not end as they should."""
    with database.reading() as session:
        tries = {run.id: run.submit_tries for run in session.exec(select(Run).where(Run.detection_id == result["id"]))}
    ends = {one["detector"]: end_of(one, tries[one["run_id"]]) for one in result["detectors"]}
    took = {one["detector"]: one["timing"]["wall_ms"] for one in result["detectors"]}
    assert ends.keys() == row.ends.keys()
    return [
        f"{detector}: {ends[detector]}, not {end}, after {took[detector]} ms"
        for detector, end in row.ends.items()
        if not is_as(ends[detector], end)
    ]


def is_as(found: End, expected: End) -> bool:
    """Whether the run ended as expected; where either way will do, by one of the two."""
    if expected.via != EITHER_WAY:
        return found == expected
    return found.via in ("callback", "poll") and replace(found, via=EITHER_WAY) == expected


def end_of(one: dict[str, Any], tries: int) -> End:
    return End(
        one["status"],
        one["verdict"],
        one["reason_code"],
        one["obtained"]["via"],
        tries,
        one["possible_duplicate_charge"],
        one["kind"],
        one["attribution"] is not None,
    )


def wrong_outcome(row: Row, result: dict[str, Any]) -> list[str]:
    """What the detection says that it should not."""
    found = Outcome(result["status"], result["verdict"], result["outcome_reason"], result["agreement"])
    return [] if found == row.outcome else [f"{found}, not {row.outcome}"]


async def wrong_telling(detection_id: str, box: Inbox, database: Database) -> list[str]:
    """Why this detection's end was not told exactly once, in one verified webhook."""
    await until(lambda: told_of(detection_id, box), seconds=60)
    with database.reading() as session:
        about = select(Event.id).where(Event.detection_id == detection_id)
        final = session.exec(about.where(col(Event.final_revision).is_not(None))).all()
    told = told_of(detection_id, box)
    return [] if list(final) == told else [f"events {final}, webhooks {told}"]


def told_of(detection_id: str, box: Inbox) -> list[str | None]:
    """The ids of the verified webhooks that told the end."""
    told = []
    for received in box.receiver.received:
        event = json.loads(received.body)
        if received.verified and event["type"] in FINAL and event["data"]["id"] == detection_id:
            told.append(received.webhook_id)
    return told


async def wrong_callbacks(row: Row, detection_id: str, database: Database) -> list[str]:
    """Why the callbacks did not come to what they should."""
    expected = {} if row.detectors else CALLBACKS.get(row.words, {})
    for vendor, states in expected.items():
        try:
            async with asyncio.timeout(60):
                while callback_states(detection_id, vendor, database) not in states:  # noqa: ASYNC110 - asks a database
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return [f"{vendor}'s callbacks: {callback_states(detection_id, vendor, database)}, not {states}"]
    return []


def callback_states(detection_id: str, vendor: str, database: Database) -> Counter[str]:
    with database.reading() as session:
        runs = select(Run.id).where(Run.detection_id == detection_id, Run.vendor == vendor)
        return Counter(session.exec(select(Callback.state).where(col(Callback.run_id).in_(runs))))


def test_every_word_has_its_journey() -> None:
    assert {part for row in (*HEARD_OF, *LOOKED_AT, *HASTY) for part in row.words.split(".")} == WORDS


async def journey(addresses: Addresses, folder: Path, *, turn: asyncio.Lock) -> None:
    for part in ("told", "looking", "hasty"):
        (folder / part).mkdir()
    found = await asyncio.gather(
        play(addresses.looking, folder / "looking", LOOKED_AT, quick(5, 90, resubmit_after=60), turn),
        play(addresses.hasty, folder / "hasty", HASTY, quick(8, 13, unanswered=4), turn),
        play(addresses.told, folder / "told", HEARD_OF, quick(900, 1200), turn),
    )
    wrong = [f"{row}: {fault}" for each in found for row, faults in each.items() for fault in faults]
    assert not wrong, "\n".join(wrong)
    # The forgery with the wrong signature; its author was told so, and nothing came of it.
    database = Database(addresses.told)
    with database.reading() as session:
        quarantined = session.exec(select(Callback.vendor).where(Callback.state == "quarantined")).all()
    database.close()
    assert list(quarantined) == ["aippim"]


async def test_every_word_ends_as_it_should_and_is_told_once(addresses: dict[str, Addresses], tmp_path: Path) -> None:
    await on_both(partial(journey, turn=asyncio.Lock()), addresses, tmp_path)
