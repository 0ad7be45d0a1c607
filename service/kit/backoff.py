"""Waits that grow with each try. Randomness comes in as an argument, and is only ever added."""

from collections.abc import Callable

Random = Callable[[], float]
"""Returns a number in [0, 1)."""


def growing(step: int, *, first: float, factor: float, longest: float) -> float:
    """Return the wait before try `step` (0 is the first), in seconds, without jitter."""
    return min(longest, first * factor ** min(step, 64))


def jittered(wait: float, random: Random, *, share: float = 0.1) -> float:
    """Return `wait` plus up to `share` of it."""
    return wait * (1 + share * random())
