"""What a detection costs between its callback and its webhook, where many end at once: a batch of 50, counted.

Counts, never times; the ceilings are those that were to be reached. The batch is made by hand, so that how callbacks
happen to gather has no part in it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from service.bench.counting.statements import Counts, counting
from service.callbacks.intake import Arrived, store_callbacks
from service.detectors.enums import Authenticity
from service.events.outbox import Outbox
from service.kit.db.database import Database
from service.webhooks.fanout import fan_out
from service.webhooks.queue.claimed import Leased
from tests.detections.rows import PLAN, World, policy_of
from tests.detections.scripted import NOW, asc, job
from tests.webhooks.rows import put_endpoint

_BATCH = 50
_STATEMENTS, _COMMITS = 1, 0.1  # each, as is to be held


@dataclass
class _Deliverer:
    """Takes what is handed off, and has room for everything."""

    taken: list[str] = field(default_factory=list)

    def reserve(self, account_ids: Sequence[str], now: datetime) -> tuple[str, datetime] | None:
        del account_ids
        return "a token", now + timedelta(seconds=60)

    def take(self, leased: Sequence[Leased]) -> None:
        self.taken += [str(each.detection_id) for each in leased]


async def test_fifty_callbacks_are_handed_off_as_webhooks_for_a_statement_each(database: Database) -> None:
    deliverer = _Deliverer()
    vendor = asc(submits=[job(f"job-{n}") for n in range(_BATCH)])
    policy = replace(
        policy_of(vendor, plan=replace(PLAN, trust="payload")), outbox=Outbox([fan_out(lambda: deliverer)])
    )
    here = World(database, policy)
    put_endpoint(database, events=["detection.completed"])
    asked = [here.submit("asc") for _ in range(_BATCH)]
    await here.dispatch()
    counts, arrived = Counts(), [_ended(run.id) for run in here.runs()]
    with counting(database.engine, counts):
        await database.write(store_callbacks, arrived)
        assert await here.processor.step()
    assert sorted(deliverer.taken) == sorted(asked)
    statements, commits = counts.total
    assert statements / _BATCH <= _STATEMENTS, f"\n{counts}"
    assert commits / _BATCH <= _COMMITS, f"\n{counts}"


def _ended(run_id: str) -> Arrived:
    body = json.dumps({"said": "ai"}).encode()
    headers = {"content-type": "application/json"}
    return Arrived("live", "asc", run_id, None, body, headers, Authenticity.URL_TOKEN.value, NOW)
