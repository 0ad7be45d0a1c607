"""The circuit: when it opens, how it is tried, what closes it."""

from datetime import UTC, datetime, timedelta

from service.quotas.circuit import blocks, note_answer, note_failure, probe
from service.quotas.models import Gate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def opened() -> Gate:
    gate = Gate(vendor="asc", mode="live")
    note_failure(gate, NOW, at_once=True)
    return gate


def test_five_failures_one_after_another_open_it() -> None:
    gate = Gate(vendor="asc", mode="live")
    assert [note_failure(gate, NOW) for _ in range(5)] == [False, False, False, False, True]
    assert (gate.circuit, blocks(gate, at(29.9)), blocks(gate, at(30))) == ("open", at(30), None)


def test_an_answer_between_failures_begins_the_count_again() -> None:
    gate = Gate(vendor="asc", mode="live")
    for _ in range(4):
        note_failure(gate, NOW)
    note_answer(gate)
    assert [note_failure(gate, NOW) for _ in range(4)] == [False] * 4
    assert gate.circuit == "closed"


def test_a_refused_key_opens_it_at_once() -> None:
    assert opened().circuit == "open"


def test_what_left_before_it_opened_does_not_make_the_pause_longer() -> None:
    gate = opened()
    assert note_failure(gate, at(20)) is False
    assert (gate.opened, gate.circuit_until) == (1, at(30))


def test_each_probe_that_fails_doubles_the_pause_up_to_a_quarter_of_an_hour() -> None:
    gate, pauses = opened(), []
    for _ in range(7):
        now = gate.circuit_until
        assert now is not None
        probe(gate, now)
        assert blocks(gate, now) is not None, "one probe at a time"
        assert note_failure(gate, now) is True
        assert gate.circuit_until is not None
        pauses.append((gate.circuit_until - now).total_seconds())
    assert pauses == [60, 120, 240, 480, 900, 900, 900]


def test_an_answer_to_the_probe_closes_it_and_forgets_the_pauses() -> None:
    gate = opened()
    probe(gate, at(30))
    note_answer(gate)
    assert (gate.circuit, blocks(gate, at(31)), gate.failures, gate.opened) == ("closed", None, 0, 0)


def test_a_closed_circuit_stays_closed_while_things_go() -> None:
    gate = Gate(vendor="asc", mode="live")
    probe(gate, NOW)
    assert gate.circuit == "closed"
