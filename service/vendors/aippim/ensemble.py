"""The models of AIPPIM's ensemble, in our words, and which parts of the music its role model finds machine-made.

Whether one of them decides anything is settled in `results`. Document of the role model: https://docs.mippia.com/ (API
reference, AI detection, Pro-V2), August 2026. Its prediction is a list of roles, or `["real"]`; its numbers are each
role's own probability of being AI. It never decides the verdict.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from service.detectors.answers import folded, leftovers, list_of, number_of, object_of, text_of
from service.detectors.enums import ConflictKind, Verdict
from service.detectors.reading import Component, Conflict, Number, Segment, SubModel

AI_COVER = "ai_cover"
_BINARY_LABELS = {"real", "fake"}
_CONFIG_KEYS = frozenset({"model_id", "analysis_focus", "task", "num_classes", "labels"})
_OVERALL_KEYS = frozenset({"prediction", "confidence", "all_probs"})
_PARTS = ("overall_analysis", "segment_analysis", "config")
ROLES: Final[Mapping[str, str]] = {"vocalist": "vocals", "composer": "composition", "engineer": "engineering"}
"""The vendor's roles, as layers of ours."""
_REAL = "real"
_NO_ROLE = [_REAL]


@dataclass(frozen=True, slots=True)
class Member:
    """A model: its own part of the result, and what the conclusion needs to know of it."""

    sub_model: SubModel
    label: str | None  # its overall prediction, in small letters
    probabilities: Mapping[str, Any]
    conflicts: list[Conflict]
    extras: dict[str, Any]
    wordless: bool = False  # it speaks of the whole, but its prediction is no word


def member(entry: Mapping[str, Any], default_id: str, described: Mapping[str, Any] | None = None) -> Member:
    """Return the model in `entry`; `described` is its configuration where that stands beside it."""
    config = object_of(entry.get("config")) or described or {}
    overall, parts = object_of(entry.get("overall_analysis")), object_of(entry.get("segment_analysis"))
    model_id = text_of(config.get("model_id")) or default_id
    labels = [label for label in list_of(config.get("labels")) if isinstance(label, str)]
    segments, conflicts = _segments(parts, model_id)
    task = text_of(config.get("task"))
    sub_model = SubModel(
        id=model_id,
        focus=text_of(config.get("analysis_focus")),
        task=task,
        labels=labels,
        verdict_raw=overall.get("prediction"),
        score=overall.get("confidence"),
        # "Aggregated from all Real/Fake binary classification models": the others have no say.
        votes_in_final=_is_binary(labels, task),
        segments=segments,
    )
    label = text_of(overall.get("prediction"))
    extras = _extras(entry, config, labels, model_id)
    probabilities = object_of(overall.get("all_probs"))
    word = None if label is None else folded(label)
    wordless = entry.get("overall_analysis") is not None and not word
    return Member(sub_model, word, probabilities, conflicts, extras, wordless)


def _segments(parts: Mapping[str, Any], model_id: str) -> tuple[list[Segment], list[Conflict]]:
    labels, numbers = list_of(parts.get("prediction")), list_of(parts.get("confidence"))
    segments = [
        Segment(index=index, source=model_id, labels=_words(label), scores=_scores(label, number))
        for index, (label, number) in enumerate(zip_longest(labels, numbers))
    ]
    if len(labels) == len(numbers):
        return segments, []
    detail = f"{model_id} has {len(labels)} segment predictions and {len(numbers)} confidences"
    return segments, [Conflict(kind=ConflictKind.VENDOR_INTERNAL, detail=detail)]


def _words(label: object) -> list[str]:
    """Return a segment's labels: one word, or on the role model a list of them."""
    if isinstance(label, str):
        return [label]
    return [word for word in list_of(label) if isinstance(word, str)]


def _scores(label: object, number: object) -> dict[str, Number]:
    """Return the confidence under its label, or on the role model one number for each role."""
    if isinstance(number, Mapping):
        return {key: value for key, each in number.items() if (value := number_of(each)) is not None}
    value = number_of(number)
    return {} if value is None else {label if isinstance(label, str) else "confidence": value}


def _extras(entry: Mapping[str, Any], config: Mapping[str, Any], labels: list[str], model_id: str) -> dict[str, Any]:
    prefix = f"{model_id}."
    extras = leftovers(entry, _PARTS, prefix)
    extras |= {
        f"{prefix}{part}": entry[part]
        for part in _PARTS
        if entry.get(part) is not None and not isinstance(entry[part], Mapping)
    }
    extras |= leftovers(config, _CONFIG_KEYS, f"{prefix}config.")
    extras |= leftovers(object_of(entry.get("overall_analysis")), _OVERALL_KEYS, f"{prefix}overall_analysis.")
    extras |= leftovers(
        object_of(entry.get("segment_analysis")), {"prediction", "confidence"}, f"{prefix}segment_analysis."
    )
    classes = config.get("num_classes")
    if classes is not None and (isinstance(classes, bool) or classes != len(labels)):
        extras[f"{prefix}config.num_classes"] = classes
    return extras | {f"{prefix}{path}": value for path, value in _unread(config, entry)}


def _unread(config: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the documented members whose value is of another kind, by their path; empty ones say nothing."""
    for name in ("model_id", "analysis_focus", "task"):
        if config.get(name) not in (None, "") and text_of(config[name]) is None:
            yield f"config.{name}", config[name]
    labels = config.get("labels")
    if labels is not None and not (isinstance(labels, list) and _is_label(labels)):
        yield "config.labels", labels
    probabilities = object_of(entry.get("overall_analysis")).get("all_probs")
    if probabilities is not None and not isinstance(probabilities, Mapping):
        yield "overall_analysis.all_probs", probabilities
    odd = {name: value for name, value in object_of(probabilities).items() if number_of(value) is None}
    yield from ((f"overall_analysis.all_probs.{name}", value) for name, value in odd.items())
    parts = object_of(entry.get("segment_analysis"))
    yield from _unread_in("prediction", parts.get("prediction"), _is_label)
    yield from _unread_in("confidence", parts.get("confidence"), _is_number)


def _unread_in(name: str, found: object, is_read: Callable[[object], bool]) -> Iterator[tuple[str, Any]]:
    """Yield what of a list about segments was not read, each with its path."""
    if found is not None and not isinstance(found, list):
        yield f"segment_analysis.{name}", found
    odd = ((index, value) for index, value in enumerate(list_of(found)) if not is_read(value))
    yield from ((f"segment_analysis.{name}[{index}]", value) for index, value in odd)


def _is_label(value: object) -> bool:
    """Return True for a word, or on the role model a list of them."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(word, str) for word in value))


def _is_number(value: object) -> bool:
    """Return True for a number, or on the role model one for each role."""
    each = [*value.values()] if isinstance(value, Mapping) else [value]
    return all(number_of(one) is not None for one in each)


def _is_binary(labels: list[str], task: str | None) -> bool | None:
    """Return True if a model answers real or fake only; `None` where the answer does not describe it."""
    if labels:
        return {folded(label) for label in labels} == _BINARY_LABELS
    return None if task is None else "binary" in task.lower()


def components_of(members: Iterable[Member]) -> dict[str, Component]:
    """Return each layer that the role model judged, with its probability of being AI; empty without such a model."""
    found: dict[str, Component] = {}
    for each in members:
        numbers = {folded(role): number for role, number in object_of(each.sub_model.score).items()}
        played = _played(each)
        for role in _roles_of(each) if played is not None else ():
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
        if played and played < set(_roles_of(each)):
            detail = f"the role model hears AI in {heard} only"
            conflicts.append(Conflict(kind=ConflictKind.SCOPE_DISAGREEMENT, detail=detail))
        elif verdict is (Verdict.NO_AI_DETECTED if played else Verdict.AI_GENERATED):
            word = _REAL if played else "fake"
            detail = f"final result {word}, but the role model hears AI in {heard}"
            conflicts.append(Conflict(kind=ConflictKind.VENDOR_INTERNAL, detail=detail))
    return conflicts


def is_role_model(member: Member) -> bool:
    """Return True for the role model: its prediction is a list of roles, and no word."""
    return bool(_roles_of(member))


def has_readable_roles(member: Member) -> bool:
    """Return True for the role model whose prediction of the whole can be read."""
    return _played(member) is not None


def _played(member: Member) -> set[str] | None:
    """Return the roles a machine played; `None` where this is not a role model, or its prediction cannot be read."""
    words = [folded(word) if isinstance(word, str) else word for word in list_of(member.sub_model.verdict_raw)]
    if words == _NO_ROLE:
        return set() if _roles_of(member) else None
    if not words or not all(isinstance(word, str) and word in ROLES for word in words):
        return None
    return set(words)


def _roles_of(member: Member) -> list[str]:
    """Return the roles the model tells apart: those of its labels, its numbers or its prediction."""
    named = {*member.sub_model.labels, *object_of(member.sub_model.score)}
    named |= {word for word in list_of(member.sub_model.verdict_raw) if isinstance(word, str)}
    named = {folded(word) for word in named}
    return [role for role in ROLES if role in named]
