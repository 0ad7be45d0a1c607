"""A source moves as its table says, wherever a rule moves it."""

from itertools import product

import pytest

from service.kit.machine import InvalidTransitionError
from service.runs.decide.moves import is_due, move_source
from service.runs.state.lifecycle import SOURCE, SourceInput, SourceState
from tests.runs.values import detection_row


@pytest.mark.parametrize(("state", "happening"), [*product(SourceState, SourceInput)])
def test_a_source_moves_as_its_table_says_or_stays_as_it_was(state: SourceState, happening: SourceInput) -> None:
    detection = detection_row(source_state=state.value)
    if (state, happening) in SOURCE.table:
        move_source(detection, happening)
        assert detection.source_state == SOURCE.table[state, happening]
    else:
        with pytest.raises(InvalidTransitionError, match=f"a source that is {state}"):
            move_source(detection, happening)
        assert detection.source_state == state


@pytest.mark.parametrize("state", SourceState)
def test_only_a_source_that_is_due_is_still_to_be_fetched(state: SourceState) -> None:
    assert is_due(detection_row(source_state=state.value)) is (state is SourceState.DUE)
