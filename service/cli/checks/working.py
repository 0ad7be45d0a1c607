"""The checks of a deployment at work: workers, queues, the audio's store, the vendors' gates, accounts' budgets."""

import shutil
import tempfile
from pathlib import Path

from sqlmodel import Session

from service.api.operating.waits import waits
from service.billing.budgets import budgets, unpriced_text
from service.billing.prices import load_prices
from service.cli.checks.finding import FRESH, Finding, World, at_work, fail, latest_worker, many, ok, warn
from service.kit.db.queues import Backlog
from service.quotas.circuit import Circuit
from service.quotas.gate_store import read_gates
from service.quotas.gates import OUT_OF_CREDIT, left_today
from service.quotas.models import Gate

_LATE_SECONDS = 300.0
_MIB = 1024 * 1024
_LITTLE_SPACE, _NO_SPACE = 1024 * _MIB, 100 * _MIB
_PAST_DUE = ("sources_due", "runs_queued", "runs_unknown", "runs_waiting", "callbacks_due", "deliveries_fresh")


async def check_media_store(world: World) -> Finding:
    """Check that audio can be written where it is to be stored."""
    folder = media_folder(world)
    if folder is None:
        return ok("audio is kept in the database")
    try:
        with tempfile.TemporaryFile(dir=_there(folder)) as file:
            file.write(b"relay")
    except OSError as error:
        return fail(
            f"MEDIA_STORE: {folder} cannot be written to ({error.strerror}); give it to the user that runs relay"
        )
    return ok(f"{folder} can be written to")


async def check_media_shared(world: World) -> Finding:
    """Check that web and worker see the same audio."""
    folder = media_folder(world)
    if folder is not None and not world.settings.is_sqlite:
        return fail(
            f"MEDIA_STORE is the folder {folder}, but on PostgreSQL web and worker are separate processes, often with"
            " no disk in common; use database:"
        )
    return ok("one process has the folder for itself" if folder else "all processes see the same audio")


async def check_disk_space(world: World) -> Finding:
    """Check that the disk has room for new audio and commits."""
    free = {folder: shutil.disk_usage(_there(folder)).free for folder in _folders(world)}
    if not free:
        return ok("nothing is kept on this disk")
    folder, least = min(free.items(), key=lambda pair: pair[1])
    if least < _NO_SPACE:
        return fail(f"{folder} has {least // _MIB} MiB left; free some, or uploads and commits fail")
    if least < _LITTLE_SPACE:
        return warn(f"{folder} has {least // _MIB} MiB left; free some, or lower MEDIA_RETENTION_HOURS")
    return ok(f"{least // _MIB} MiB free")


async def check_worker(world: World) -> Finding:
    """Check that a worker is running."""
    last = await world.database.read(latest_worker)
    now = world.clock()
    if last is None:
        start = world.dev or "relay worker, or relay web --with-worker"
        return warn(f"no worker has ever run here; start {start}")
    age = now - last.heartbeat_at
    if age >= FRESH:
        start = f"start {world.dev or 'a worker'}"
        return fail(f"the last heartbeat, of {last.kind}, is {age.total_seconds():.0f} s old; {start}")
    return ok(f"{await world.database.read(at_work, now)} at work, the last heartbeat {age.total_seconds():.0f} s ago")


async def check_waiting(world: World) -> Finding:
    """Check that due work is claimed within minutes."""
    now = world.clock()
    late = [
        f"{one.state} ({one.count}, {one.age_seconds(now):.0f} s)"
        for one in await _waits(world)
        if one.state in _PAST_DUE and one.age_seconds(now) > _LATE_SECONDS
    ]
    if late:
        return fail(f"due and not taken up: {', '.join(late)}; is a worker running, and is there one too few?")
    return ok("everything due is taken up")


async def check_stuck(world: World) -> Finding:
    """Check that detections end in the time their customers asked for."""
    stuck = (await _named(world))["detections_stuck"]
    if stuck.count:
        age = stuck.age_seconds(world.clock())
        late = many(stuck.count, "detection is", "detections are")
        return warn(f"{late} late, the first by {age:.0f} s; see their timelines: ?stuck=true")
    return ok("no detection is late")


async def check_callbacks(world: World) -> Finding:
    """Check that no callback was rejected or given up."""
    found = await _named(world)
    if count := found["callbacks_stuck"].count:
        which = many(count, "callback", "callbacks")
        return fail(f"{which} could not be understood in five tries; the log says callback.crashed")
    if count := found["callbacks_quarantined"].count:
        return warn(
            f"{many(count, 'callback was', 'callbacks were')} rejected; their notes in the log say"
            " whether a vendor changed its secret (set the new one) or its format"
        )
    return ok("no callback was rejected")


def media_folder(world: World) -> Path | None:
    """Return the folder of the audio; `None` where the database stores it."""
    setting = world.settings.store
    return Path(setting.removeprefix("file:")) if setting.startswith("file:") else None


def _folders(world: World) -> list[Path]:
    """Return the folders of this machine in which we store something."""
    database = Path(world.database.url.database or ".").parent if world.database.is_sqlite else None
    return [folder for folder in (database, media_folder(world)) if folder is not None]


def _there(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    whole = folder.resolve()
    return next(place for place in (whole, *whole.parents) if place.exists())


async def _waits(world: World) -> list[Backlog]:
    def read(session: Session) -> list[Backlog]:
        return waits(session, world.catalogue.vendors(), world.clock())

    return await world.database.read(read)


async def _named(world: World) -> dict[str, Backlog]:
    return {one.state: one for one in await _waits(world)}


async def check_gates(world: World) -> Finding:
    """Check that vendors answer, and that their quotas are not used up."""
    now = world.clock()
    found = await world.database.read(_gates)
    vendors = {key: configured for key in found if (configured := world.catalogue.configured(*key)) is not None}
    away = sorted(f"{vendor} ({mode})" for mode, vendor in vendors if found[mode, vendor].circuit != Circuit.CLOSED)
    if away:
        return fail(
            f"left alone after failures or a refused key: {', '.join(away)}; the log says vendor.circuit_opened."
            " Mend the key or wait for the vendor: one run at a time tries again"
        )
    unpaid = sorted(f"{vendor} ({mode})" for mode, vendor in vendors if found[mode, vendor].closed_for == OUT_OF_CREDIT)
    if unpaid:
        return fail(f"out of credit: {', '.join(unpaid)}. Pay there: runs wait, and one at a time tries again")
    spent = sorted(
        f"{vendor} ({mode})"
        for (mode, vendor), configured in vendors.items()
        if left_today(found[mode, vendor], configured.policy.limits, now) == 0
    )
    if spent:
        return warn(f"the quota is used up at {', '.join(spent)}; runs wait for its reset")
    return ok("every vendor that was asked answers, and has quota left")


def _gates(session: Session) -> dict[tuple[str, str], Gate]:
    found = read_gates(session)
    session.expunge_all()
    return found


async def check_budgets(world: World) -> Finding:
    """Check that budgets limit every detector: one whose price is not known may escape them."""
    settings, now = world.settings, world.clock()

    def modes(session: Session) -> set[str]:
        return {one.mode for one in budgets(session, now)}

    found = await world.database.read(modes)
    if not found:
        return ok("no account has a budget")
    if not settings.unknown_price_passes:
        return ok("budgets hold; what has no known price is refused where there is one")
    asked = dict.fromkeys(name for mode in sorted(found) for name in world.catalogue.names(mode))
    names = load_prices(settings.prices_file).unknown(asked, now)
    return warn(unpriced_text(names)) if names else ok("budgets hold: every price is known")
