"""Which callbacks ASC's twin sends of a job, and when; and the forged one of a stranger.

Written from aisongchecker.pro/api-docs (v1.0, March 2026): unsigned, `analysis.complete` only. No retries are
documented: each is tried once.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.sandbox.asc.account import AscAccount
from service.sandbox.asc.answers import completion, failure, forged, trouble, unheard_of
from service.sandbox.asc.certificates import ready
from service.sandbox.callbacks import Callback, Callbacks
from service.sandbox.faults import garbled
from service.sandbox.settings import SandboxSettings
from service.sandbox.submissions import Submission


class AscCallbacks:
    """The callbacks to each job's own address, and to the account's."""

    def __init__(self, settings: SandboxSettings, callbacks: Callbacks, account: AscAccount) -> None:
        self._settings = settings
        self._callbacks = callbacks
        self._account = account

    async def plan(self, job: Submission) -> None:
        """Plan all callbacks of this job; where the script wants the last one first, wait until it was sent."""
        if not job.script.callback_copies:
            return
        for url in self._addresses(job):
            await self._plan(job, url)

    def announce(self, certificate: dict[str, Any], now: datetime) -> None:
        """Plan `certificate.ready` to the account's address, if that is registered for it."""
        url = self._account.callback_url
        if url is not None and "certificate.ready" in self._account.events:
            body = json.dumps(ready(certificate, now)).encode()
            self._callbacks.plan(now, lambda: [Callback(url, body)])

    def _addresses(self, job: Submission) -> list[str]:
        """Return the job's own address, and the account's where the knob says so."""
        account = self._account
        also = self._settings.asc_account_callbacks and "analysis.complete" in account.events
        urls = (job.record.callback_url, account.callback_url if also else None)
        return [url for url in urls if url is not None]

    async def _plan(self, job: Submission, url: str) -> None:
        script = job.script
        if script.forged:
            lie = Callback(url, json.dumps(forged(job)).encode())
            self._callbacks.plan(job.working_at, lambda: [lie])
        ended = self._callbacks.plan(job.called_back_at, lambda: self._ended(job, url))
        if script.callback_first:
            await asyncio.wait([ended])

    def _ended(self, job: Submission, url: str) -> Sequence[Callback]:
        script, failed = job.script, bool(trouble(job))
        if failed and not self._settings.asc_failure_callback:
            return ()
        body = failure(job) if failed else completion(job)
        if script.unheard_of:
            body = unheard_of(job)
        if script.garbled:
            return [Callback(url, text, {"Content-Type": kind}) for kind, text in garbled(body)]
        return [Callback(url, json.dumps(body).encode())] * script.callback_copies
