"""An account's callback address: stored, sealed, and rotated on its own."""

from datetime import timedelta

from sqlmodel import select

from service.callbacks.addresses import address_token, mode_of_address, rotate_address
from service.callbacks.models import CallbackAddress
from service.kit.database import Database
from service.kit.sealing import Sealer
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
