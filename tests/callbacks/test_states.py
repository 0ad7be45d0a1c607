"""Statements that move callbacks by what they find take those which the table lets move, and no others."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlmodel import Session, select

from service.callbacks.correlate import match_parked
from service.callbacks.models import Callback
from service.callbacks.process import expire_parked
from service.kit.db.database import Database
from service.runs.load.load_facts import run_row
from service.runs.state.lifecycle import CallbackState
from tests.detections.rows import World, alter, world
from tests.detections.scripted import asc

Verb = Callable[[Session, World], None]

_VERBS: dict[str, Verb] = {
    "its run learns its name": lambda session, here: match_parked(session, [run_row(here.run())]),
    "it was parked too long": lambda session, here: expire_parked(
        session, here.policy, here.clock() + timedelta(days=30)
    ),
}


@pytest.mark.parametrize("state", list(CallbackState))
@pytest.mark.parametrize("name", _VERBS)
def test_only_a_parked_callback_is_moved(database: Database, name: str, state: CallbackState) -> None:
    here = world(database, asc())
    here.submit("asc")
    alter(database, [here.run()], vendor_job_id="j1")
    here.arrive("j1", {"said": "ai"}, job_id="j1")
    with database.reading() as session:
        callback = session.exec(select(Callback)).one()
    alter(database, [callback], state=state.value)
    with database.writing() as session:
        _VERBS[name](session, here)
    assert (here.callback_states() != [state.value]) is (state is CallbackState.PARKED)
