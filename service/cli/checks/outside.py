"""The world around: that it reaches us, and that we reach the vendors. Nothing is spent there."""

import asyncio
import ipaddress
import secrets
import socket
import ssl
from urllib.parse import urlsplit

import httpx
from sqlmodel import Session, col, select

from service.api.operating.health import NONCE, PROOF, PURPOSE
from service.callbacks.models import CallbackAddress
from service.cli.checks.finding import CheckFunction, Finding, World, fail, ok, warn
from service.detectors.exchange import VendorError
from service.kit.security.tokens import BadToken, Tokens

_REFUSED = (401, 403)
_SERVER_FAULT = 500


async def check_public_url(world: World) -> Finding:
    """Check that it is set, uses https, and does not lead to this machine or a private network."""
    url = world.settings.public_url
    if url is None:
        return warn("PUBLIC_URL is not set; vendors cannot reach us, and results hold no links")
    worse = fail if world.settings.live_vendors else warn
    if await _is_near(urlsplit(url).hostname or ""):
        return worse(f"PUBLIC_URL {url} leads to this machine or a private network; vendors need a public address")
    if not url.startswith("https://"):
        return worse(f"PUBLIC_URL {url} is not https; callbacks, audio and API keys would travel in clear")
    return ok(f"{url} is a public address")


async def check_round_trip(world: World) -> Finding:
    """Check that PUBLIC_URL leads to this deployment: its answer signs our nonce with our secret key."""
    url = world.settings.public_url
    if url is None:
        return warn("not tried, because PUBLIC_URL is not set")
    nonce = secrets.token_urlsafe(16)
    try:
        async with httpx.AsyncClient(timeout=world.timeout_seconds, trust_env=False) as client:
            answer = await client.get(f"{url}/livez", headers={NONCE: nonce})
    except (httpx.HTTPError, ssl.SSLError, OSError) as error:
        if world.dev:
            return fail(f"nothing answers at {url}; start it: {world.dev}")
        return fail(f"{url}/livez does not answer ({type(error).__name__}); check DNS, certificate and routing")
    if answer.status_code != httpx.codes.OK:
        return fail(f"{url}/livez answers {answer.status_code}; check that it leads to relay web")
    try:
        proven = Tokens(world.settings.secret_keys).read(PURPOSE, answer.headers.get(PROOF, ""), now=None) == [nonce]
    except BadToken:
        proven = False
    if not proven:
        return fail(f"{url} is answered by another service, or with other SECRET_KEYS; point it at this deployment")
    return ok(f"{url} leads to this deployment")


async def check_live_vendors(world: World) -> Finding:
    """Check that a live vendor is configured."""
    if not world.settings.live_vendors:
        needed = next(" and ".join(vendor.needed) for vendor in world.settings.vendors.values())
        return warn(f"no vendor has a key, so only test keys work; set {needed}, for example")
    return ok(f"live keys ask {', '.join(world.settings.live_vendors)}")


def check_secrets(vendor: str) -> CheckFunction:
    """Make the check that one vendor's callbacks can be verified."""

    async def check(world: World) -> Finding:
        if vendor not in world.settings.live_vendors:
            return ok(f"{vendor} is not used")
        if lacking := " and ".join(world.settings.vendors[vendor].unverifying):
            return fail(f"{lacking} is empty, so every callback is rejected; copy it from {vendor}'s dashboard")
        return ok("callbacks can be verified")

    return check


def check_address(vendor: str) -> CheckFunction:
    """Make the check that one vendor has our callback address, where runs do not carry it."""

    async def check(world: World) -> Finding:
        configured = world.catalogue.configured("live", vendor)
        if configured is None:
            return ok(f"{vendor} is not used")
        if all(
            configured.adapter.capabilities(detector).callbacks != "account"
            for detector in configured.adapter.detectors
        ):
            return ok(f"{vendor} is told an address with each run")
        if not await world.database.read(_has_address, vendor):
            return fail(
                f"{vendor} has no address to call back; paste what relay callback-url {vendor} prints in its dashboard"
            )
        return ok(f"an address was made; that it stands in {vendor}'s dashboard cannot be seen from here")

    return check


def check_vendor(vendor: str) -> CheckFunction:
    """Make the check that one vendor answers and accepts our credentials. It costs nothing."""

    async def check(world: World) -> Finding:
        configured = world.catalogue.configured("live", vendor)
        if configured is None:
            return ok(f"{vendor} is not used")
        names = " and ".join(world.settings.vendors[vendor].needed)
        try:
            async with asyncio.timeout(world.timeout_seconds):
                raw = await configured.adapter.check_credentials()
        except (VendorError, TimeoutError) as error:
            reason = getattr(error, "failure", "timeout")
            base = f"{vendor.upper()}_BASE_URL"
            return fail(f"{vendor} cannot be reached ({reason}); check {base} and this network's way out")
        if raw.status in _REFUSED:
            return fail(f"{vendor} refuses {names} ({raw.status}); copy it again from the vendor's dashboard")
        if raw.status >= _SERVER_FAULT:
            return warn(f"{vendor} answers {raw.status}; runs wait and are tried again")
        return ok(f"{vendor} answers and does not refuse the key")

    return check


def _has_address(session: Session, vendor: str) -> bool:
    address = select(CallbackAddress.id).where(
        CallbackAddress.mode == "live", CallbackAddress.vendor == vendor, col(CallbackAddress.valid_until).is_(None)
    )
    return session.exec(address).first() is not None


async def _is_near(host: str) -> bool:
    """Return True if the name resolves to an address that is not public."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_global for *_, address in found)
