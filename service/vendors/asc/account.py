"""What ASC tells of itself and of our account there, and where it is told our address.

Document: https://aisongchecker.pro/api-docs: health, usage, quota, webhooks. It names none of these actions, so their
names are settings. What a registration is answered with is not documented: any success that does not say no will do.
"""

from collections.abc import Mapping, Sequence

from service.detectors.answers import is_success, mismatch, name_of, number_of, text_of, time_of
from service.detectors.extensions import Quota, Usage
from service.detectors.objections import layers_of, stated_refusal
from service.detectors.port import Raw, Refused
from service.vendors.asc.client import AscClient

EVENTS = ("analysis.complete", "certificate.ready")
_STATUS = ("status", "version", "engine", "uptime_percent")
_LARGEST = 2**31 - 1
_IN_FORCE = ("active", "enabled", "registered", "confirmed", "verified")


class AscAccount(AscClient):
    """The looks at the account."""

    periods: Sequence[str] = ("today", "week", "month")

    async def fetch_status(self) -> Raw:
        """Ask if the vendor works and return its answer."""
        return await self._get(self._settings.status_action)

    def parse_status(self, raw: Raw) -> Mapping[str, str] | Refused:
        """Its own words: state, version, engine, uptime in percent."""
        body = self._yes(raw, retryable=True)
        if isinstance(body, Refused):
            return body
        parsed = {key: str(body[key]) for key in _STATUS if isinstance(body.get(key), str | int | float)}
        return parsed or mismatch("the answer says nothing of the service", retryable=True)

    async def fetch_quota(self) -> Raw:
        """Ask what is left today. The request counts itself."""
        return await self._get(self._settings.quota_action)

    def parse_quota(self, raw: Raw) -> Quota | Refused:
        """Return what is left of the day's requests. A day ends at midnight UTC."""
        body = self._yes(raw, retryable=True)
        if isinstance(body, Refused):
            return body
        limit, used, left = (_count(body.get(f"daily_{name}")) for name in ("limit", "used", "remaining"))
        if left is None and limit is not None and used is not None:
            left = max(0, limit - used)
        if left is None:
            return mismatch("the answer does not say what is left", retryable=True)
        return Quota(text_of(body.get("plan")), limit, used, left, time_of(body.get("reset_at")))

    async def fetch_usage(self, period: str) -> Raw:
        """Ask what was used in `period`."""
        more = {"detailed": "true"} if self._settings.usage_detailed else {}
        return await self._get(self._settings.usage_action, period=period, **more)

    def parse_usage(self, raw: Raw, period: str) -> Usage | Refused:
        """Return what was used, by the vendor's own names."""
        body = self._body(raw, retryable=True)
        if isinstance(body, Refused):
            return body
        counts = {key: number for key, value in body.items() if (number := number_of(value, 0)) is not None}
        # Its numbers, and what is below the top, tell of our requests: none of them is a failure of this one.
        words = {
            key: value for key, value in body.items() if key not in counts and not isinstance(value, Mapping | list)
        }
        errors = {key: body[key] for key in ("error", "errors") if not isinstance(body.get(key), int | float | None)}
        if (refused := stated_refusal({**words, **errors}, hide=[self._settings.secret], retryable=True)) is not None:
            return refused
        if not counts:
            return mismatch("the answer does not say what was used", retryable=True)
        told = {key: value for key, value in body.items() if key not in counts and key != "period"}
        return Usage(name_of(body.get("period")) or period, counts, told)

    async def register(self, url: str) -> Raw:
        """Register our account's address for analyses and certificates."""
        return await self._post(self._settings.webhook_action, {"url": url, "events": list(EVENTS)})

    def parse_registration(self, raw: Raw) -> Refused | None:
        """`None` for a success in which nothing speaks against it: what it looks like is not documented."""
        found = self._yes(raw, retryable=False)
        return found if isinstance(found, Refused) and not _is_empty(raw) else None

    def confirmed(self, raw: Raw) -> bool:
        """Return True if the answer says more than that it came, and not that the address is inactive."""
        body = self._yes(raw, retryable=False)
        if isinstance(body, Refused) or not body:
            return False
        layers = layers_of([body])
        return not any(layer.members.get(name) is False for layer in layers for name in _IN_FORCE)


def _is_empty(raw: Raw) -> bool:
    return is_success(raw) and not raw.body.strip()


def _count(value: object) -> int | None:
    number = number_of(value, 0, _LARGEST)
    return None if number is None else int(number)
