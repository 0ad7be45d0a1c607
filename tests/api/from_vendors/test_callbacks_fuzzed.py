"""Whatever a stranger sends to the callback doors is answered with 2xx or 4xx, never 5xx."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api.from_vendors.callbacks import ROUTES
from service.callbacks.addresses import RunAddress, address_token, sign_address
from service.callbacks.intake import Arrived, store_callbacks
from service.detectors.exchange import Exchange
from service.kit.db.database import Database
from service.kit.db.group_commit import GroupCommit
from service.kit.security.sealing import Sealer
from service.vendors.aippim import Aippim, AippimSettings
from service.vendors.asc import Asc, AscSettings
from tests.api.doors import NOW, TOKENS, app_of, client_of, context_on
from tests.detections.rows import PLAN, World, policy_of

_HEADER_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40).map(str.strip)
_HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "content-length", "x-mippia-timestamp", "x-mippia-signature", "authorization"]),
    _HEADER_VALUES,
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(["task_id", "taskId", "job_id", "status", "type", "challenge", "prediction", "result"])
_BODIES = st.binary(max_size=60) | st.dictionaries(_NAMES, _VALUES).map(lambda body: json.dumps(body).encode())
_SETTINGS = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(
    body=_BODIES, headers=_HEADERS, token=st.none() | st.text(max_size=20), vendor=st.sampled_from(["aippim", "asc"])
)
@_SETTINGS
def test_nothing_a_stranger_sends_is_our_fault(
    sqlite_url: str, tmp_path: Path, body: bytes, headers: dict[str, str], token: str | None, vendor: str
) -> None:
    database = Database(sqlite_url)
    try:
        status = asyncio.run(_sent(database, tmp_path, body, headers, token, vendor))
    finally:
        database.close()
    assert status in (200, 400, 401, 404, 413, 415)


async def _sent(
    database: Database, folder: Path, body: bytes, headers: dict[str, str], token: str | None, vendor: str
) -> int:
    exchange = Exchange(timeout_seconds=5)
    aippim = Aippim(AippimSettings(base_url="http://vendor.invalid", api_key="key"), exchange)
    adapters = (aippim, Asc(AscSettings(), exchange))
    here = World(database, policy_of(*adapters, plan=replace(PLAN, webhook_secrets=("secret",))))
    with database.writing() as session:
        right = {
            "aippim": address_token(session, "live", "aippim", Sealer(["k" * 32]), NOW),
            "asc": sign_address(TOKENS, RunAddress("live", "asc", "run_1"), NOW + timedelta(hours=1)),
        }[vendor]
    intake: GroupCommit[Arrived, bool] = GroupCommit(database, store_callbacks)
    context = replace(context_on(database, folder), policy=here.policy, intake=intake)
    raw_headers = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    async with client_of(app_of(ROUTES, context)) as client:
        url = f"http://relay.test/callbacks/{vendor}/{right if token is None else quote(token, safe='')}"
        found = await client.send(httpx.Request("POST", url, content=body, headers=raw_headers))
    await here.callbacks()
    return found.status_code
