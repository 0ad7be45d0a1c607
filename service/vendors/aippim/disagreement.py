"""Contradictions between AIPPIM's models, each by its prediction of the whole, and the final result.

Only "no AI" is ever doubted for that. What a model says of single segments contradicts nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.detectors.answers import folded
from service.detectors.enums import ConflictKind, Verdict
from service.detectors.reading import Conflict
from service.vendors.aippim.ensemble import AI_COVER, Member
from service.vendors.aippim.roles import hears_roles, tells_roles

_REAL, _FAKE = "real", "fake"


@dataclass(frozen=True, slots=True)
class Against:
    """The contradictions, and whether they are grave enough that "no AI" is not taken for one."""

    conflicts: list[Conflict]
    doubts_it: bool = False


def own_models_against(members: Sequence[Member], verdict: Verdict | None, *, final: bool) -> Against:
    """Return what the models say against `verdict`. `final`: it is the vendor's, not what the binary ones agree on.

    Where it is theirs, a three-class model that hears `fake` is one against all of them: reported, and no more.
    """
    if verdict is Verdict.AI_GENERATED:
        heard = {each.label for each in members if each.label in (_REAL, _FAKE, AI_COVER) and not _is_source(each)}
        return Against([_conflict(f"{_FAKE}, but all its models hear {_REAL}")] if heard == {_REAL} else [])
    if verdict is not Verdict.NO_AI_DETECTED:
        return Against([])
    covers = [each for each in members if each.label == AI_COVER]
    fakes = [each for each in members if each.label == _FAKE and each.sub_model.votes_in_final is False]
    binary = [each for each in members if each.label in (_REAL, _FAKE) and each.sub_model.votes_in_final is not False]
    outvoted = bool(binary) and all(each.label == _FAKE for each in binary)
    grave = [*_heard(covers, AI_COVER), *(_heard(fakes, _FAKE) if final else ())]
    grave += [f"all its real-or-fake models hear {_FAKE}"] if outvoted else []
    slight = [*(() if final else _heard(fakes, _FAKE)), *_named(members)]
    parsed = [*grave, *slight]
    return Against([_conflict(f"{_REAL}, but {'; '.join(parsed)}")] if parsed else [], doubts_it=bool(grave))


def unheard(members: Sequence[Member]) -> str | None:
    """Return what a look at the models lacks, so that a contradiction may be overlooked; `None` if it lacks nothing.

    A model need not speak of the whole; where it does its prediction has to be a word, and one model has to speak.
    Where none does, a real-or-fake one that hears `real` in some segment is enough: `lite` has one model only.
    """
    for index, each in enumerate(members):
        if each.wordless and not (_is_source(each) or tells_roles(each)):
            return f"model_results[{index}].overall_analysis.prediction"
    spoken = any(each.label or hears_roles(each) or _hears_real(each) for each in members)
    return None if spoken else "model_results"


def _hears_real(member: Member) -> bool:
    """Return True if a real-or-fake model says `real` of a segment."""
    words = {folded(word) for part in member.sub_model.segments for word in part.labels}
    return _REAL in words and member.sub_model.votes_in_final is not False


def _heard(members: Sequence[Member], word: str) -> Iterator[str]:
    if members:
        yield f"{', '.join(each.sub_model.id or '?' for each in members)} hears {word}"


def _named(members: Sequence[Member]) -> Iterator[str]:
    """Return the generators that models named which could have answered `real`."""
    for each in members:
        labels = {folded(label) for label in each.sub_model.labels}
        if _is_source(each) and _REAL in labels and each.label not in (None, _REAL):
            yield f"{each.sub_model.id or '?'} names {each.label}"


def _is_source(member: Member) -> bool:
    """Return True if the model tells generators apart, and not only if there was one."""
    labels = {folded(label) for label in member.sub_model.labels}
    return bool(labels) and not labels & {_FAKE, AI_COVER}


def _conflict(detail: str) -> Conflict:
    return Conflict(kind=ConflictKind.VENDOR_INTERNAL, detail=f"final result {detail}")
