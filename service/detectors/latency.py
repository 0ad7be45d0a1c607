"""The latency of a detector, from the runs it has answered. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

ENOUGH = 50
"""So many samples say when to look first; fewer are only shown."""


@dataclass(frozen=True, slots=True)
class Latency:
    """From the submission's leaving to the answer, in milliseconds. Without a sample there are no quantiles."""

    p50_ms: int | None = None
    p95_ms: int | None = None
    samples: int = 0

    @property
    def is_enough(self) -> bool:
        """True if there are enough waits to plan with."""
        return self.samples >= ENOUGH


def latency_of(waits_ms: Sequence[int]) -> Latency:
    """Return the quantiles of these waits, each a wait that was measured (nearest rank)."""
    if not waits_ms:
        return Latency()
    ordered = sorted(waits_ms)
    return Latency(_quantile(ordered, 50), _quantile(ordered, 95), len(ordered))


def _quantile(ordered: Sequence[int], percent: int) -> int:
    return ordered[math.ceil(percent * len(ordered) / 100) - 1]
