"""Every word of the sandbox at once, over real processes: how each run ends, and that the customer hears of it once."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from service.callbacks.models import Callback
from service.detections.models import Run
from service.events.models import Event
from service.kit.database import Database
from service.sandbox.script import WORDS
from tests import postgres
from tests.journeys.at_once import on_both
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import Inbox, inbox
from tests.journeys.processes import deployment
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)

VENDORS = ("aippim", "asc")
FINAL = {"detection.completed", "detection.failed"}


@dataclass(frozen=True)
class End:
    """How a run ends."""

    status: str = "succeeded"
    verdict: str | None = "ai_generated"
    reason: str | None = None
    via: str | None = "callback"
    tries: int = 1
    maybe_billed_twice: bool = False


EITHER_WAY = "callback or poll"
HEARD = End()
POLLED = End(via="poll")
NO_SENSE = End("failed", None, "schema_mismatch", None)
BROKEN = End("failed", None, "vendor_error")

ENDS: dict[str, dict[str, End]] = {
    "ai": {"aippim": HEARD, "asc": HEARD},
    "human": dict.fromkeys(VENDORS, End(verdict="no_ai_detected")),
    "cover": {"aippim": HEARD, "asc": HEARD},
    "fail": {"aippim": BROKEN, "asc": replace(BROKEN, via="poll")},  # ASC calls nobody back about a failure
    "slow.ai": {"aippim": HEARD, "asc": HEARD},
    "lost-callback.ai": {"aippim": POLLED, "asc": POLLED},
    "duplicate-callback.ai": {"aippim": HEARD, "asc": HEARD},
    "late-callback.slow.ai": {"aippim": POLLED, "asc": POLLED},
    "early-callback.ai": {"aippim": HEARD, "asc": HEARD},
    "reordered-callback.ai": {"aippim": HEARD, "asc": HEARD},
    "forged-callback.slow.ai": {"aippim": HEARD, "asc": HEARD},
    # Two refusals in, a busy machine may look before the callback is there: what counts is the third try.
    "rate-limited.ai": dict.fromkeys(VENDORS, End(via=EITHER_WAY, tries=3)),
    # The fetch that should confirm the callback meets the 500.
    "outage.ai": dict.fromkeys(VENDORS, End(via="poll", tries=3, maybe_billed_twice=True)),
    # AIPPIM's callback names a task we never heard of; ASC's comes to the run's own address.
    "silence.ai": {"aippim": End(tries=2, maybe_billed_twice=True), "asc": HEARD},
    "reuse.ai": {"aippim": HEARD, "asc": HEARD},
}
NEVER_ENDS = {"unknown-status.ai": NO_SENSE, "garbage.ai": NO_SENSE}


def quick(first_poll_seconds: str, deadline_seconds: str) -> dict[str, str]:
    """Settings quick enough for a test.

    A callback that is not held back wins over a patient first poll by seconds (the slow ones come at 3), and that
    poll over the late ones (at 12). Neither costs time: `rate-limited` takes longest, by the waits between its tries.
    """
    knobs = {
        "FIRST_POLL_SECONDS": first_poll_seconds,
        "POLL_SECONDS": "3",
        "POLL_MAX_SECONDS": "3",
        "TIMEOUT_SECONDS": "6",
        "RESUBMIT_AFTER_SECONDS": "4",
        "DEADLINE_SECONDS": deadline_seconds,
    }
    named = {f"{vendor}_{name}": value for vendor in ("AIPPIM", "ASC") for name, value in knobs.items()}
    return {**named, "SANDBOX_LATENCY_SECONDS": "0.6"}


PATIENT, HASTY = quick("8", "60"), quick("2", "6")


@dataclass(frozen=True)
class Addresses:
    """Two databases on one engine, for a patient deployment and a hasty one."""

    patient: str
    hasty: str


@pytest.fixture
def addresses(sqlite_template: Path, postgres_folder: Path, tmp_path: Path) -> Iterator[dict[str, Addresses]]:
    """Migrated databases, by engine."""
    with ExitStack() as stack:
        names = [f"t_words_{tmp_path.name}_{n}" for n in range(2)]
        rows = [stack.enter_context(postgres.fresh_database(postgres_folder, name)) for name in names]
        files = [f"sqlite:///{shutil.copyfile(sqlite_template, tmp_path / f'{n}.db')}" for n in range(2)]
        yield {"sqlite": Addresses(*files), "postgresql": Addresses(*rows)}


async def play(database_url: str, folder: Path, names: list[str], settings: dict[str, str]) -> dict[str, list[str]]:
    """All names are asked about at once, in a deployment of their own; what was found wrong, by name."""
    async with AsyncExitStack() as stack:
        box = await stack.enter_async_context(inbox())
        one = stack.enter_context(deployment(database_url, folder, **settings))
        one.start()
        key, _ = await asyncio.gather(one.key("test"), one.ready())
        asking = Customer(await stack.enter_async_context(customer(one.url, key)))
        box.secrets.append(await asking.register(box.url))
        media = [await asking.upload(folder, f"tune.{name}.wav") for name in names]
        asked = await asyncio.gather(*map(asking.ask, media))
        results = await asyncio.gather(*map(asking.ended, asked))
        database = Database(database_url)
        stack.callback(database.close)
        found = {}
        for name, result in zip(names, results, strict=True):
            wrong = [*wrong_runs(name, result, database), *await wrong_telling(result["id"], box, database)]
            found[name] = [*wrong, *await wrong_callbacks(name, result["id"], database)]
        errors = [line for process in one.processes for line in process.log.splitlines() if '"level": "error"' in line]
        doubled = [f"{box.receiver.duplicates} webhooks came twice"] if box.receiver.duplicates else []
        return {name: wrong for name, wrong in {**found, "log": errors, "receiver": doubled}.items() if wrong}


def wrong_runs(name: str, result: dict[str, Any], database: Database) -> list[str]:
    """The runs that did not end as they should."""
    expected = ENDS.get(name) or dict.fromkeys(VENDORS, NEVER_ENDS.get(name, HEARD))
    with database.reading() as session:
        tries = {run.id: run.submit_tries for run in session.exec(select(Run).where(Run.detection_id == result["id"]))}
    ends = {one["vendor"]: end_of(one, tries[one["run_id"]]) for one in result["detectors"]}
    return [
        f"{vendor}: {ends.get(vendor)}, not {end}"
        for vendor, end in expected.items()
        if not is_as(ends.get(vendor), end)
    ]


def is_as(found: End | None, expected: End) -> bool:
    """Whether the run ended as expected; where either way will do, by one of the two."""
    if found is None or expected.via != EITHER_WAY:
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
    )


async def wrong_telling(detection_id: str, box: Inbox, database: Database) -> list[str]:
    """Why this detection's end was not told exactly once, in one verified webhook."""
    await until(lambda: told_of(detection_id, box), seconds=20)
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


RACING = (Counter(applied=1, late=1), Counter(applied=2))
FORGED = (Counter(applied=2, late=1), Counter(applied=3))  # what was signed wrongly belongs to no run
STATES: dict[str, dict[str, tuple[Counter[str], ...]]] = {
    "lost-callback.ai": dict.fromkeys(VENDORS, (Counter(),)),
    "late-callback.slow.ai": {"aippim": (Counter(applied=1, late=1),), "asc": (Counter(late=1),)},
    "reordered-callback.ai": {"aippim": RACING, "asc": (Counter(applied=1),)},
    "early-callback.ai": dict.fromkeys(VENDORS, (Counter(applied=1),)),
    "forged-callback.slow.ai": {"aippim": FORGED, "asc": (Counter(applied=1, conflict=1),)},
    "garbage.ai": {"aippim": (Counter(applied=1),), "asc": (Counter(quarantined=3),)},
}
"""What becomes of the callbacks, where that says something. AIPPIM's first one says `processing`.

What cannot be read names no task of AIPPIM's and so no run; ASC's comes to the run's own address.
"""


async def wrong_callbacks(name: str, detection_id: str, database: Database) -> list[str]:
    """Why the callbacks did not come to what they should."""
    expected = STATES.get(name, {})
    for vendor, states in expected.items():
        try:
            async with asyncio.timeout(15):
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
    assert {part for name in (*ENDS, *NEVER_ENDS) for part in name.split(".")} == WORDS


async def journey(addresses: Addresses, folder: Path) -> None:
    for part in ("patient", "hasty"):
        (folder / part).mkdir()
    patient, hasty = await asyncio.gather(
        play(addresses.patient, folder / "patient", list(ENDS), PATIENT),
        play(addresses.hasty, folder / "hasty", list(NEVER_ENDS), HASTY),
    )
    assert patient | hasty == {}
    # The forgery with the wrong signature; its author was told so, and nothing came of it.
    database = Database(addresses.patient)
    with database.reading() as session:
        quarantined = session.exec(select(Callback.vendor).where(Callback.state == "quarantined")).all()
    database.close()
    assert list(quarantined) == ["aippim"]


async def test_every_word_ends_as_it_should_and_is_told_once(addresses: dict[str, Addresses], tmp_path: Path) -> None:
    await on_both(journey, addresses, tmp_path)
