"""What all detectors say together beside the verdict: of each layer of the music, of the generator, of contradictions.

Pure. A generator is named only for a positive verdict, and never by score. Conflicts are reported here and decided
elsewhere.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from service.detectors.enums import ConflictKind, RunStatus, Verdict
from service.detectors.reading import Conflict, Number
from service.verdicts.votes import Part, Rule, Vote, cast, combine, disagree, vote_for

COMPONENTS = ("vocals", "instrumental", "composition", "engineering")
_SIDES = {Verdict.AI_GENERATED: True, Verdict.AI_PARTIAL: True, Verdict.NO_AI_DETECTED: False}


@dataclass(frozen=True, slots=True)
class ComponentVerdict:
    """What the detectors that judged this layer say of it together."""

    verdict: Verdict
    detectors: tuple[str, ...]  # those that voted on it or abstained, in the order asked


Components = dict[str, ComponentVerdict | None]


def no_components() -> Components:
    """Return every layer, with no verdict on any."""
    return dict.fromkeys(COMPONENTS)


def join_components(parts: Sequence[Part], *, rule: Rule, quorum: int) -> Components:
    """Return each layer's verdict, by the rule and quorum of the whole; `None` where no detector judged it."""
    return {name: _join_layer(name, parts, rule, quorum) for name in COMPONENTS}


def _join_layer(name: str, parts: Sequence[Part], rule: Rule, quorum: int) -> ComponentVerdict | None:
    votes: list[Vote] = []
    judging: list[str] = []
    for part in parts:
        verdict = _layer_verdict(name, part)
        vote = vote_for(part, verdict)
        if vote is not None:
            votes.append(vote)
        if vote is not None or verdict is Verdict.INCONCLUSIVE:
            judging.append(part.detector)
    if not judging:
        return None
    joint = combine(votes, rule=rule, quorum=quorum)[0] if votes else Verdict.INCONCLUSIVE
    return ComponentVerdict(joint, tuple(judging))


def _layer_verdict(name: str, part: Part) -> Verdict | None:
    if part.status is not RunStatus.SUCCEEDED or part.reading is None:
        return None
    component = part.reading.components.get(name)
    # A layer the detector did not look at says nothing, whatever word stands there.
    return component.verdict if component is not None and component.evaluated else None


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

    A label without a family ("other") is listed as a candidate and contradicts none.
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


def find_conflicts(
    parts: Sequence[Part], verdict: Verdict | None, *, declared_ai: bool | None = None
) -> tuple[Conflict, ...]:
    """Return every contradiction, in a fixed order: with the declaration, of sides, of extent, within a vendor."""
    votes = cast(parts)
    return (
        *_with_declaration(verdict, declared_ai=declared_ai),
        *_of_sides(votes),
        *_of_extent(votes),
        *_within_vendors(parts),
    )


def _with_declaration(verdict: Verdict | None, *, declared_ai: bool | None) -> Iterator[Conflict]:
    """Compare the verdict with the declaration; an inconclusive verdict contradicts none."""
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
