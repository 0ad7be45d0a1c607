"""AIPPIM's result object of `pro-v2`: flat, with a model that judges roles and one that names the generator.

Written from platform.mippia.com, "AI Music Detection" as of August 2026. Not documented: what the generator model
predicts for a recording that is real (`real` here, which the page's table of labels has and its sample has not).
"""

from typing import Any, Final

from service.sandbox.aippim_numbers import SEGMENTS, config, mean, numbers
from service.sandbox.script import Truth

_WAVEFORM: Final = "Waveform & Melody Pattern"
_BINARY: Final = "Real/Fake Binary Classification"
_WORDS: Final = {Truth.AI: "fake", Truth.HUMAN: "real", Truth.COVER: "fake"}
_ROLES: Final = {
    Truth.AI: ("composer", "vocalist", "engineer"),
    Truth.HUMAN: (),
    Truth.COVER: ("vocalist",),
}
_GENERATORS: Final = ("acestep", "lyria-pro3", "mureka", "suno", "udio")


def flat_result(task_id: str, truth: Truth) -> dict[str, Any]:
    """The `result` of a finished task. Not keyed by file name, as those of the other models are."""
    stages = [_stage(task_id, name, truth, segments=name.endswith("1")) for name in ("2label_stage1", "2label_stage2")]
    confidence = mean([one["overall_analysis"]["confidence"] for one in stages])
    return {
        "final_result": {"prediction": _WORDS[truth], "confidence": confidence},
        "model_results": [*stages, _roles(task_id, truth), _generator(task_id, truth)],
    }


def _stage(task_id: str, model_id: str, truth: Truth, *, segments: bool) -> dict[str, Any]:
    number = numbers(task_id, model_id, (0.86, 0.97))
    each = {
        "prediction": [_WORDS[truth]] * SEGMENTS,
        "confidence": [number(index + 1) for index in range(SEGMENTS)],
    }
    return {
        **({"segment_analysis": each} if segments else {}),
        "overall_analysis": {"prediction": _WORDS[truth], "confidence": number(0)},
        "config": config(model_id, _WAVEFORM, _BINARY, ("real", "fake")),
    }


def _roles(task_id: str, truth: Truth) -> dict[str, Any]:
    """Which roles a machine has played. The numbers are a role's probability of being AI, not a certainty."""
    model_id, roles = "agent_classifier", _ROLES[Truth.AI]
    number = numbers(task_id, model_id, (0.01, 0.09))
    played = _ROLES[truth]

    def judged(index: int) -> dict[str, float]:
        small = {role: number(index * len(roles) + place) for place, role in enumerate(roles)}
        return {role: round(1 - low, 3) if role in played else low for role, low in small.items()}

    predicted = list(played) or ["real"]
    about = config(model_id, "Role-based AI Detection", "Per-agent AI Classification", roles)
    del about["num_classes"]
    return {
        "segment_analysis": {
            "prediction": [predicted] * SEGMENTS,
            "confidence": [judged(index + 1) for index in range(SEGMENTS)],
        },
        "overall_analysis": {"prediction": predicted, "confidence": judged(0)},
        "config": about,
    }


def _generator(task_id: str, truth: Truth) -> dict[str, Any]:
    """Which generator it was. The probabilities are scaled by how fake the music is, so near 0 for what is real."""
    model_id, found = "fake_model_classifier", truth is not Truth.HUMAN
    number = numbers(task_id, model_id, (0.001, 0.02))
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
        "config": config(model_id, "AI Model Identification", "Fake Model Classification", _GENERATORS),
    }
