"""Changing the secret key: everything stored is sealed again, and then the old key may go."""

import json

import pytest
from sqlalchemy import LargeBinary
from sqlmodel import SQLModel, select
from typer.testing import CliRunner

from service.accounts.idempotency import ApiAnswer, RequestIdentity, answer_once, first_answer
from service.callbacks.addresses import address_token
from service.cli.commands import app
from service.cli.operate.database import EVERYTHING
from service.kit.db.columns import table_of
from service.kit.db.database import Database
from service.kit.security.resealing import census, reseal
from service.kit.security.sealing import SealBroken, Sealer
from service.webhooks.endpoints.registry import NewEndpoint, create_endpoint
from service.webhooks.models import Endpoint, EndpointSecret, SigningKey
from service.webhooks.sending.signing import SIGNING_KEY_PURPOSE, open_headers, open_secrets
from tests.webhooks.rows import NOW

OLD_KEY, NEW_KEY = "an older secret key of enough characters", "a newer secret key of enough characters"
OLD, NEW = Sealer([OLD_KEY]), Sealer([NEW_KEY])
ASKED = RequestIdentity("acc_1", "live", "/v1/media", "k", "f")
_NOT_SEALED = {
    "attempt.response_excerpt",
    "callback.body",
    "event.body",
    "media_chunk.data",
    "raw_body.body",
    "signing_key.public",
}


def fill(database: Database, count: int = 3) -> list[str]:
    """Something in each sealed column; the endpoints' secrets in clear."""
    asked = NewEndpoint("acc_1", "live", "https://customer.example/in", ["*"], headers={"x-key": "v"})
    with database.writing() as session:
        secrets = [create_endpoint(session, asked, OLD, NOW)[1] for _ in range(count)]
        answer_once(session, ASKED, lambda _session: ApiAnswer(201, {"id": "med_1"}), OLD, NOW)
        address_token(session, "live", "aippim", OLD, NOW)
        private = OLD.seal(SIGNING_KEY_PURPOSE, "kid_1", b"private")
        session.add(
            SigningKey(kid="kid_1", purpose="certificates", public=b"p", sealed_private=private, created_at=NOW)
        )
    return secrets


def rotate(monkeypatch: pytest.MonkeyPatch, url: str, *keys: str) -> tuple[int, dict[str, dict[str, int]]]:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("SECRET_KEYS", ",".join(keys))
    result = CliRunner().invoke(app, ["rotate-keys", "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_after_a_rotation_the_old_key_may_go(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = fill(database)
    status, counts = rotate(monkeypatch, database_url, NEW_KEY, OLD_KEY)
    assert status == 0
    assert {name: counted["resealed"] for name, counted in counts.items()} == {
        "endpoint_secret.sealed": 3,
        "endpoint.sealed_headers": 3,
        "signing_key.sealed_private": 1,
        "callback_address.sealed_token": 1,
        "idempotency.answer": 1,
    }
    with database.reading() as session:
        assert all(list(census(session, sealed)) == [NEW.key_ids[0]] for sealed in EVERYTHING)
        boxes = [(row.id, row.sealed) for row in session.exec(select(EndpointSecret))]
        assert sorted(open_secrets(NEW, boxes)) == sorted(secrets)
        endpoints = session.exec(select(Endpoint)).all()
        assert [open_headers(NEW, row.id, row.sealed_headers) for row in endpoints] == [{"x-key": "v"}] * 3
        assert first_answer(session, ASKED, NEW, NOW) == ApiAnswer(201, {"id": "med_1"})
        assert address_token(session, "live", "aippim", NEW, NOW)
        private = session.get_one(SigningKey, "kid_1").sealed_private
        assert NEW.open(SIGNING_KEY_PURPOSE, "kid_1", private or b"") == b"private"


def test_it_may_be_repeated_and_changes_nothing_then(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)
    rotate(monkeypatch, database_url, NEW_KEY, OLD_KEY)
    status, counts = rotate(monkeypatch, database_url, NEW_KEY, OLD_KEY)
    assert (status, counts["endpoint_secret.sealed"]) == (0, {"resealed": 0, "fresh": 3, "broken": 0})
    assert {counted["resealed"] for counted in counts.values()} == {0}


def test_what_no_key_opens_is_told_left_alone_and_a_failure(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)
    status, counts = rotate(monkeypatch, database_url, NEW_KEY)
    assert (status, counts["endpoint_secret.sealed"]) == (1, {"resealed": 0, "fresh": 0, "broken": 3})
    with database.reading() as session:
        row = session.exec(select(EndpointSecret)).first()
        assert row is not None
        with pytest.raises(SealBroken):
            open_secrets(NEW, [(row.id, row.sealed)])
        assert open_secrets(OLD, [(row.id, row.sealed)])


def test_rows_go_by_slices_and_none_is_passed_over(database: Database) -> None:
    fill(database, count=5)
    (secrets,) = (sealed for sealed in EVERYTHING if sealed.model is EndpointSecret)
    both, after, sizes = Sealer([NEW_KEY, OLD_KEY]), None, []
    while True:
        with database.writing() as session:
            done = reseal(session, secrets, both, after, 2)
        sizes.append(done.resealed)
        after = done.last
        if after is None:
            break
    assert sizes == [2, 2, 1]


def test_every_sealed_column_is_known() -> None:
    binary = {
        f"{table.name}.{column.name}"
        for table in SQLModel.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary) and not table.name.startswith("thing")
    }
    assert binary - _NOT_SEALED == {sealed.name for sealed in EVERYTHING}
    assert all(sealed.key in table_of(sealed.model).c for sealed in EVERYTHING)
