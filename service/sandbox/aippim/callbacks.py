"""Which callbacks AIPPIM's twin sends of a task, when, and in what order; and the forged ones of a stranger.

Sources at platform.mippia.com: "Webhooks" (signature), "AI Music Detection" (that `processing` comes first). Silent
there, so our choice: three tries of each.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

from service.kit.clock import Clock
from service.sandbox.aippim.answers import dated, forged, processing, quick_start, signed_headers, terminal, unheard_of
from service.sandbox.callbacks import Callback, Callbacks
from service.sandbox.faults import garbled
from service.sandbox.settings import SandboxSettings
from service.sandbox.submissions import Submission

_VENDOR: Final = "aippim"
_TRIES: Final = 3


class AippimCallbacks:
    """The callbacks to the account's one address."""

    def __init__(self, settings: SandboxSettings, clock: Clock, callbacks: Callbacks) -> None:
        self._settings = settings
        self._clock = clock
        self._callbacks = callbacks

    async def plan(self, task: Submission) -> None:
        """Plan all callbacks of this task; where the script wants the last one first, wait until it was sent."""
        script = task.script
        if not script.callback_copies:
            return
        plan = self._callbacks.plan
        if script.forged:
            plan(task.working_at, lambda: self._forgeries(task), tries=_TRIES)
        if script.pace and not script.reordered:
            plan(task.working_at, lambda: self._under_way(task), tries=_TRIES)
        ended = plan(task.called_back_at, lambda: self._ended(task), tries=_TRIES)
        if script.callback_first:
            await asyncio.wait([ended])

    def _under_way(self, task: Submission) -> Sequence[Callback]:
        camel = self._settings.camel_case_ids
        body = quick_start(task, ended=False) if camel else processing(task)
        return self._signed(task, unheard_of(task) if task.script.unheard_of else body)

    def _ended(self, task: Submission) -> Sequence[Callback]:
        script = task.script
        body = quick_start(task, ended=True) if self._settings.camel_case_ids else terminal(task)
        body = dated(body, task, korean=self._settings.aippim_korean_times)
        if script.unheard_of:
            body = unheard_of(task)
        if script.garbled:
            return [callback for kind, text in garbled(body) for callback in self._sent(task, text, kind)]
        after = self._under_way(task) if script.reordered else ()
        return (*self._signed(task, body) * script.callback_copies, *after)

    def _forgeries(self, task: Submission) -> Sequence[Callback]:
        """Return two forgeries: a stranger's, and one with honest headers, which do not cover the body."""
        lie = json.dumps(forged(task)).encode()
        guessed = signed_headers(f"not {self._settings.webhook_secret(_VENDOR)}", task.id, self._clock())
        by_stranger = [Callback(one.url, lie, guessed) for one in self._sent(task, lie)]
        return [*by_stranger, *self._sent(task, lie)]

    def _signed(self, task: Submission, body: dict[str, Any]) -> tuple[Callback, ...]:
        return self._sent(task, json.dumps(body).encode())

    def _sent(self, task: Submission, body: bytes, media_type: str = "application/json") -> tuple[Callback, ...]:
        """Return the callback, signed as the vendor does, if the account has an address."""
        url = self._settings.callback_url(_VENDOR)
        headers = signed_headers(self._settings.webhook_secret(_VENDOR), task.id, self._clock())
        return () if url is None else (Callback(url, body, {**headers, "Content-Type": media_type}),)
