"""Counting, measuring, and writing numbers down as Prometheus reads them. The library's own parser is the witness."""

import asyncio
import json
import re
from collections.abc import Iterable, Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.kit.telemetry.exposition import written
from service.kit.telemetry.metrics import BOUNDS, Count, Figures, Gauge, Histogram, counted, figures, series

_STEPS = Count("relay_test_steps_total", "Steps of these tests.", "step", "outcome")
_BARE = Count("relay_test_bare_total", "Without labels.")
_WAITS = Histogram("relay_test_waits_seconds", "Waits of these tests.", "step")
_PLAIN = Histogram("relay_test_plain_seconds", "Without labels.")
# The grammar of https://prometheus.io/docs/instrumenting/exposition_formats/, as far as we use it.
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
LINE = re.compile(rf"[a-zA-Z_:][a-zA-Z0-9_:]*(\{{{_LABEL}(,{_LABEL})*\}})? -?[0-9.e+-]+")

Sample = tuple[str, frozenset[tuple[str, str]]]


def sample(name: str, /, **labels: str) -> Sample:
    return name, frozenset(labels.items())


def parsed(text: str) -> dict[Sample, float]:
    """Every sample of the text, by its name and its labels, whose order means nothing."""
    return {
        sample(one.name, **one.labels): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def exposed(by_process: Mapping[str, Figures], gauges: Iterable[Gauge] = ()) -> str:
    return written(by_process, gauges).decode()


def test_what_is_added_is_counted_by_its_labels() -> None:
    before = _STEPS.value("one", "ok")
    _STEPS.add("one", "ok")
    _STEPS.add("one", "ok", n=2)
    _STEPS.add("two", "ok")
    assert _STEPS.value("one", "ok") == before + 3
    assert _STEPS.series()['relay_test_steps_total{step="one",outcome="ok"}'] == before + 3


def test_a_label_left_out_and_a_name_taken_are_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        _STEPS.add("one")
    with pytest.raises(ValueError, match="labels"):
        _WAITS.observe(1)
    with pytest.raises(ValueError, match="taken"):
        Count("relay_test_steps_total", "Again.")
    with pytest.raises(ValueError, match="no name"):
        Count("relay_steps", "A counter ends in _total.")
    with pytest.raises(ValueError, match="no name"):
        Histogram("relay_steps_total", "A histogram ends in _seconds.")


def test_the_text_is_by_the_grammar_whatever_stands_in_a_label() -> None:
    hostile = 'a "quoted"\\ {name}\nwith, commas=\\n'
    gauge = Gauge("relay_g", "A\nline \\ break.", ("state",), {(hostile,): 1.5})
    _STEPS.add(hostile, "x")
    lines = exposed({hostile: counted()}, [gauge]).splitlines()
    assert lines[-3:-1] == ["# HELP relay_g A\\nline \\\\ break.", "# TYPE relay_g gauge"]
    assert [line for line in lines if not line.startswith("#") and not LINE.fullmatch(line)] == []
    found = parsed("\n".join(lines) + "\n")
    assert found[sample("relay_g", state=hostile)] == 1.5
    assert found[sample("relay_test_steps_total", process=hostile, step=hostile, outcome="x")] == 1


def test_a_counter_is_written_as_it_always_was() -> None:
    text = exposed({"a:1": {'relay_test_steps_total{step="one",outcome="ok"}': 4.0}})
    assert "# HELP relay_test_steps_total Steps of these tests.\n# TYPE relay_test_steps_total counter\n" in text
    assert "# HELP relay_test_bare_total Without labels.\n# TYPE relay_test_bare_total counter\n" in text
    assert parsed(text) == {sample("relay_test_steps_total", process="a:1", step="one", outcome="ok"): 4}
    assert "_created" not in text


def test_processes_count_apart() -> None:
    mine, theirs = {"relay_test_bare_total": 4.0}, {"relay_test_bare_total": 7.0, "relay_gone_total": 1.0}
    assert parsed(exposed({"a:1": mine, "b:2": theirs})) == {
        sample("relay_test_bare_total", process="a:1"): 4,
        sample("relay_test_bare_total", process="b:2"): 7,
    }


def test_a_histogram_counts_in_buckets_that_contain_those_below() -> None:
    before = _WAITS.count("one")
    for seconds in (0.001, 0.005, 0.0051, 3, 3_600, -1):
        _WAITS.observe(seconds, "one")
    assert _WAITS.count("one") == before + 6
    found = parsed(exposed({"a:1": _through_json(figures())}))
    of_it = {"process": "a:1", "step": "one"}
    buckets = [found[sample("relay_test_waits_seconds_bucket", le=le, **of_it)] for le in [*map(str, BOUNDS), "+Inf"]]
    assert buckets == [3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 6]
    assert found[sample("relay_test_waits_seconds_count", **of_it)] == buckets[-1]
    assert found[sample("relay_test_waits_seconds_sum", **of_it)] == pytest.approx(3_603.0111)


def _through_json(of: Figures) -> Figures:
    """As a heartbeat holds them."""
    loaded: Figures = json.loads(json.dumps(of))
    return loaded


def test_what_was_read_of_a_histogram_does_not_change() -> None:
    _WAITS.observe(1, "read")
    was = _WAITS.series()[series("relay_test_waits_seconds", {"step": "read"})]
    _WAITS.observe(1, "read")
    assert sum(was[:-1]) == 1


def test_buckets_of_another_version_are_left_out() -> None:
    others: Figures = {
        "relay_test_plain_seconds": [1.0, 2.0],
        "relay_test_bare_total": [1.0],
        'relay_test_steps_total{step="one"}': 3.0,
        'relay_test_waits_seconds{step="one"}': 7.0,
    }
    assert parsed(exposed({"old:1": others})) == {}


async def test_work_is_measured_whether_it_returns_or_raises() -> None:
    async def fails() -> None:
        raise LookupError

    before = _PLAIN.count()
    assert await _PLAIN.timed(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(LookupError):
        await _PLAIN.timed(fails())
    assert _PLAIN.count() == before + 2
