"""What `docs/operations.md` names is there, and what can be measured or checked is named."""

import re
from pathlib import Path

from sqlmodel import Session

from service import app, worker
from service.api.operating.metrics import GAUGES
from service.api.operating.waits import waits
from service.cli.http import problems as http_problems
from service.cli.operate.doctor import CHECKS
from service.kit.db.database import Database
from service.kit.system_clock import system_clock
from service.kit.telemetry.metrics import declared
from service.vendor_calls.dispatch import DISPATCHED

_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
_LOADED = (app, worker, http_problems)  # with all they import: a counter is declared where it counts
_MADE_BY_TESTS = "relay_test_"


def _metrics() -> set[str]:
    assert DISPATCHED in declared()
    return {count.name for count in declared() if not count.name.startswith(_MADE_BY_TESTS)} | set(GAUGES)


def test_every_metric_is_described_and_no_other_is_named() -> None:
    assert set(re.findall(r"`(relay_[a-z_]+)`", _PAGE)) == _metrics()


def _states(session: Session) -> set[str]:
    return {one.state for one in waits(session, ["asc"], system_clock())}


def test_every_waiting_state_is_described(sqlite_url: str) -> None:
    table = _PAGE.split("| `state` | Waits")[1].split("\n\n")[0]
    named = set(re.findall(r"`([a-z_]+)`", table))
    database = Database(sqlite_url)
    with database.reading() as session:
        assert named == _states(session)
    database.close()


def test_checks_that_the_runbook_sends_to_exist() -> None:
    names = {check.name for check in CHECKS}
    sent_to = [part for row in re.findall(r"doctor: ([^|]+)\|", _PAGE) for part in re.findall(r"`([^`]+)`", row)]
    assert sent_to
    assert [name for name in sent_to if name not in names] == []
