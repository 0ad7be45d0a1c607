"""Asking live vendors that can tell how much of their quota is left, and telling their gates.

Seldom, because asking is counted too, and only while something else goes there: all workers together ask once in ten
minutes at most. In between the headers of every answer tell the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from service.detectors.catalogue import Catalogue, ConfiguredVendor
from service.detectors.exchange import VendorError
from service.detectors.extensions import ReportsAccount
from service.detectors.port import Refused
from service.kit.clock import Clock
from service.kit.db.alone import Alone
from service.kit.db.database import Database
from service.quotas.feedback import quota_feedback
from service.quotas.gate_store import admit_quota_request, quota_request_is_due, record_feedback

log = structlog.get_logger()

APART = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class QuotaAsker:
    """The looks of one process. `step` is called every minute."""

    database: Database
    catalogue: Catalogue
    clock: Clock
    _alone: Alone = field(default_factory=lambda: Alone("ask quotas"), init=False)

    async def step(self) -> bool:
        """Every vendor whose turn it is has been asked. Never True: there is no more to do at once."""
        tellers = {configured.adapter.vendor: (configured, adapter) for configured, adapter in self._tellers()}

        async def ask(vendor: str) -> None:
            configured, adapter = tellers[vendor]
            key, limits = ("live", vendor), configured.policy.limits
            if not await self.database.read(quota_request_is_due, key, self.clock(), apart=APART):
                return
            if await self.database.write(admit_quota_request, key, limits, self.clock(), apart=APART):
                await self._ask(configured, adapter)

        await self._alone.each(list(tellers), ask, self.clock())
        return False

    async def _ask(self, configured: ConfiguredVendor, adapter: ReportsAccount) -> None:
        vendor = configured.adapter.vendor
        try:
            raw = await adapter.fetch_quota()
        except VendorError as error:
            log.warning("quota.not_told", vendor=vendor, failure=error.failure)
            return  # no news for the circuit: runs will tell
        quota = adapter.parse_quota(raw)
        if isinstance(quota, Refused):
            log.warning("quota.not_told", vendor=vendor, http_status=raw.status, reason=quota.reason_code)
        else:
            log.info("quota.told", vendor=vendor, remaining=quota.remaining, limit=quota.limit)
        told = quota_feedback(raw, quota)
        await self.database.write(record_feedback, ("live", vendor), configured.policy.limits, told, self.clock())

    def _tellers(self) -> Iterator[tuple[ConfiguredVendor, ReportsAccount]]:
        for configured in self.catalogue.configured_in("live"):
            if isinstance(configured.adapter, ReportsAccount):
                yield configured, configured.adapter
