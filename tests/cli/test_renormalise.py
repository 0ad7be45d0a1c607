"""`relay renormalise`: what it prints, what it ends with, and that real adapters and webhooks are behind it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select
from typer.testing import CliRunner, Result

from service.cli.commands import app
from service.detections.submit import submit
from service.detectors.enums import Authenticity, ReasonCode, RunStatus, Via
from service.detectors.port import Raw
from service.detectors.reading import Reading
from service.events.models import Event
from service.kit.db.database import Database
from service.kit.security.sealing import Sealer
from service.kit.system_clock import system_clock
from service.runs.inputs import VendorAnswer
from service.runs.state.models import Observation, Run
from service.webhooks.endpoints.registry import NewEndpoint, create_endpoint
from service.webhooks.models import Delivery
from tests.detections.rows import add_media, policy_of, question
from tests.detections.scripted import asc
from tests.runs.acting import observe

_SECRET = "a made-up secret key of enough characters"
_BODY = {"status": "completed", "job_id": "j1", "prediction": "ai", "ai_score": 91, "confidence_level": "high"}


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Any:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("SECRET_KEYS", _SECRET)

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["renormalise", *words])

    return run


def _misread(database: Database) -> str:
    """A detection that ASC answered with its word for AI, of which an older adapter made nothing."""
    old = Reading(status=RunStatus.FAILED, reason_code=ReasonCode.UNKNOWN_VERDICT, verdict_raw="ai")
    now = system_clock() - timedelta(hours=1)
    policy = policy_of(asc())
    with database.writing() as session:
        made = submit(session, question(media_id=add_media(session).id, detectors=("asc",)), policy, now)
        session.flush()
        run_id = session.exec(select(Run.id)).one()
        raw = Raw(200, {"content-type": "application/json"}, json.dumps(_BODY).encode(), now)
        observe(session, run_id, VendorAnswer(Via.POLL, raw, old, Authenticity.TLS_FETCH), policy, now)
        asked = NewEndpoint("acc_1", "live", "https://customer.example/in", ["detection.*"])
        create_endpoint(session, asked, Sealer([_SECRET]), now)
        return made.id


def test_a_trial_tells_and_then_the_answer_is_revised_once(database: Database, relay: Any) -> None:
    detection_id = _misread(database)
    trial = relay("--dry-run")
    assert (trial.exit_code, trial.stdout.splitlines()[0]) == (0, f"{detection_id}  not_analyzed → ai_generated")
    assert "1 would be revised" in trial.stdout
    told = relay("--json", "--detector", "asc", "--since", "2020-01-01")
    change = {"detection_id": detection_id, "before": "not_analyzed", "after": "ai_generated"}
    assert json.loads(told.stdout) == {
        "dry_run": False,
        "detections": 1,
        "changed": 1,
        "broken": 0,
        "runs": {"read": 1},
        "changes": [change],
        "last": detection_id,
    }
    assert json.loads(relay("--json").stdout)["changed"] == 0
    with database.reading() as session:
        (event,) = session.exec(select(Event).where(Event.type == "detection.revised")).all()
        delivered = session.exec(select(Delivery.event_id)).all()
    assert list(delivered) == [event.id]


def test_what_could_not_be_looked_at_is_a_failure(database: Database, relay: Any) -> None:
    _misread(database)
    with database.writing() as session:
        session.exec(select(Observation)).one().reading = "{"
    told = relay()
    assert told.exit_code == 1
    assert "1 failed" in told.stdout


def test_bytes_past_their_time_are_not_read(database: Database, relay: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _misread(database)
    monkeypatch.setenv("RAW_RETENTION_DAYS", "0.01")
    assert json.loads(relay("--json").stdout)["runs"] == {"raw_missing": 1}


@pytest.mark.parametrize("words", [("--detector", "nobody"), ("--after", "run_1"), ("--since", "yesterday")])
def test_what_names_nothing_is_refused(relay: Any, words: tuple[str, str]) -> None:
    assert relay(*words).exit_code == 2


def test_it_goes_on_after_a_detection(database: Database, relay: Any) -> None:
    detection_id = _misread(database)
    assert json.loads(relay("--json", "--after", detection_id).stdout)["detections"] == 0
