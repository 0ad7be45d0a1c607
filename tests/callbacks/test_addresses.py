"""An account's callback address: stored, sealed, and rotated on its own."""

from datetime import timedelta

from sqlmodel import select

from service.bench.counting.statements import Counts, counting
from service.callbacks.addresses import KnownAddresses, address_token, mode_of_address, rotate_address
from service.callbacks.models import CallbackAddress
from service.kit.db.database import Database
from service.kit.security.sealing import Sealer
from tests.detections.scripted import NOW

_SEALER = Sealer(["k" * 32])


def _mode(database: Database, token: str, *, vendor: str = "aippim", seconds: float = 0) -> str | None:
    with database.reading() as session:
        return mode_of_address(session, vendor, token, NOW + timedelta(seconds=seconds))


def _token(database: Database, mode: str = "live") -> str:
    with database.writing() as session:
        return address_token(session, mode, "aippim", _SEALER, NOW)


def test_the_address_stays_the_same_and_knows_its_mode(database: Database) -> None:
    live, test = _token(database), _token(database, "test")
    assert (_token(database), live != test) == (live, True)
    assert (_mode(database, live), _mode(database, test)) == ("live", "test")


def test_a_made_up_token_and_another_vendors_are_none(database: Database) -> None:
    token = _token(database)
    found = [
        _mode(database, "x" * 32),
        _mode(database, ""),
        _mode(database, "\0ü"),
        _mode(database, token, vendor="asc"),
    ]
    assert found == [None] * 4


def test_after_rotation_the_old_one_is_taken_for_the_overlap(database: Database) -> None:
    old = _token(database)
    with database.writing() as session:
        new = rotate_address(session, "live", "aippim", _SEALER, overlap=timedelta(seconds=60), now=NOW)
    assert (_token(database), new != old) == (new, True)
    assert (_mode(database, old, seconds=59), _mode(database, old, seconds=60)) == ("live", None)
    assert _mode(database, new, seconds=10**8) == "live"


def test_rotation_without_a_first_address_makes_one(database: Database) -> None:
    with database.writing() as session:
        made = rotate_address(session, "live", "aippim", _SEALER, overlap=timedelta(), now=NOW)
    assert _mode(database, made) == "live"


def test_the_token_stands_nowhere_in_the_clear(database: Database) -> None:
    token = _token(database)
    with database.reading() as session:
        row = session.exec(select(CallbackAddress)).one()
    assert token not in row.token_sha256
    assert token.encode() not in row.sealed_token


async def _known(addresses: KnownAddresses, database: Database, token: str, *seconds: float) -> list[str | None]:
    """What is said of the token at these moments, one after the other."""
    moments = [NOW + timedelta(seconds=each) for each in seconds]
    return [await addresses.mode(database, "aippim", token, now) for now in moments]


async def test_an_address_is_looked_up_once_a_minute(database: Database) -> None:
    with database.writing() as session:
        token = address_token(session, "live", "aippim", _SEALER, NOW)
    counts, addresses = Counts(), KnownAddresses()
    with counting(database.engine, counts):
        assert await _known(addresses, database, token, 0, 1, 59.9) == ["live"] * 3
        assert counts.total == (1, 0)
        assert await _known(addresses, database, token, 60, 30) == ["live"] * 2  # and where the clock was set back
        assert counts.total == (3, 0)


async def test_a_known_address_ends_when_its_overlap_does(database: Database) -> None:
    with database.writing() as session:
        token = address_token(session, "live", "aippim", _SEALER, NOW)
        rotate_address(session, "live", "aippim", _SEALER, overlap=timedelta(seconds=30), now=NOW)
    assert await _known(KnownAddresses(), database, token, 0, 29.9, 30) == ["live", "live", None]


async def test_a_known_address_that_is_retired_at_once_is_refused_a_minute_later(database: Database) -> None:
    with database.writing() as session:
        token = address_token(session, "live", "aippim", _SEALER, NOW)
    addresses = KnownAddresses()
    assert await _known(addresses, database, token, 0) == ["live"]
    with database.writing() as session:
        rotate_address(session, "live", "aippim", _SEALER, overlap=timedelta(), now=NOW)
    assert await _known(addresses, database, token, 59.9, 60, 61) == ["live", None, None]


async def test_what_is_no_address_is_not_remembered(database: Database) -> None:
    counts, addresses = Counts(), KnownAddresses()
    with counting(database.engine, counts):
        assert await _known(addresses, database, "made-up", 0, 1) == [None, None]
    assert counts.total == (2, 0)
    assert not addresses._known


async def test_an_address_is_one_vendors(database: Database) -> None:
    with database.writing() as session:
        token = address_token(session, "live", "aippim", _SEALER, NOW)
    addresses = KnownAddresses()
    assert await addresses.mode(database, "aippim", token, NOW) == "live"
    assert await addresses.mode(database, "asc", token, NOW) is None
