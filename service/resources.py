"""Opens and closes what web and worker share, and ties together what rooms may not know of each other.

The outbox gets the fan-out as a recorder; a run that learns its job id tells the parked callbacks; a test run's
vendors are the sandbox twins of this deployment.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import aiohttp

from service.callbacks.addresses import address_token
from service.callbacks.intake import Arrived, callbacks_seen, store_callbacks
from service.callbacks.process import match_parked
from service.callbacks.run_addresses import RunAddress, sign_address
from service.detections.asks import AskBuilder
from service.detections.policy import DetectionPolicy
from service.detectors.catalogue import Catalogue, Line, VendorPolicy
from service.detectors.echoes import cutting
from service.detectors.exchange import Exchange
from service.events.outbox import Outbox
from service.kit.clock import Clock, system_clock
from service.kit.closing import Closing
from service.kit.database import Database
from service.kit.errors import SettingsError
from service.kit.groupcommit import GroupCommit
from service.kit.guard import GuardPolicy
from service.kit.guarded_http import guarded_session
from service.kit.keys import derive
from service.kit.sealing import SealBroken, Sealer
from service.kit.tokens import Tokens
from service.media.links import MediaLinks
from service.media.store import Store, store_from
from service.sandbox.app import SandboxSettings
from service.sandbox.script import WORDS
from service.settings import Settings, VendorSettings
from service.vendors import VENDORS
from service.vendors.aippim import Aippim, AippimConfig
from service.vendors.asc import Asc, AscConfig
from service.webhooks.fanout import HandOff, fan_out
from service.webhooks.phases import phase_tracing
from service.webhooks.record import Tried, record_attempts

_CONNECT_SECONDS = 5.0


class Links:
    """Addresses of ours for vendors: the public ones for live runs, the sandbox's for test runs."""

    def __init__(self, tokens: Tokens, bases: dict[str, str]) -> None:
        self._tokens = tokens
        self._bases = bases
        self.media_links = {mode: MediaLinks(tokens, base) for mode, base in bases.items()}

    def media(self, run_id: str, mode: str, name: str, expires_at: datetime) -> str:
        """Where the run's audio can be fetched until `expires_at`."""
        return self.media_links[mode].link(run_id, mode, name, expires_at)

    def callback(self, run_id: str, mode: str, vendor: str, expires_at: datetime) -> str:
        """Where the vendor may say how this run went, until `expires_at`."""
        token = sign_address(self._tokens, RunAddress(mode, vendor, run_id), expires_at)
        return self.account_callback(mode, vendor, token)

    def account_callback(self, mode: str, vendor: str, token: str) -> str:
        """The address a vendor is given for all its runs."""
        return f"{self._bases[mode]}/callbacks/{vendor}/{token}"


@dataclass(slots=True)
class Resources:
    """What is open in this process. `hand_off` is set by a worker that delivers."""

    settings: Settings
    clock: Clock
    database: Database
    store: Store
    tokens: Tokens
    sealer: Sealer
    guard: GuardPolicy
    links: Links
    policy: DetectionPolicy
    asks: AskBuilder
    outbox: Outbox
    intake: GroupCommit[Arrived, bool]
    attempts: GroupCommit[Tried, bool]
    source_session: aiohttp.ClientSession
    webhook_session: aiohttp.ClientSession
    sandbox: SandboxSettings
    closing: Closing
    hand_off: HandOff | None = None
    sandbox_callback_url: str | None = field(default=None)


@asynccontextmanager
async def open_resources(settings: Settings, clock: Clock = system_clock) -> AsyncIterator[Resources]:
    """Everything is open; on leaving, everything is closed, in the order that loses nothing."""
    database = Database(settings.database_url)
    database.wake.attach()
    exchanges: list[Exchange] = []
    guard = GuardPolicy(allow=settings.outbound_allow, https_only=settings.outbound_https_only)
    source_session = guarded_session(guard, total_seconds=None, connect_seconds=_CONNECT_SECONDS)
    webhook_session = guarded_session(
        guard,
        total_seconds=settings.webhook_timeout_seconds,
        connect_seconds=_CONNECT_SECONDS,
        limit=0,
        trace_configs=[phase_tracing()],
    )
    try:
        resources = _tie(settings, clock, database, exchanges, guard, source_session, webhook_session)
        token = await _sandbox_token(resources)
        resources.sandbox_callback_url = resources.links.account_callback("test", "aippim", token)
        yield resources
        await resources.intake.drain()
        await resources.attempts.drain()
    finally:
        await source_session.close()
        await webhook_session.close()
        for exchange in exchanges:
            await exchange.aclose()
        database.close()


async def _sandbox_token(resources: Resources) -> str:
    """The secret of the test address at which AIPPIM's twin calls us back."""
    try:
        return await resources.database.write(address_token, "test", "aippim", resources.sealer, resources.clock())
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
    store = store_from(settings.media_store or _default_store(settings), database)
    links = Links(tokens, {"live": settings.public_url or settings.sandbox_base, "test": settings.sandbox_base})
    outbox = Outbox([fan_out(lambda: resources.hand_off)])
    policy = DetectionPolicy(
        catalogue=catalogue_of(settings, exchanges),
        outbox=outbox,
        random=random.random,
        base_url=settings.public_url or "",
        media_retention=timedelta(hours=settings.media_retention_hours),
        sandbox_words=WORDS,
        callbacks_seen=callbacks_seen,
        on_job_known=[match_parked],
    )
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
        asks=AskBuilder(store, links, WORDS),
        outbox=outbox,
        intake=GroupCommit(database, store_callbacks, name="callbacks"),
        attempts=GroupCommit(database, record_attempts(outbox), name="attempts"),
        source_session=source_session,
        webhook_session=webhook_session,
        sandbox=SandboxSettings(
            secret=_sandbox_secret(settings, "records"),
            api_key=_sandbox_secret(settings, "api key"),
            aippim_webhook_secret=_sandbox_secret(settings, "aippim webhooks"),
            aippim_callback_url=lambda: resources.sandbox_callback_url,
            latency_seconds=settings.sandbox_latency_seconds,
        ),
        closing=Closing(database.wake),
    )
    return resources


def _default_store(settings: Settings) -> str:
    return "file:data/media" if settings.is_sqlite else "database:"


def _sandbox_secret(settings: Settings, purpose: str) -> str:
    """A secret that only this deployment's twins and test runs share."""
    return derive(settings.secret_keys[0], f"sandbox/{purpose}").hex()


def catalogue_of(settings: Settings, exchanges: list[Exchange]) -> Catalogue:
    """Every vendor of each mode. What they talk through is added to `exchanges`, to be closed by the caller."""
    lines: dict[tuple[str, str], Line] = {}
    for mode in ("live", "test"):
        for vendor in VENDORS:
            chosen = settings.vendors[vendor]
            if mode == "test" or chosen.api_key:
                live = mode == "live"
                key = (chosen.api_key or "") if live else _sandbox_secret(settings, "api key")
                own = settings.public_url if live and settings.public_url else settings.sandbox_base
                exchange = Exchange(
                    timeout_seconds=chosen.timeout_seconds,
                    connect_seconds=_CONNECT_SECONDS,
                    cut=cutting(key, own),
                )
                exchanges.append(exchange)
                lines[mode, vendor] = _line(settings, mode, vendor, exchange)
    return Catalogue(lines)


def _line(settings: Settings, mode: str, vendor: str, exchange: Exchange) -> Line:
    twin = f"{settings.sandbox_base}/sandbox/{vendor}" if mode == "test" else None
    key = _sandbox_secret(settings, "api key")
    if vendor == "aippim":
        aippim = settings.aippim
        secrets = (_sandbox_secret(settings, "aippim webhooks"),) if twin else aippim.webhook_secrets
        own = AippimConfig(base_url=twin or aippim.base_url, api_key=key if twin else aippim.api_key or "")
        return Line(Aippim(own, exchange), _policy(aippim, secrets, mode))
    asc = settings.asc
    config = AscConfig(
        base_url=f"{twin}/v1" if twin else asc.base_url,
        job_url=f"{twin}/api-v1" if twin else asc.job_url,
        api_key=key if twin else asc.api_key or "",
        submit_action=asc.submit_action,
        job_action=asc.job_action,
    )
    return Line(Asc(config, exchange), _policy(asc, (), mode))


def _policy(vendor: VendorSettings, webhook_secrets: tuple[str, ...], mode: str) -> VendorPolicy:
    return VendorPolicy(
        first_poll=vendor.first_poll_seconds,
        poll=vendor.poll_seconds,
        poll_max=vendor.poll_max_seconds,
        deadline=vendor.deadline_seconds,
        resubmit_after=vendor.resubmit_after_seconds,
        timeout=vendor.timeout_seconds,
        trust=vendor.callback_trust,
        # A twin of ours must never be made to dial an address that a customer chose.
        input=vendor.input if mode == "live" else "relay",
        webhook_secrets=webhook_secrets,
    )
