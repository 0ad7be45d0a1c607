"""Which callbacks ASC's twin sends of a job, and when; and the one that somebody else sends.

Written from aisongchecker.pro/api-docs (v1.0, March 2026): unsigned, `analysis.complete` only. No retries are
documented: each is tried once.
"""

import asyncio
import json
from collections.abc import Sequence

from service.sandbox.asc_answers import completion, failure, forged, trouble, unheard_of
from service.sandbox.callbacks import Callback, Callbacks
from service.sandbox.settings import SandboxSettings
from service.sandbox.submissions import Submission
from service.sandbox.troubles import garbled


class AscCallbacks:
    """The callbacks to each job's own address."""

    def __init__(self, settings: SandboxSettings, callbacks: Callbacks) -> None:
        self._settings = settings
        self._callbacks = callbacks

    async def plan(self, job: Submission) -> None:
        """All callbacks of this job are on their way; where the script wants it first, the last one is through."""
        url, script = job.record.callback_url, job.script
        if url is None or not script.callback_copies:
            return
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
