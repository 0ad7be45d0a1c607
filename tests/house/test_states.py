"""Each table of states: all of it can happen, and its words are written nowhere else in the rooms that move it."""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from service.callbacks import models as callbacks
from service.callbacks.states import CALLBACK, DECIDED, CallbackInput
from service.kit.machine import Machine
from service.runs.state import models as runs
from service.runs.state.lifecycle import (
    CERTIFICATE,
    RUN,
    SOURCE,
    CallbackState,
    CertificateInput,
    CertificateState,
    RunState,
    RunTransition,
    SourceInput,
    SourceState,
)
from service.webhooks.states import (
    DELIVERY,
    ENDPOINT,
    DeliveryInput,
    DeliveryState,
    EndpointInput,
    EndpointState,
)

_SERVICE = Path(__file__).parents[2] / "service"
# Words of others that are spelled alike: what callers are told, the name of a fact, the state of a callback.
_OTHER_WORDS = {("check.py", "ready"), ("source.py", "ready"), ("load_related.py", "announced"), ("outcomes.py", "due")}


@dataclass(frozen=True)
class _Table:
    machine: Machine[Any, Any]
    states: type[StrEnum]
    inputs: type[StrEnum]
    born: Collection[StrEnum]


_TABLES = {
    "run": _Table(RUN, RunState, RunTransition, [RunState.SOURCING, RunState.RESERVED]),
    "source": _Table(SOURCE, SourceState, SourceInput, []),
    "certificate": _Table(
        CERTIFICATE,
        CertificateState,
        CertificateInput,
        [CertificateState.ASKING, CertificateState.ANNOUNCED],
    ),
    "callback": _Table(CALLBACK, CallbackState, CallbackInput, [CallbackState.QUARANTINED]),
    "delivery": _Table(DELIVERY, DeliveryState, DeliveryInput, []),
    "endpoint": _Table(ENDPOINT, EndpointState, EndpointInput, [EndpointState.ENABLED]),
}


@pytest.mark.parametrize("name", _TABLES)
def test_every_input_can_happen_and_every_state_is_reached_or_born(name: str) -> None:
    table = _TABLES[name]
    assert {happening for _, happening in table.machine.table} == set(table.inputs)
    assert set(table.machine.table.values()) | set(table.born) == set(table.states)


def test_what_is_decided_of_a_callback_leads_from_due_to_that_state() -> None:
    assert {CALLBACK.advance(CallbackState.DUE, happening): state for state, happening in DECIDED.items()} == {
        state: state for state in DECIDED
    }


def test_nothing_moves_a_callback_that_is_settled_or_was_rejected() -> None:
    assert {state for state, _ in CALLBACK.table} == {CallbackState.DUE, CallbackState.PARKED}


def test_nothing_moves_audio_that_is_there_and_no_certificate_that_is_ready() -> None:
    assert SourceState.READY not in {state for state, _ in SOURCE.table}
    assert CertificateState.READY not in {state for state, _ in CERTIFICATE.table}


def test_the_predicates_of_the_indexes_are_states() -> None:
    aside = (CallbackState.QUARANTINED, CallbackState.IGNORED)
    settled = (CallbackState.APPLIED, CallbackState.LATE, CallbackState.CONFLICT, CallbackState.STUCK)
    assert f"source_state = '{SourceState.DUE}'" == runs.SOURCE_WAITING
    assert f"state = '{CertificateState.ANNOUNCED}'" == runs.CERTIFICATE_ANNOUNCED
    assert f"state = '{CallbackState.DUE}'" == callbacks.CALLBACK_WAITING
    assert "state IN ({})".format(", ".join(f"'{state}'" for state in aside)) == callbacks.CALLBACK_SET_ASIDE
    assert "state IN ({})".format(", ".join(f"'{state}'" for state in settled)) == callbacks.CALLBACK_SETTLED


@pytest.mark.parametrize(
    ("room", "states"),
    [
        ("callbacks", CallbackState),
        ("certificates", CertificateState),
        ("detections", SourceState),
        ("runs", [SourceState.DUE, SourceState.READY, CertificateState.ANNOUNCED, CertificateState.ASKING]),
    ],
)
def test_no_state_is_written_out_elsewhere_in_the_room(room: str, states: Collection[StrEnum]) -> None:
    words = {state.value for state in states}
    paths = [
        path for path in (_SERVICE / room).rglob("*.py") if path.name != "states.py" and path.parent.name != "state"
    ]
    found = {(path.name, word) for path in paths for word in _literals(path) if word in words}
    assert paths
    assert found - _OTHER_WORDS == set()


def _literals(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
