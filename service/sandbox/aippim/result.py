"""AIPPIM's result objects: keyed by file name (2026-02-09), and that of `pro-v2`, flat (August 2026).

Written from platform.mippia.com, "AI Music Detection". The numbers are drawn from the task's id: plausible, and the
same in every answer about that task. Not documented: what `pro-v2`'s generator model predicts for a recording that is
real (`real` here, which the page's table of labels has and its sample has not).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.sandbox.script import Truth

_SEGMENTS: Final = 4
_WAVEFORM: Final = "Waveform & Melody Pattern"
_MIXING: Final = "Mixing & Audio Effects"


@dataclass(frozen=True)
class _Question:
    """The classification that a model does, and its word for each truth."""

    name: str
    labels: tuple[str, ...]
    words: dict[Truth, str]
    spread: tuple[float, float]
    """Between which confidences its answers lie."""


_BINARY: Final = _Question(
    "Real/Fake Binary Classification",
    ("real", "fake"),
    {Truth.AI: "fake", Truth.HUMAN: "real", Truth.COVER: "fake"},
    (0.86, 0.97),
)
_THREE_WAY: Final = _Question(
    "Real/AI-Cover/Fake 3-Class",
    ("real", "ai_cover", "fake"),
    {Truth.AI: "fake", Truth.HUMAN: "real", Truth.COVER: "ai_cover"},
    (0.72, 0.93),
)
_SOURCE: Final = _Question(
    "Detailed Fake Source Classification",
    ("real", "suno_v4", "suno_v4_5", "suno_v4_5_plus", "suno_v5", "other"),
    {Truth.AI: "suno_v4_5", Truth.HUMAN: "real", Truth.COVER: "other"},
    (0.48, 0.68),
)


@dataclass(frozen=True)
class _Model:
    model_id: str
    task: _Question
    focus: str = _WAVEFORM
    segments: bool = True


_ENSEMBLE: Final = (
    _Model("model_0", _BINARY, segments=False),
    _Model("model_1", _BINARY),
    _Model("model_2", _BINARY),
    _Model("model_3", _BINARY),
    _Model("model_4", _THREE_WAY, _MIXING),
    _Model("model_5", _SOURCE),
    _Model("model_6", _THREE_WAY),
)
# The page's Pro sample leaves out 1 to 3; the text counts seven.
_MODELS: Final = {"lite": _ENSEMBLE[:1], "standard": _ENSEMBLE[:4], "pro": _ENSEMBLE}
_FLAT: Final = "pro-v2"
TIERS: Final = frozenset({*_MODELS, _FLAT})
"""The names in the path."""
_ROLES: Final = {
    Truth.AI: ("composer", "vocalist", "engineer"),
    Truth.HUMAN: (),
    Truth.COVER: ("vocalist",),
}
_GENERATORS: Final = ("acestep", "lyria-pro3", "mureka", "suno", "udio")


def result(task_id: str, name: str, tier: str, truth: Truth) -> dict[str, Any]:
    """Return the `result` of a finished task."""
    if tier == _FLAT:
        return _flat_result(task_id, truth)
    models = _MODELS[tier]
    reports = [_report(model, truth, _numbers(task_id, model.model_id, model.task.spread)) for model in models]
    votes = [
        report["overall_analysis"]["confidence"]
        for model, report in zip(models, reports, strict=True)
        if model.task is _BINARY
    ]
    final = {"prediction": _BINARY.words[truth], "confidence": _mean(votes)}
    return {name: {"final_result": final, "model_results": reports}}


def _report(model: _Model, truth: Truth, number: Callable[[int], float]) -> dict[str, Any]:
    word = model.task.words[truth]
    segments = {
        "prediction": [word] * _SEGMENTS,
        "confidence": [number(index + 1) for index in range(_SEGMENTS)],
    }
    return {
        **({"segment_analysis": segments} if model.segments else {}),
        "overall_analysis": {"prediction": word, "confidence": number(0)},
        "config": _config(model.model_id, model.focus, model.task.name, model.task.labels),
    }


def _flat_result(task_id: str, truth: Truth) -> dict[str, Any]:
    """Return the `result` of `pro-v2`, which is not keyed by file name as those of the other models are."""
    stages = [_stage(task_id, name, truth, segments=name.endswith("1")) for name in ("2label_stage1", "2label_stage2")]
    confidence = _mean([one["overall_analysis"]["confidence"] for one in stages])
    return {
        "final_result": {"prediction": _BINARY.words[truth], "confidence": confidence},
        "model_results": [*stages, _roles(task_id, truth), _generator(task_id, truth)],
    }


def _stage(task_id: str, model_id: str, truth: Truth, *, segments: bool) -> dict[str, Any]:
    number = _numbers(task_id, model_id, (0.86, 0.97))
    each = {
        "prediction": [_BINARY.words[truth]] * _SEGMENTS,
        "confidence": [number(index + 1) for index in range(_SEGMENTS)],
    }
    return {
        **({"segment_analysis": each} if segments else {}),
        "overall_analysis": {"prediction": _BINARY.words[truth], "confidence": number(0)},
        "config": _config(model_id, _WAVEFORM, _BINARY.name, ("real", "fake")),
    }


def _roles(task_id: str, truth: Truth) -> dict[str, Any]:
    """Report the roles that a machine has played. The numbers are a role's probability of being AI, not a certainty."""
    model_id, roles = "agent_classifier", _ROLES[Truth.AI]
    number = _numbers(task_id, model_id, (0.01, 0.09))
    played = _ROLES[truth]

    def judged(index: int) -> dict[str, float]:
        small = {role: number(index * len(roles) + place) for place, role in enumerate(roles)}
        return {role: round(1 - low, 3) if role in played else low for role, low in small.items()}

    predicted = list(played) or ["real"]
    about = _config(model_id, "Role-based AI Detection", "Per-agent AI Classification", roles)
    del about["num_classes"]
    return {
        "segment_analysis": {
            "prediction": [predicted] * _SEGMENTS,
            "confidence": [judged(index + 1) for index in range(_SEGMENTS)],
        },
        "overall_analysis": {"prediction": predicted, "confidence": judged(0)},
        "config": about,
    }


def _generator(task_id: str, truth: Truth) -> dict[str, Any]:
    """Report which generator it was. The probabilities are scaled by how fake the music is: near 0 for what is real."""
    model_id, found = "fake_model_classifier", truth is not Truth.HUMAN
    number = _numbers(task_id, model_id, (0.001, 0.02))
    probabilities = {name: number(place) for place, name in enumerate(_GENERATORS)}
    if found:
        probabilities["suno"] = round(0.9 + number(0), 3)
    overall = {
        "prediction": "suno" if found else "real",
        "confidence": max(probabilities.values()) if found else round(1 - sum(probabilities.values()), 3),
        "all_probs": probabilities,
    }
    return {
        "overall_analysis": overall,
        "config": _config(model_id, "AI Model Identification", "Fake Model Classification", _GENERATORS),
    }


def _config(model_id: str, focus: str, task: str, labels: Sequence[str]) -> dict[str, Any]:
    """Return a model's description of itself."""
    return {
        "model_id": model_id,
        "analysis_focus": focus,
        "task": task,
        "num_classes": len(labels),
        "labels": list(labels),
    }


def _numbers(task_id: str, model_id: str, spread: tuple[float, float]) -> Callable[[int], float]:
    """Return the model's numbers for this task, by an index below 32: within the spread, the same each time."""
    noise = hashlib.sha256(f"{task_id}/{model_id}".encode()).digest()
    low, high = spread
    return lambda index: round(low + (high - low) * noise[index] / 255, 3)


def _mean(values: Sequence[float]) -> float:
    """Return the plain mean to four digits, as the page's sample of `standard` has it."""
    return round(sum(values) / len(values), 4)
