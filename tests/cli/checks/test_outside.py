"""The doctor finds each trouble with the world around that it claims to find, and spends nothing there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.api.operating.health import ROUTES
from service.callbacks.addresses import address_token, rotate_address
from service.cli.checks import outside
from service.cli.checks.finding import Finding
from service.kit.clock import seconds
from service.kit.db.database import Database
from service.kit.security.sealing import Sealer
from service.kit.security.tokens import Tokens
from service.vendors import VENDORS
from tests.api.doors import app_of, context_on, served
from tests.cli.checks.rooms import KEY, NOW, PUBLIC, deployment
from tests.loopback import answer, peer, read_request

LIVE: dict[str, Any] = {"public_url": PUBLIC, "aippim": {"api_key": "k"}}


def says(finding: Finding, level: str, words: str) -> None:
    assert (finding.level, words in finding.sentence) == (level, True), finding


@pytest.fixture
def here(sqlite_url: str) -> Database:
    return Database(sqlite_url)


@pytest.mark.parametrize(
    ("url", "level", "words"),
    [
        (None, "warn", "not set"),
        ("http://127.0.0.1:8000", "warn", "this machine"),
        ("https://10.0.0.7", "warn", "private network"),
        ("http://93.184.216.34", "warn", "not https"),
        ("https://93.184.216.34", "ok", "public"),
    ],
)
async def test_an_address_vendors_cannot_use_is_found(here: Database, url: str | None, level: str, words: str) -> None:
    async with deployment(here, public_url=url) as world:
        says(await outside.check_public_url(world), level, words)
    if url is not None and level == "warn":
        async with deployment(here, public_url=url, asc={"api_key": "k"}) as world:
            says(await outside.check_public_url(world), "fail", words)
    here.close()


async def test_the_round_trip_finds_whether_it_is_we_who_answer(database: Database, tmp_path: Path) -> None:
    ours = replace(context_on(database, tmp_path), tokens=Tokens([KEY]))
    with served(app_of(ROUTES, ours)) as client:
        url = str(client.base_url).rstrip("/")
        async with deployment(database, public_url=url) as world:
            says(await outside.check_round_trip(world), "ok", "this deployment")
        async with deployment(database, public_url=url, secret_keys=(KEY.upper(),)) as world:
            says(await outside.check_round_trip(world), "fail", "another service")
        async with deployment(database, public_url=f"{url}/elsewhere") as world:
            says(await outside.check_round_trip(world), "fail", "answers 404")
    async with deployment(database, public_url=url) as world:
        says(await outside.check_round_trip(world), "fail", "does not answer (ConnectError)")
    async with deployment(database) as world:
        says(await outside.check_round_trip(world), "warn", "not tried")


async def test_that_no_vendor_is_configured_is_found(here: Database) -> None:
    async with deployment(here) as world:
        says(await outside.check_live_vendors(world), "warn", "only test keys")
        for check in map(outside.check_vendor, VENDORS):
            says(await check(world), "ok", "not used")
        for check in (outside.check_secrets("aippim"), outside.check_address("aippim")):
            says(await check(world), "ok", "not used")
    async with deployment(here, **LIVE) as world:
        says(await outside.check_live_vendors(world), "ok", "aippim")
    here.close()


@pytest.mark.parametrize("vendor", ["aippim", "asc"])
@pytest.mark.parametrize(
    ("status", "level", "words"),
    [(401, "fail", "_API_KEY (401)"), (403, "fail", "_API_KEY (403)"), (503, "warn", "503"), (404, "ok", "answers")],
)
async def test_a_vendor_that_refuses_our_key_is_found_without_a_submission(
    here: Database, vendor: str, status: int, level: str, words: str
) -> None:
    asked: list[str] = []

    async def script(reader: Any, writer: Any) -> None:
        line, *_ = await read_request(reader)
        asked.append(str(line))
        writer.write(answer(b"{}", status=f"{status} X"))
        await writer.drain()

    async with peer(script) as listening:
        given = {vendor: {"api_key": "k", "base_url": listening.url}, "public_url": PUBLIC}
        async with deployment(here, **given) as world:
            says(await outside.check_vendor(vendor)(world), level, words)
    (line,) = asked
    assert "GET" in line
    here.close()


@pytest.mark.parametrize("vendor", ["aippim", "asc"])
async def test_a_vendor_that_cannot_be_reached_is_found(here: Database, vendor: str) -> None:
    given = {vendor: {"api_key": "k", "base_url": "http://127.0.0.1:1"}, "public_url": PUBLIC}
    async with deployment(here, **given) as world:
        says(await outside.check_vendor(vendor)(world), "fail", "cannot be reached (refused)")
    here.close()


async def test_callbacks_that_cannot_be_verified_are_found(here: Database) -> None:
    async with deployment(here, **LIVE) as world:
        says(await outside.check_secrets("aippim")(world), "fail", "AIPPIM_WEBHOOK_SECRETS")
    told = {**LIVE, "aippim": {"api_key": "k", "webhook_secrets": "s"}}
    async with deployment(here, **told) as world:
        says(await outside.check_secrets("aippim")(world), "ok", "verified")
    here.close()


async def test_a_callback_address_nobody_made_is_found(database: Database) -> None:
    sealer = Sealer([KEY])
    async with deployment(database, **LIVE) as world:
        await database.write(address_token, "test", "aippim", sealer, NOW)
        says(await outside.check_address("aippim")(world), "fail", "relay callback-url aippim")
        await database.write(rotate_address, "live", "aippim", sealer, overlap=seconds(60), now=NOW)
        says(await outside.check_address("aippim")(world), "ok", "was made")


async def test_a_vendor_that_is_told_its_address_with_each_run_needs_none_made(here: Database) -> None:
    async with deployment(here, public_url=PUBLIC, asc={"api_key": "k"}) as world:
        says(await outside.check_address("asc")(world), "ok", "with each run")
    here.close()
