"""The table of a run's states: what it lets through, and that nothing else passes."""

from itertools import product

import pytest

from service.detectors.enums import RunStatus
from service.kit.machine import InvalidTransitionError
from service.runs.state.lifecycle import RUN, RunState, RunTransition, advance
from service.runs.state.models import RUN_DISPATCHABLE, RUN_POLLABLE

_ENDED = [state for state in RunState if state.ended]
_OPEN = [state for state in RunState if not state.ended]
_ANSWERS = (RunTransition.SUCCEEDED, RunTransition.NOT_APPLICABLE, RunTransition.FAILED)
_REREAD = (RunTransition.REREAD_SUCCEEDED, RunTransition.REREAD_NOT_APPLICABLE, RunTransition.REREAD_FAILED)
_ANSWERED = (RunState.SUCCEEDED, RunState.NOT_APPLICABLE, RunState.FAILED)


@pytest.mark.parametrize(("state", "happening"), [*product(RunState, RunTransition)])
def test_an_input_moves_the_run_as_the_table_says_or_raises(state: RunState, happening: RunTransition) -> None:
    if (state, happening) in RUN.table:
        assert advance(state, happening) is RUN.table[state, happening]
    else:
        with pytest.raises(InvalidTransitionError, match=state.value):
            advance(state, happening)


@pytest.mark.parametrize(("state", "happening"), [*product(_ENDED, RunTransition)])
def test_nothing_moves_a_run_that_has_ended_but_a_late_answer_or_its_own_read_again(
    state: RunState, happening: RunTransition
) -> None:
    late_answer = state is RunState.TIMED_OUT and happening in _ANSWERS
    read_again = state in _ANSWERED and happening in _REREAD
    assert ((state, happening) in RUN.table) == (late_answer or read_again)
    assert (state, happening) not in RUN.table or RUN.table[state, happening].ended


@pytest.mark.parametrize("state", _OPEN)
def test_no_open_run_is_read_again(state: RunState) -> None:
    assert [happening for happening in _REREAD if (state, happening) in RUN.table] == []


@pytest.mark.parametrize("state", _OPEN)
def test_every_open_run_ends_at_its_deadline_and_can_be_skipped(state: RunState) -> None:
    assert advance(state, RunTransition.DEADLINE) is RunState.TIMED_OUT
    assert advance(state, RunTransition.SKIPPED) is RunState.SKIPPED


@pytest.mark.parametrize("state", [RunState.SOURCING, RunState.RESERVED])
@pytest.mark.parametrize(
    "answer", [RunTransition.SUCCEEDED, RunTransition.FAILED, RunTransition.NOT_APPLICABLE, RunTransition.ACCEPTED]
)
def test_a_vendor_not_yet_asked_cannot_answer(state: RunState, answer: RunTransition) -> None:
    assert (state, answer) not in RUN.table


def test_only_a_submission_of_unknown_outcome_is_repeated() -> None:
    assert [state for state, happening in RUN.table if happening is RunTransition.REPEATED] == [RunState.UNKNOWN]


@pytest.mark.parametrize("state", RunState)
def test_every_state_has_the_customers_word(state: RunState) -> None:
    assert isinstance(state.status, RunStatus)
    assert state.ended == (state.status not in (RunStatus.PENDING, RunStatus.RUNNING))


def test_the_queues_hold_the_states_they_name() -> None:
    assert f"state IN ('{RunState.QUEUED}', '{RunState.UNKNOWN}')" == RUN_DISPATCHABLE
    assert f"state IN ('{RunState.WAITING}', '{RunState.TIMED_OUT}') AND due_at IS NOT NULL" == RUN_POLLABLE
