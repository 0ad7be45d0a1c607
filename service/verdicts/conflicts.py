"""Where answers contradict one another, or what the uploader declared. Reported here, decided elsewhere."""

from collections.abc import Iterator, Sequence

from service.detectors.enums import ConflictKind, Verdict
from service.detectors.reading import Conflict
from service.verdicts.votes import Part, Vote, cast, disagree

_SIDES = {Verdict.AI_GENERATED: True, Verdict.AI_PARTIAL: True, Verdict.NO_AI_DETECTED: False}


def find_conflicts(
    parts: Sequence[Part], verdict: Verdict | None, *, declared_ai: bool | None = None
) -> tuple[Conflict, ...]:
    """Every contradiction, in a fixed order: with the declaration, of sides, of extent, within a vendor."""
    votes = cast(parts)
    return (
        *_with_declaration(verdict, declared_ai=declared_ai),
        *_of_sides(votes),
        *_of_extent(votes),
        *_within_vendors(parts),
    )


def _with_declaration(verdict: Verdict | None, *, declared_ai: bool | None) -> Iterator[Conflict]:
    """Only a side taken can contradict: an inconclusive verdict contradicts nobody."""
    if declared_ai is None or verdict is None or verdict not in _SIDES:
        return
    if declared_ai != _SIDES[verdict]:
        word = "AI" if declared_ai else "no AI"
        yield Conflict(kind=ConflictKind.DECLARED_VS_DETECTED, detail=f"declared {word}, detected {verdict}")


def _of_sides(votes: Sequence[Vote]) -> Iterator[Conflict]:
    if disagree(votes):
        yes = _names(vote for vote in votes if vote.positive)
        no = _names(vote for vote in votes if not vote.positive)
        yield Conflict(kind=ConflictKind.DETECTOR_DISAGREEMENT, detail=f"AI: {yes}; no AI: {no}")


def _of_extent(votes: Sequence[Vote]) -> Iterator[Conflict]:
    full = _names(vote for vote in votes if vote.verdict is Verdict.AI_GENERATED)
    part = _names(vote for vote in votes if vote.verdict is Verdict.AI_PARTIAL)
    if full and part:
        yield Conflict(kind=ConflictKind.SCOPE_DISAGREEMENT, detail=f"fully AI: {full}; partly AI: {part}")


def _within_vendors(parts: Sequence[Part]) -> Iterator[Conflict]:
    for part in parts:
        for conflict in part.reading.conflicts if part.reading is not None else ():
            yield Conflict(kind=conflict.kind, detail=f"{part.detector}: {conflict.detail}")


def _names(votes: Iterator[Vote]) -> str:
    return ", ".join(vote.detector for vote in votes)
