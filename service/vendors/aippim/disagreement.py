"""Contradictions between AIPPIM's models, each by its prediction of the whole, and the final result.

Only "no AI" is ever doubted for that. What a model says of single segments contradicts nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.detectors.answers import folded
from service.detectors.enums import ConflictKind, Verdict
from service.detectors.reading import Conflict
from service.vendors.aippim.ensemble import AI_COVER, Member, has_readable_roles, is_role_model

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
        return _against_fake(members)
    if verdict is Verdict.NO_AI_DETECTED:
        return _against_real(members, final=final)
    return Against([])


def _against_fake(members: Sequence[Member]) -> Against:
    words = {each.label for each in members if each.label in (_REAL, _FAKE, AI_COVER) and not _is_source(each)}
    return Against([_conflict(f"{_FAKE}, but all its models hear {_REAL}")] if words == {_REAL} else [])


def _against_real(members: Sequence[Member], *, final: bool) -> Against:
    covers = list(_findings([each for each in members if each.label == AI_COVER], AI_COVER))
    fakes = list(_findings([each for each in members if each.label == _FAKE and not _may_vote(each)], _FAKE))
    outvoted = [f"all its real-or-fake models hear {_FAKE}"] if _binary_words(members) == {_FAKE} else []
    grave = [*covers, *(fakes if final else ()), *outvoted]
    found = [*grave, *(() if final else fakes), *_named(members)]
    return Against([_conflict(f"{_REAL}, but {'; '.join(found)}")] if found else [], doubts_it=bool(grave))


def _binary_words(members: Sequence[Member]) -> set[str | None]:
    """Return what the models say of the whole that answer `real` or `fake` and count for the final result."""
    return {each.label for each in members if each.label in (_REAL, _FAKE) and _may_vote(each)}


def _may_vote(member: Member) -> bool:
    """Return True unless the model is described as one that does not count for the final result."""
    return member.sub_model.votes_in_final is not False


def unheard(members: Sequence[Member]) -> str | None:
    """Return what a look at the models lacks, so that a contradiction may be overlooked; `None` if it lacks nothing.

    A model need not speak of the whole; where it does its prediction has to be a word, and one model has to speak.
    Where none does, a real-or-fake one that hears `real` in some segment is enough: `lite` has one model only.
    """
    for index, each in enumerate(members):
        if each.wordless and not (_is_source(each) or is_role_model(each)):
            return f"model_results[{index}].overall_analysis.prediction"
    spoken = any(each.label or has_readable_roles(each) or _finds_real(each) for each in members)
    return None if spoken else "model_results"


def _finds_real(member: Member) -> bool:
    """Return True if a real-or-fake model says `real` of a segment."""
    words = {folded(word) for part in member.sub_model.segments for word in part.labels}
    return _REAL in words and _may_vote(member)


def _findings(members: Sequence[Member], word: str) -> Iterator[str]:
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
