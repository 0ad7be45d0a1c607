"""A new secret counts at once; the old ones sign beside it for as long as was asked, and never longer than they had."""

from datetime import datetime, timedelta

import pytest

from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.webhooks.endpoints.rotate import MOST_AT_ONCE, newest_secret, rotate_secret
from service.webhooks.models import Endpoint
from service.webhooks.sending.signing import open_secrets
from tests.webhooks.rows import NOW, SEALER, claimed, draft, put, put_endpoint

HOUR = timedelta(hours=1)


def rotated(database: Database, endpoint_id: str, overlap: timedelta, now: datetime = NOW) -> str:
    with database.writing() as session:
        return rotate_secret(session, session.get_one(Endpoint, endpoint_id), overlap, SEALER, now)


def signing(database: Database, now: datetime) -> list[str]:
    """The secrets a delivery would be signed with."""
    put(database, draft(f"det_{now.timestamp()}"), now=now)
    claim = claimed(database, now=now)[-1]
    return open_secrets(SEALER, claim.target.sealed_secrets)


def test_both_sign_until_the_overlap_is_over(database: Database) -> None:
    endpoint_id, old = put_endpoint(database)
    new = rotated(database, endpoint_id, 24 * HOUR, NOW + HOUR)
    assert signing(database, NOW + HOUR) == [new, old]
    assert signing(database, NOW + 24.9 * HOUR) == [new, old]
    assert signing(database, NOW + 25 * HOUR) == [new]


def test_without_an_overlap_every_older_one_ends_at_once(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    rotated(database, endpoint_id, 24 * HOUR, NOW)
    newest = rotated(database, endpoint_id, timedelta(0), NOW + HOUR)
    assert signing(database, NOW + HOUR) == [newest]


def test_a_second_rotation_gives_an_old_secret_no_longer_life(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    second = rotated(database, endpoint_id, HOUR, NOW)
    third = rotated(database, endpoint_id, 24 * HOUR, NOW + HOUR / 2)
    assert signing(database, NOW + HOUR) == [third, second]


def test_the_newest_is_the_one_that_is_shown(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    new = rotated(database, endpoint_id, 24 * HOUR, NOW + HOUR)
    with database.reading() as session:
        assert newest_secret(session, session.get_one(Endpoint, endpoint_id), SEALER, NOW + HOUR) == new


def test_so_many_sign_at_once_and_no_more_but_an_emergency_is_never_refused(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    for n in range(1, MOST_AT_ONCE):
        rotated(database, endpoint_id, 24 * HOUR, NOW + n * timedelta(seconds=1))
    with pytest.raises(CallerError, match="5 secrets") as refused:
        rotated(database, endpoint_id, 24 * HOUR, NOW + HOUR)
    assert refused.value.status == 409
    only = rotated(database, endpoint_id, timedelta(0), NOW + HOUR)
    assert signing(database, NOW + HOUR) == [only]
