"""What all of AIPPIM's models have in common: how they describe themselves, and where their numbers come from."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

SEGMENTS: Final = 4


def config(model_id: str, focus: str, task: str, labels: Sequence[str]) -> dict[str, Any]:
    """A model's description of itself."""
    return {
        "model_id": model_id,
        "analysis_focus": focus,
        "task": task,
        "num_classes": len(labels),
        "labels": list(labels),
    }


def numbers(task_id: str, model_id: str, spread: tuple[float, float]) -> Callable[[int], float]:
    """The model's numbers for this task by index, of which there are 32: within the spread, the same each time."""
    noise = hashlib.sha256(f"{task_id}/{model_id}".encode()).digest()
    low, high = spread
    return lambda index: round(low + (high - low) * noise[index] / 255, 3)


def mean(values: Sequence[float]) -> float:
    """Their plain mean, as the page's sample of `standard` has it, to four digits."""
    return round(sum(values) / len(values), 4)
