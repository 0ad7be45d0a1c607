"""What is the same at every vendor that answers the submission itself: no first step, no jobs, no callbacks."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from service.detectors.answers import mismatch
from service.detectors.enums import Authenticity
from service.detectors.judged import Judged
from service.detectors.port import Accepted, CallbackRefs, Prepared, Raw, Refused, RunContext
from service.detectors.reading import Reading


class SynchronousAdapter(Judged):
    """Half an adapter. The other half takes, submits, knocks and understands."""

    asked_again: ClassVar[bool] = False

    @abstractmethod
    def parse(self, raw: Raw) -> Reading | Refused:
        """Return what an answer means, now or when it was kept. Never raise, never guess."""

    async def prepare(self, context: RunContext) -> Raw:
        """Raise `NotImplementedError`: there is one step only."""
        raise NotImplementedError(f"{context.detector} has no first step")

    def parse_prepare(self, raw: Raw) -> Prepared | Refused:
        """Return a refusal: there is nothing that could have been prepared."""
        return mismatch(f"HTTP {raw.status} to a step that does not exist", retryable=False)

    def interpret_submit(self, raw: Raw) -> Accepted | Reading | Refused:
        """Return the result, or why there is none. Never raise."""
        return self.parse(raw)

    async def fetch(self, context: RunContext) -> Raw:
        """Raise `NotImplementedError`: there are no jobs to ask for."""
        raise NotImplementedError(f"{context.detector} has answered when it was asked")

    def interpret(self, raw: Raw, detector: str) -> Reading | Refused:
        """Return the same as `interpret_submit`, for an answer that was kept. Never raise."""
        del detector  # the answer alone says what it is
        return self.parse(raw)

    def verify(
        self, headers: Mapping[str, str], body: Mapping[str, object], secrets: Sequence[str], now: datetime
    ) -> Authenticity | None:
        """Return `None`: the vendor sends no callbacks, so none is its own."""
        del headers, body, secrets, now
        return None

    def challenge(self, body: Mapping[str, object]) -> dict[str, object] | None:
        """Return `None`: the vendor does not check addresses."""
        del body
        return None

    def refs(self, body: Mapping[str, object]) -> CallbackRefs | None:
        """Return refs without a job: there are none."""
        del body
        return CallbackRefs(None)
