"""Opens and closes what web and worker share, and ties together what rooms may not know of each other.

The outbox gets the fan-out as a recorder; a run that learns its job id tells the parked callbacks; a test run's
vendors are the sandbox twins of this deployment.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import aiohttp

from service.billing.prices import load_prices
from service.callbacks.addresses import RunAddress, address_token, sign_address
from service.callbacks.correlate import match_parked
from service.callbacks.intake import Arrived, callbacks_seen, store_callbacks
from service.callbacks.models import CallbackHandOff
from service.detectors.catalogue import Catalogue, ConfiguredVendor, Limits, VendorPolicy
from service.detectors.exchange import Exchange, redactor_for
from service.detectors.vendor import Twin, Vendor, VendorSettings
from service.events.outbox import Outbox
from service.kit.clock import Clock
from service.kit.concurrency.wake import Shutdown
from service.kit.db.database import CONNECTIONS, Database
from service.kit.db.group_commit import GroupCommit
from service.kit.db.server import log_connections
from service.kit.errors import SettingsError
from service.kit.http.guard import GuardPolicy
from service.kit.http.guarded import guarded_session
from service.kit.http.resolver import NameResolver
from service.kit.process.watchdog import watched
from service.kit.security.keys import derive
from service.kit.security.sealing import SealBroken, Sealer
from service.kit.security.tokens import Tokens
from service.kit.system_clock import system_clock
from service.media.links import MediaLinks
from service.media.room import Rooms
from service.media.store import Store, store_from
from service.runs.policy import DetectionPolicy
from service.sandbox.app import SandboxSettings
from service.sandbox.script import WORDS
from service.settings import Settings
from service.vendor_calls.run_context import RunContextBuilder
from service.vendors import VENDORS
from service.webhooks.fanout import LocalDeliverer, fan_out
from service.webhooks.queue.record import Done, Step, turns

_CONNECT_SECONDS = 5.0
_DOOR_SECONDS = 10.0  # a vendor that calls back hears from us by then
_LAST_WORDS_SECONDS = 2.0


class Links:
    """Addresses of ours for vendors: the public ones for live runs, the sandbox's for test runs."""

    def __init__(self, tokens: Tokens, bases: dict[str, str]) -> None:
        self._tokens = tokens
        self._bases = bases
        self.media_links = {mode: MediaLinks(tokens, base) for mode, base in bases.items()}

    def media(self, run_id: str, mode: str, name: str, expires_at: datetime) -> str:
        """Return the address at which the run's audio can be fetched until `expires_at`."""
        return self.media_links[mode].link(run_id, mode, name, expires_at)

    def callback(self, run_id: str, mode: str, vendor: str, expires_at: datetime) -> str:
        """Return the address at which the vendor may report on this run until `expires_at`."""
        token = sign_address(self._tokens, RunAddress(mode, vendor, run_id), expires_at)
        return self.account_callback(mode, vendor, token)

    def account_callback(self, mode: str, vendor: str, token: str) -> str:
        """Return the address that a vendor is given for all its runs."""
        return f"{self._bases[mode]}/callbacks/{vendor}/{token}"


@dataclass(slots=True)
class Resources:
    """What is open in this process. `hand_off` and `callbacks_hand_off` are set by a worker that works."""

    settings: Settings
    clock: Clock
    database: Database
    store: Store
    tokens: Tokens
    sealer: Sealer
    guard: GuardPolicy
    links: Links
    policy: DetectionPolicy
    contexts: RunContextBuilder
    outbox: Outbox
    intake: GroupCommit[Arrived, bool]
    attempts: GroupCommit[Step, Done]
    source_session: aiohttp.ClientSession
    webhook_session: aiohttp.ClientSession
    sandbox: SandboxSettings
    shutdown: Shutdown
    rooms: Rooms
    local_deliverer: LocalDeliverer | None = None
    callbacks_hand_off: CallbackHandOff | None = None
    sandbox_callback_urls: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def open_resources(
    settings: Settings, clock: Clock = system_clock, *, processes: int = 1
) -> AsyncIterator[Resources]:
    """Open everything; on leaving, close everything, in the order that loses nothing.

    `processes` like this one are started together.
    """
    connections = settings.database_connections or CONNECTIONS
    database = Database(settings.database_url, patience=settings.patience, connections=connections)
    database.wake.attach()
    exchanges: list[Exchange] = []
    guard = GuardPolicy(allow=settings.outbound_allow, https_only=settings.outbound_https_only)
    names = NameResolver()  # one for both: an account's look-ups are counted together
    source_session = guarded_session(
        guard, total_seconds=None, connect_seconds=_CONNECT_SECONDS, limit=0, resolver=names
    )
    webhook_session = guarded_session(
        guard,
        total_seconds=settings.webhook_timeout_seconds,
        connect_seconds=_CONNECT_SECONDS,
        limit=0,
        resolver=names,
        watch_redirects=False,
    )
    try:
        resources = _tie(settings, clock, database, exchanges, guard, source_session, webhook_session)
        for name in (name for name, vendor in VENDORS.items() if vendor.account_callbacks):
            token = await _sandbox_token(resources, name)
            resources.sandbox_callback_urls[name] = resources.links.account_callback("test", name, token)
        await log_connections(database, processes)
        with watched(database, settings.database_watchdog_seconds):
            yield resources
        await _drained(resources)
    finally:
        await source_session.close()
        await webhook_session.close()
        await names.close()
        for exchange in exchanges:
            await exchange.aclose()
        database.close()


async def _drained(resources: Resources) -> None:
    """Write what was still to be written, if the database answers in time."""
    resources.database.hurry(_LAST_WORDS_SECONDS)
    drains = [asyncio.create_task(writer.drain()) for writer in (resources.intake, resources.attempts)]
    _, late = await asyncio.wait(drains, timeout=_LAST_WORDS_SECONDS)
    for task in late:
        task.cancel()


async def _sandbox_token(resources: Resources, vendor: str) -> str:
    """Return the token of the test address at which this vendor's twin calls us back."""
    try:
        return await resources.database.write(address_token, "test", vendor, resources.sealer, resources.clock())
    except SealBroken as error:
        raise SettingsError(
            "SECRET_KEYS: what is stored was sealed with a key that is not among them; add the old key after the new"
            " ones; for example new-key,old-key"
        ) from error


def _tie(
    settings: Settings,
    clock: Clock,
    database: Database,
    exchanges: list[Exchange],
    guard: GuardPolicy,
    source_session: aiohttp.ClientSession,
    webhook_session: aiohttp.ClientSession,
) -> Resources:
    tokens, sealer = Tokens(settings.secret_keys), Sealer(settings.secret_keys)
    store = store_from(settings.store, database)
    links = Links(tokens, {"live": settings.public_url or settings.sandbox_base, "test": settings.sandbox_base})
    outbox = Outbox([fan_out(lambda: resources.local_deliverer)])
    policy = DetectionPolicy(
        catalogue=catalogue_of(settings, exchanges),
        outbox=outbox,
        random=random.random,
        base_url=settings.public_url or "",
        media_retention=timedelta(hours=settings.media_retention_hours),
        reuse=timedelta(days=settings.reuse_days),
        prices=load_prices(settings.prices_file, unknown_passes=settings.unknown_price_passes),
        sandbox_words=WORDS,
        callbacks_seen=callbacks_seen,
        on_names_known=[match_parked],
    )
    callback_urls: dict[str, str] = {}
    a_day, kept = settings.audio_limits
    resources = Resources(
        settings=settings,
        clock=clock,
        database=database,
        store=store,
        tokens=tokens,
        sealer=sealer,
        guard=guard,
        links=links,
        policy=policy,
        contexts=RunContextBuilder(store, links, WORDS),
        outbox=outbox,
        intake=GroupCommit(
            database,
            lambda session, batch: store_callbacks(session, batch, resources.callbacks_hand_off),
            name="callbacks",
            size=lambda arrived: len(arrived.body),
            within=_DOOR_SECONDS,
        ),
        attempts=GroupCommit(database, turns(outbox), name="attempts"),
        source_session=source_session,
        webhook_session=webhook_session,
        sandbox=SandboxSettings(
            secret=_sandbox_secret(settings, "records"),
            api_key=_sandbox_secret(settings, "api key"),
            webhook_secret=lambda vendor: _sandbox_secret(settings, f"{vendor} webhooks"),
            callback_url=callback_urls.get,
            latency_seconds=settings.sandbox_latency_seconds,
        ),
        shutdown=Shutdown(database.wake),
        rooms=Rooms(database, clock, a_day=a_day, kept=kept),
        sandbox_callback_urls=callback_urls,
    )
    return resources


def _sandbox_secret(settings: Settings, purpose: str) -> str:
    """Derive a secret that only this deployment's twins and test runs share."""
    return derive(settings.secret_keys[0], f"sandbox/{purpose}").hex()


def catalogue_of(settings: Settings, exchanges: list[Exchange]) -> Catalogue:
    """Build every vendor of each mode. Add their exchanges to `exchanges`, which the caller closes."""
    vendors: dict[tuple[str, str], ConfiguredVendor] = {}
    for name, vendor in VENDORS.items():
        live = settings.vendors[name]
        own = settings.public_url or settings.sandbox_base
        if live.configured:
            vendors["live", name] = _configured(vendor, live, own, exchanges)
        twin = live.at_twin(_twin(settings, name))
        vendors["test", name] = _configured(vendor, twin, settings.sandbox_base, exchanges, at_twin=True)
    return Catalogue(vendors, [settings.vendors[name].needed for name in VENDORS])


def _twin(settings: Settings, name: str) -> Twin:
    return Twin(
        base_url=f"{settings.sandbox_base}/sandbox/{name}",
        api_key=_sandbox_secret(settings, "api key"),
        webhook_secret=_sandbox_secret(settings, f"{name} webhooks"),
    )


def _configured(
    vendor: Vendor, chosen: VendorSettings, own: str, exchanges: list[Exchange], *, at_twin: bool = False
) -> ConfiguredVendor:
    exchange = Exchange(
        timeout_seconds=chosen.timeout_seconds,
        connect_seconds=_CONNECT_SECONDS,
        cut=redactor_for(chosen.secret, own),
    )
    exchanges.append(exchange)
    return ConfiguredVendor(vendor.adapter(chosen, exchange), _policy(chosen, at_twin=at_twin))


def _policy(chosen: VendorSettings, *, at_twin: bool) -> VendorPolicy:
    return VendorPolicy(
        first_poll=chosen.first_poll_seconds,
        first_poll_is_set="first_poll_seconds" in chosen.model_fields_set,
        poll=chosen.poll_seconds,
        poll_max=chosen.poll_max_seconds,
        deadline=chosen.deadline_seconds,
        resubmit_after=chosen.resubmit_after_seconds,
        timeout=chosen.timeout_seconds,
        trust=chosen.callback_trust,
        input=chosen.input,
        webhook_secrets=chosen.callback_secrets,
        limits=Limits(
            concurrency=chosen.concurrency,
            per_minute=chosen.per_minute,
            daily_quota=chosen.daily_quota,
            keep_pressure=chosen.keep_pressure,
            answers_tell_of_all=not at_twin,
        ),
    )
