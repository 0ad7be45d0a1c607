"""Counting, and writing numbers down as Prometheus reads them."""

import re

import pytest

from service.kit.telemetry.metrics import Count, Family, counter_families, of_process, rendered, series

_STEPS = Count("relay_test_steps_total", "Steps of these tests.", "step", "outcome")
_BARE = Count("relay_test_bare_total", "Without labels.")
# The grammar of https://prometheus.io/docs/instrumenting/exposition_formats/, as far as we use it.
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
LINE = re.compile(rf"[a-zA-Z_:][a-zA-Z0-9_:]*(\{{{_LABEL}(,{_LABEL})*\}})? -?[0-9.e+-]+")


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
    with pytest.raises(ValueError, match="taken"):
        Count("relay_test_steps_total", "Again.")
    with pytest.raises(ValueError, match="no name"):
        Count("relay_steps", "A counter ends in _total.")


def test_the_text_is_by_the_grammar_whatever_stands_in_a_label() -> None:
    hostile = 'a "quoted"\\ {name}\nwith, commas='
    gauge = Family("relay_g", "gauge", "A\nline \\ break.", {series("relay_g", {"state": hostile}): 1.5})
    lines = rendered([gauge]).splitlines()
    assert lines[:2] == ["# HELP relay_g A\\nline \\\\ break.", "# TYPE relay_g gauge"]
    assert LINE.fullmatch(lines[2])
    assert len(lines) == 3


def test_processes_count_apart() -> None:
    _BARE.add()
    mine, theirs = {"relay_test_bare_total": 4.0}, {"relay_test_bare_total": 7.0, "relay_gone_total": 1.0}
    families = {family.name: family for family in counter_families({"a:1": mine, "b:2": theirs})}
    assert families["relay_test_bare_total"].series == {
        'relay_test_bare_total{process="a:1"}': 4,
        'relay_test_bare_total{process="b:2"}': 7,
    }
    assert "relay_gone_total" not in families


def test_a_process_stands_before_the_other_labels() -> None:
    assert of_process('x_total{a="1"}', 'h"ost') == 'x_total{process="h\\"ost",a="1"}'
