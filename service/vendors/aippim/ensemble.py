"""One model of AIPPIM's ensemble, in our words. Whether it decides anything is settled in `results`."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from service.detectors.answers import leftovers, list_of, number_of, object_of, text_of
from service.detectors.reading import Conflict, Number, Segment, SubModel
from service.detectors.words import ConflictKind

AI_COVER = "ai_cover"
_BINARY_LABELS = {"real", "fake"}
_CONFIG_KEYS = frozenset({"model_id", "analysis_focus", "task", "num_classes", "labels"})
_OVERALL_KEYS = frozenset({"prediction", "confidence", "all_probs"})
_PARTS = ("overall_analysis", "segment_analysis", "config")


@dataclass(frozen=True, slots=True)
class Member:
    """A model: its own part of the result, and what the conclusion needs to know of it."""

    sub_model: SubModel
    label: str | None  # its overall prediction
    probabilities: Mapping[str, Any]
    conflicts: list[Conflict]
    extras: dict[str, Any]


def member(entry: Mapping[str, Any], default_id: str, described: Mapping[str, Any] | None = None) -> Member:
    """The model in `entry`; `described` is its configuration where that stands beside it."""
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
    return Member(sub_model, label, object_of(overall.get("all_probs")), conflicts, extras)


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
    """A segment's labels: one word, or on the role model a list of them."""
    if isinstance(label, str):
        return [label]
    return [word for word in list_of(label) if isinstance(word, str)]


def _scores(label: object, number: object) -> dict[str, Number]:
    """The confidence under its label, or on the role model one number for each role."""
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
    if classes is not None and classes != len(labels):
        extras[f"{prefix}config.num_classes"] = classes
    return extras


def _is_binary(labels: list[str], task: str | None) -> bool | None:
    """Whether a model answers real or fake only; `None` where the answer does not describe it."""
    if labels:
        return set(labels) == _BINARY_LABELS
    return None if task is None else "binary" in task.lower()
