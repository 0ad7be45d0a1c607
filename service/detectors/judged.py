"""The one place that every vendor's answer passes before it counts, however it came: callback, poll, sync or stream.

An adapter says what an answer means. Here it is judged whether a verdict in it may stand: an error or a failure beside
it, a second and different verdict, or a pass without the numbers that the vendor's documents promise, take it away.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

from service.detectors.answers import folded, mismatch, reason, wants_money
from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.objections import bodies_of, layers_of, objection
from service.detectors.port import Accepted, Raw, Refused
from service.detectors.reading import Reading

_HTTP_FAILURES = range(300, 600)
_POSITIVE = (Verdict.AI_GENERATED, Verdict.AI_PARTIAL)
_JUDGED_HERE = ("read", "parse_submit")


class Judged(ABC):
    """What every adapter inherits.

    `interpret` and `interpret_submit` are the adapter's own; `read` and `parse_submit` judge them, and are final.
    """

    verdict_at: ClassVar[tuple[str, ...]] = ()
    """The names that lead to the vendor's verdict, as far as they are the same everywhere: `("prediction",)`."""

    measured_at: ClassVar[frozenset[str]] = frozenset()
    """Members that hold raw measurements, whose own names say nothing of the answer: no error, no second verdict."""

    asked_again: ClassVar[bool] = True
    """An answer that contradicts itself is worth another poll. False where a poll is a new, billed analysis."""

    def __init_subclass__(cls, **more: Any) -> None:
        """Raise `TypeError` for an adapter that would go past the judgement."""
        super().__init_subclass__(**more)
        own = [name for name in _JUDGED_HERE if name in vars(cls)]
        if own:
            raise TypeError(
                f"{cls.__name__} has its own {' and '.join(own)}: write `interpret` and `interpret_submit` instead"
            )

    @property
    def secrets(self) -> Sequence[str]:
        """What must not be shown in the vendor's words."""
        return ()

    @abstractmethod
    def interpret_submit(self, raw: Raw) -> Accepted | Reading | Refused:
        """Return what `submit` achieved: a job under way, an answer at once, or a refusal. Never raise."""

    @abstractmethod
    def interpret(self, raw: Raw, detector: str) -> Reading | Refused:
        """Return what a fetched answer or a callback's body means. Never raise, never guess."""

    def lacks(self, parsed: Reading, bodies: Sequence[Mapping[str, Any]]) -> str | None:
        """Return the name of a promised part without which `parsed`, a pass, is not accepted.

        `None`: all of it is there. `bodies` is the answer's JSON object, or a stream's messages.
        """
        del parsed, bodies
        return None

    @final
    def parse_submit(self, raw: Raw) -> Accepted | Reading | Refused:
        """Return what `submit` achieved, judged. Never raise."""
        parsed = self.interpret_submit(raw)
        return self._judge(parsed, raw, asked_again=False) if isinstance(parsed, Reading) else parsed

    @final
    def read(self, raw: Raw, detector: str) -> Reading | Refused:
        """Return what an answer means, judged. Never raise."""
        parsed = self.interpret(raw, detector)
        return self._judge(parsed, raw, asked_again=self.asked_again) if isinstance(parsed, Reading) else parsed

    def _judge(self, parsed: Reading, raw: Raw, *, asked_again: bool) -> Reading | Refused:
        judged = parsed if parsed.verdict is None else self._stands(parsed, raw, asked_again=asked_again)
        return _of_credit(judged) if isinstance(judged, Reading) else judged

    def _stands(self, parsed: Reading, raw: Raw, *, asked_again: bool) -> Reading | Refused:
        """Return the reading with its verdict, or without it where something in the answer takes it away."""
        bodies = bodies_of(raw)
        against = objection(bodies, self.measured_at)
        if against is None and raw.status in _HTTP_FAILURES:
            against = f"HTTP {raw.status}"
        if against is not None:
            return without_verdict(parsed, ReasonCode.VENDOR_ERROR, reason(against, hide=self.secrets))
        if len(self._verdicts(bodies)) > 1:
            return mismatch("the answer contradicts itself: it has two different verdicts", retryable=asked_again)
        if parsed.verdict not in _POSITIVE and (lacking := self.lacks(parsed, bodies)) is not None:
            text = f"the vendor hears no AI, but its answer is not whole: {lacking} is missing or null"
            return without_verdict(parsed, ReasonCode.SCHEMA_MISMATCH, reason(text))
        return parsed

    def _verdicts(self, bodies: Sequence[Mapping[str, Any]]) -> set[str | bool]:
        """Return the different words that stand where the vendor's verdict does, at any layer."""
        if not self.verdict_at:
            return set()
        *way, name = self.verdict_at
        layers = layers_of(bodies, self.measured_at)
        found = (layer.members.get(name) for layer in layers if [*layer.path][len(layer.path) - len(way) :] == way)
        return {folded(word) if isinstance(word, str) else word for word in found if isinstance(word, str | bool)}


def _of_credit(parsed: Reading) -> Reading:
    """Return a failure that the vendor told in words of money as one for want of credit: it would meet every run."""
    if parsed.reason_code is not ReasonCode.VENDOR_ERROR or not wants_money(parsed.reason_text or ""):
        return parsed
    return parsed.model_copy(update={"reason_code": ReasonCode.QUOTA_EXCEEDED})


def without_verdict(parsed: Reading, code: ReasonCode, text: str) -> Reading:
    """Return the reading as a failure: measurements and the vendor's word stay, but nothing is decided."""
    return parsed.model_copy(
        update={
            "status": RunStatus.FAILED,
            "reason_code": code,
            "reason_text": text,
            "retryable": False,
            "verdict": None,
            "verdict_derived": False,
            "kind": None,
            "components": {name: each.model_copy(update={"verdict": None}) for name, each in parsed.components.items()},
            "segments": [each.model_copy(update={"verdict": None}) for each in parsed.segments],
        }
    )
