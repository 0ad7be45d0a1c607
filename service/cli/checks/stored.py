"""The database: that it answers, is of this version, has room, and can be read with the keys we have."""

import os
from pathlib import Path

from sqlalchemy import text
from sqlmodel import Session

from service.cli.checks.finding import Finding, World, at_work, fail, many, ok, warn
from service.cli.operate.database import EVERYTHING
from service.events.backlog import beyond_the_server
from service.kit.db.database import normalise_url
from service.kit.db.listen import can_listen
from service.kit.db.server import clock_skew, connections_allowed
from service.kit.schema.revisions import head_revision, is_known, revision_in
from service.kit.security.resealing import census
from service.kit.security.sealing import Sealer

_OLDEST_POSTGRES = 13
_SKEW_SECONDS = 2.0
_NETWORK_DISKS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs", "fuse.s3fs")
_ENCRYPTED = ("require", "verify-ca", "verify-full")
_MOUNTS = Path("/proc/mounts")


async def check_database(world: World) -> Finding:
    """Check that it answers. A SQLite file that does not exist is not created."""
    path = _file(world)
    if path is not None and not path.exists():
        return fail(f"there is no {path}; run: {world.dev or 'relay migrate'}")
    try:
        await world.database.read(lambda session: session.connection().execute(text("SELECT 1")))
    except Exception as error:  # noqa: BLE001 - whatever is wrong, its first line is what the operator needs
        return fail(f"DATABASE_URL does not answer ({str(error).splitlines()[0][:200]}); check address and network")
    return ok("SQLite answers" if path else "PostgreSQL answers")


async def check_schema(world: World) -> Finding:
    """Check that the tables are those of this version."""
    revision = await world.database.read(lambda session: revision_in(session.connection()))
    if revision == head_revision():
        return ok(f"at {revision}, the newest")
    if revision is not None and not is_known(revision)[0]:
        return warn(f"the database is at {revision}, newer than this code; deploy the newer version everywhere")
    mend = f"stop it and run: {world.dev}" if world.dev else "run: relay migrate"
    return fail(f"the database is at {revision or 'nothing'} and this code at {head_revision()}; {mend}")


async def check_sqlite_disk(world: World) -> Finding:
    """SQLite's locks and its shared memory need a disk of this machine's own, and a folder to write in."""
    path = _file(world)
    if path is None:
        return ok("not SQLite")
    folder = path.resolve().parent
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        return fail(f"{folder} cannot be written to; give it to the user that runs relay")
    if (kind := _disk(folder)) in _NETWORK_DISKS:
        return fail(f"{folder} is on a network disk ({kind}), where SQLite loses data; use a local one, or PostgreSQL")
    return ok(f"{folder} is local and can be written to")


async def check_postgres_version(world: World) -> Finding:
    """Check the version: the feed of events needs PostgreSQL 13."""
    if world.database.is_sqlite:
        return ok("not PostgreSQL")
    number = await world.database.read(_setting, "server_version_num")
    if (major := int(number) // 10_000) < _OLDEST_POSTGRES:
        return fail(f"PostgreSQL {major} is too old; upgrade to {_OLDEST_POSTGRES} or newer")
    return ok(f"PostgreSQL {major}")


async def check_connections(world: World) -> Finding:
    """Check that all processes together stay below the number of connections that the server allows this role."""
    if world.database.is_sqlite:
        return ok("not PostgreSQL")
    allowed = await world.database.read(connections_allowed)
    workers = await world.database.read(at_work, world.clock())
    settings, workers = world.settings, max(1, workers)
    processes = settings.web_concurrency + workers
    needed = settings.web_concurrency * (settings.connections(works=False) + 1)  # one more to listen
    needed += workers * (settings.connections(works=True) + 1)
    if needed > allowed:
        advice = "lower DATABASE_CONNECTIONS, use fewer processes, a larger plan, or a pooler with DATABASE_LISTEN_URL"
        who = many(processes, "process", "processes")
        return fail(f"{who} may need {needed} connections and {allowed} are allowed; {advice}")
    return ok(f"{many(processes, 'process needs', 'processes need')} at most {needed} of {allowed} connections")


async def check_listen(world: World) -> Finding:
    """Check that NOTIFY reaches us; a transaction-mode pooler drops it."""
    if world.database.is_sqlite:
        return ok("one process does everything: there is no other to hear of")
    settings = world.settings
    url = normalise_url(settings.database_listen_url or settings.database_url)
    if await can_listen(url, world.database.url, world.database.patience):
        return ok("NOTIFY is heard")
    return warn(
        "NOTIFY is not heard, so each process looks every 250 ms; set DATABASE_LISTEN_URL to a session-mode address"
    )


async def check_clock(world: World) -> Finding:
    """Check that the clocks agree: leases and due times of several machines are compared."""
    if world.database.is_sqlite:
        return ok("one machine, one clock")
    skew = await clock_skew(world.database, world.clock)
    if skew >= _SKEW_SECONDS:
        return fail(f"this clock and the database's differ by {skew:.1f} s; run NTP on both")
    return ok(f"this clock and the database's agree within {_SKEW_SECONDS:.0f} s")


async def check_feed(world: World) -> Finding:
    """Check that the feed shows every event; after a restore into another server it may miss some."""
    if count := await world.database.read(beyond_the_server):
        return fail(
            f"{many(count, 'event has', 'events have')} a transaction number that this server has not reached,"
            " so /v1/events never shows them; docs/reading.md, 'After a restore', has the statement that mends it"
        )
    return ok("every event can be read")


async def check_seals(world: World) -> Finding:
    """Check that every key that sealed something stored is still listed."""
    known = set(Sealer(world.settings.secret_keys).key_ids)
    lost = {}
    for sealed in EVERYTHING:
        found = await world.database.read(census, sealed)
        if count := sum(many for key_id, many in found.items() if key_id not in known):
            keys = sorted(key_id for key_id in found if key_id not in known)
            lost[sealed.name] = f"{count} in {sealed.name} (key {', '.join(keys)})"
    if lost:
        return fail(f"SECRET_KEYS lacks a key that sealed {'; '.join(lost.values())}; add the old key after the new")
    return ok("everything sealed can be opened with SECRET_KEYS")


async def check_sslmode(world: World) -> Finding:
    """Check that the connection to a remote database is encrypted."""
    url = world.database.url
    host = url.host or str(url.query.get("host", ""))
    near = not host or host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
    if world.database.is_sqlite or near:
        return ok("the database is on this machine")
    if str(url.query.get("sslmode", "")) in _ENCRYPTED:
        return ok(f"sslmode is {url.query['sslmode']}")
    return warn("DATABASE_URL leads over a network and may go unencrypted; add ?sslmode=require")


def _setting(session: Session, name: str) -> str:
    return str(session.connection().execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one())


def _file(world: World) -> Path | None:
    return Path(world.database.url.database or "") if world.database.is_sqlite else None


def _disk(folder: Path) -> str:
    """Return the kernel's name for the type of the folder's disk; empty where it lists none."""
    if not _MOUNTS.exists():
        return ""
    fields = [line.split(" ") for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()]
    fitting = [(len(row[1]), row[2]) for row in fields if len(row) > 2 and folder.is_relative_to(row[1])]  # noqa: PLR2004
    return max(fitting, default=(0, ""))[1]
