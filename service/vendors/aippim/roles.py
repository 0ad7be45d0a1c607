"""Which parts of the music were machine-made, as the role model of `pro-v2` hears it.

Document: https://docs.mippia.com/ (API reference, AI detection, Pro-V2), August 2026. Its prediction is a list of
roles, or `["real"]`; its numbers are each role's own probability of being AI. It never decides the verdict.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from service.detectors.answers import folded, list_of, number_of, object_of
from service.detectors.enums import ConflictKind, Verdict
from service.detectors.reading import Component, Conflict
from service.vendors.aippim.ensemble import Member

ROLES: Final[Mapping[str, str]] = {"vocalist": "vocals", "composer": "composition", "engineer": "engineering"}
"""The vendor's roles, as layers of ours."""

_REAL = "real"
_NO_ROLE = [_REAL]


def components_of(members: Iterable[Member]) -> dict[str, Component]:
    """Each layer the role model judged, with its probability of being AI; nothing where no such model answered."""
    found: dict[str, Component] = {}
    for each in members:
        numbers = {folded(role): number for role, number in object_of(each.sub_model.score).items()}
        played = _played(each)
        for role in _judged(each) if played is not None else ():
            found[ROLES[role]] = Component(
                verdict=Verdict.AI_GENERATED if role in (played or ()) else Verdict.NO_AI_DETECTED,
                confidence=number_of(numbers.get(role), 0, 1),
                confidence_semantics="ai_probability",
            )
    return found


def role_conflicts(members: Iterable[Member], verdict: Verdict | None) -> list[Conflict]:
    """Return the conflicts between the role model's answer on the whole and the final result."""
    conflicts: list[Conflict] = []
    for each in members:
        if (played := _played(each)) is None:
            continue
        heard = ", ".join(sorted(played)) or "no role"
        if played and played < set(_judged(each)):
            detail = f"the role model hears AI in {heard} only"
            conflicts.append(Conflict(kind=ConflictKind.SCOPE_DISAGREEMENT, detail=detail))
        elif verdict is (Verdict.NO_AI_DETECTED if played else Verdict.AI_GENERATED):
            word = _REAL if played else "fake"
            detail = f"final result {word}, but the role model hears AI in {heard}"
            conflicts.append(Conflict(kind=ConflictKind.VENDOR_INTERNAL, detail=detail))
    return conflicts


def tells_roles(member: Member) -> bool:
    """Return True for the role model: its prediction is a list of roles, and no word."""
    return bool(_judged(member))


def hears_roles(member: Member) -> bool:
    """Return True for the role model whose prediction of the whole can be read."""
    return _played(member) is not None


def _played(member: Member) -> set[str] | None:
    """Return the roles a machine played; `None` where this is not a role model, or its prediction cannot be read."""
    words = [folded(word) if isinstance(word, str) else word for word in list_of(member.sub_model.verdict_raw)]
    if words == _NO_ROLE:
        return set() if _judged(member) else None
    if not words or not all(isinstance(word, str) and word in ROLES for word in words):
        return None
    return set(words)


def _judged(member: Member) -> list[str]:
    """Return the roles the model tells apart: those of its labels, its numbers or its prediction."""
    named = {*member.sub_model.labels, *object_of(member.sub_model.score)}
    named |= {word for word in list_of(member.sub_model.verdict_raw) if isinstance(word, str)}
    named = {folded(word) for word in named}
    return [role for role in ROLES if role in named]
