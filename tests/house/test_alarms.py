"""The alert rules and the dashboard ask for what the service exposes; each alert has a heading in `docs/alarms.md`."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from service import app, worker
from service.api.operating.metrics import GAUGES, HEARTBEAT
from service.api.operating.waits import waits
from service.cli.http import problems as http_problems
from service.kit.db.database import Database
from service.kit.system_clock import system_clock
from service.kit.telemetry.metrics import declared

_ROOT = Path(__file__).resolve().parents[2]
_PROMETHEUS = _ROOT / "deploy" / "prometheus"
_DASHBOARD = _ROOT / "deploy" / "grafana" / "relay.json"
_PAGE = (_ROOT / "docs" / "alarms.md").read_text(encoding="utf-8")
_OPERATIONS = (_ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
_LOADED = (app, worker, http_problems)  # with all they import: a counter is declared where it counts
_OF_PROMETHEUS = {"job", "instance"}
_SEVERITIES = {"page", "ticket", "info"}
_SELECTOR = re.compile(r"\b(relay_[a-z_]+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')
_PARTS_OF_A_HISTOGRAM = re.compile(r"_(bucket|count|sum)$")


def _rules() -> list[dict[str, Any]]:
    found = yaml.safe_load((_PROMETHEUS / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(_DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in panels if panel["type"] != "row"]


def _expressions() -> list[str]:
    return [
        *(rule["expr"] for rule in _rules()),
        *(target["expr"] for panel in _panels() for target in panel["targets"]),
    ]


def _labels() -> dict[str, set[str]]:
    """The labels of each metric. A part of a histogram has its labels and `le`."""
    assert _LOADED
    counts = {count.name: {"process", "le", *count.labels} for count in declared()}
    gauges = {name: {"worker", "process"} if name == HEARTBEAT else {"state"} for name in GAUGES}
    return counts | gauges | {"up": _OF_PROMETHEUS}


def _selected() -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Each selector of each expression: the expression, its metric, its matchers."""
    for expression in _expressions():
        for metric, matchers in _SELECTOR.findall(expression):
            yield expression, metric, _MATCHER.findall(matchers)


def _known(metric: str) -> str:
    """Return the name under which the service declares `metric`."""
    whole = _PARTS_OF_A_HISTOGRAM.sub("", metric)
    return whole if metric not in _labels() and whole in _labels() else metric


def test_every_metric_that_is_asked_for_exists() -> None:
    asked = {_known(metric) for _, metric, _ in _selected()}
    assert len(asked) > 10
    assert asked - _labels().keys() == set()


def test_every_label_that_is_asked_for_exists() -> None:
    labels = _labels()
    wrong = [
        (metric, label)
        for _, metric, matchers in _selected()
        for label, _ in matchers
        if label not in labels[_known(metric)]
    ]
    for expression in _expressions():
        grouped = {name.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for name in group.split(",")}
        metrics = {_known(metric) for metric, _ in _SELECTOR.findall(expression)}
        wrong += [(expression, name) for name in grouped if not any(name in labels[metric] for metric in metrics)]
    assert wrong == []


def test_every_state_that_is_asked_for_exists(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.reading() as session:
        states = {one.state for one in waits(session, ["asc"], system_clock())}
    database.close()
    asked = {
        word
        for _, _, matchers in _selected()
        for label, value in matchers
        if label == "state"
        for word in value.split("|")
    }
    assert asked
    assert asked - states == set()


def test_every_outcome_that_is_asked_for_is_described() -> None:
    labels = {"class", "code", "outcome", "waiting_for"}
    asked = {
        word
        for _, _, matchers in _selected()
        for label, value in matchers
        if label in labels
        for word in value.split("|")
    }
    assert asked
    assert [word for word in asked if f"`{word}`" not in _OPERATIONS] == []


def test_every_alert_says_how_urgent_it_is_and_what_is_wrong() -> None:
    names = [rule["alert"] for rule in _rules()]
    assert len(names) == len(set(names))
    assert [rule["alert"] for rule in _rules() if rule["labels"].get("severity") not in _SEVERITIES] == []
    assert [rule["alert"] for rule in _rules() if not rule["annotations"]["summary"].endswith(".")] == []


def test_every_alert_has_its_heading_and_every_heading_its_alert() -> None:
    headings = re.findall(r"^### (\w+)$", _PAGE, flags=re.MULTILINE)
    assert headings == [rule["alert"] for rule in _rules()], "in the order of the rules"
    assert [rule["annotations"]["runbook"] for rule in _rules()] == [
        f"docs/alarms.md#{name.lower()}" for name in headings
    ]


def test_a_panel_has_a_unit_a_title_and_a_data_source_that_is_chosen() -> None:
    titles = [panel["title"] for panel in _panels()]
    assert len(titles) == len(set(titles))
    assert {panel["datasource"]["uid"] for panel in _panels()} == {"${datasource}"}
    assert [panel["title"] for panel in _panels() if not panel["fieldConfig"]["defaults"]["unit"]] == []


def test_the_scraped_job_is_the_one_that_the_alerts_name() -> None:
    scraped = yaml.safe_load((_PROMETHEUS / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    assert [one["job_name"] for one in scraped] == ["relay"]
    assert {value for _, _, matchers in _selected() for label, value in matchers if label == "job"} == {"relay"}


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool comes with Prometheus, and is not installed here"
)
def test_prometheus_itself_accepts_the_rules_and_their_examples(tmp_path: Path) -> None:
    asked = [
        {"record": f"relay:panel_{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(_expressions())
    ]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": asked}]}))
    for arguments in (
        ["check", "config", "--syntax-only", str(_PROMETHEUS / "prometheus.yaml")],
        ["check", "rules", str(_PROMETHEUS / "alerts.yaml"), str(tmp_path / "panels.yaml")],
        ["test", "rules", str(_PROMETHEUS / "alerts_test.yaml")],
    ):
        told = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert told.returncode == 0, told.stdout + told.stderr
