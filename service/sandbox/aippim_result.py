"""AIPPIM's result object, keyed by file name (platform.mippia.com, "AI Music Detection", 2026-02-09).

The numbers are drawn from the task's id: plausible, and the same in every answer about that task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from service.sandbox.aippim_numbers import SEGMENTS, config, mean, numbers
from service.sandbox.aippim_pro_v2 import flat_result
from service.sandbox.script import Truth

_WAVEFORM: Final = "Waveform & Melody Pattern"
_MIXING: Final = "Mixing & Audio Effects"


@dataclass(frozen=True)
class _Question:
    """What a model is asked, and its word for each truth."""

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


def result(task_id: str, name: str, tier: str, truth: Truth) -> dict[str, Any]:
    """The `result` of a finished task."""
    if tier == _FLAT:
        return flat_result(task_id, truth)
    models = _MODELS[tier]
    reports = [_report(model, truth, numbers(task_id, model.model_id, model.task.spread)) for model in models]
    votes = [
        report["overall_analysis"]["confidence"]
        for model, report in zip(models, reports, strict=True)
        if model.task is _BINARY
    ]
    final = {"prediction": _BINARY.words[truth], "confidence": mean(votes)}
    return {name: {"final_result": final, "model_results": reports}}


def _report(model: _Model, truth: Truth, number: Callable[[int], float]) -> dict[str, Any]:
    word = model.task.words[truth]
    segments = {
        "prediction": [word] * SEGMENTS,
        "confidence": [number(index + 1) for index in range(SEGMENTS)],
    }
    return {
        **({"segment_analysis": segments} if model.segments else {}),
        "overall_analysis": {"prediction": word, "confidence": number(0)},
        "config": config(model.model_id, model.focus, model.task.name, model.task.labels),
    }
