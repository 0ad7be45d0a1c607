"""Which generator made it, over all detectors. Named only for a positive verdict, and never by score."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from service.detectors.reading import Number
from service.verdicts.votes import Part


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one detector named, in its words and ours. `score` is that detector's own number."""

    detector: str
    raw_label: str | None
    family: str | None
    version: str | None
    score: Number | None


@dataclass(frozen=True, slots=True)
class JointAttribution:
    """The generator no detector contradicts, and every candidate named."""

    family: str | None = None
    version: str | None = None
    agreement: Literal["single", "agree", "conflict", "none"] = "none"
    candidates: tuple[Candidate, ...] = ()


def join_attribution(parts: Sequence[Part]) -> JointAttribution:
    """Return the family the positive voters name, if they name one only; its version if they name one only.

    A label without a family ("other") is listed as a candidate and contradicts nobody.
    """
    candidates = tuple(_candidates(parts))
    naming = [candidate for candidate in candidates if candidate.family is not None]
    family, families = _only(candidate.family for candidate in naming)
    if families > 1:
        return JointAttribution(None, None, "conflict", candidates)
    if family is None:
        return JointAttribution(candidates=candidates)
    version, _ = _only(candidate.version for candidate in naming)
    return JointAttribution(family, version, "single" if len(naming) == 1 else "agree", candidates)


def _candidates(parts: Sequence[Part]) -> Iterable[Candidate]:
    for part in parts:
        named = part.reading.attribution if part.reading is not None else None
        if named is None or part.vote is None or not part.vote.positive:
            continue
        if named.family is not None or named.raw_label is not None:
            yield Candidate(part.detector, named.raw_label, named.family, named.version, named.score)


def _only(words: Iterable[str | None]) -> tuple[str | None, int]:
    """Return the one word among these, if there is exactly one, and how many differ. Case does not matter."""
    different: dict[str, str] = {}
    for word in words:
        if word is not None:
            different.setdefault(word.casefold(), word)
    return (next(iter(different.values())) if len(different) == 1 else None), len(different)
