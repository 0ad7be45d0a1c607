"""Answers as AIPPIM gives them, and an adapter to read them with."""

from collections.abc import AsyncIterator
from typing import Any

from service.detectors.port import RunContext
from service.detectors.reading import Reading
from service.vendors.aippim import Aippim, AippimSettings
from tests.vendors.contract import KEY, NOW, exchange, raw, sample

TASK = "task_20251204052920_J8uNdq5z"
STANDARD = sample("aippim", "callback_completed_standard")
PRO = sample("aippim", "callback_completed_pro")
STAMP = str(int(NOW.timestamp()))


def adapter(base_url: str = "http://vendor.invalid", *, doubt: bool = True) -> Aippim:
    return Aippim(AippimSettings(base_url=base_url, api_key=KEY, doubt_real_on_ai_cover=doubt), exchange())


def ask(**known: Any) -> RunContext:
    async def media() -> AsyncIterator[bytes]:
        yield b"RI"
        yield b"FF"

    return RunContext("run_1", "aippim/pro", "pro", 'run_1."x".mp3', 4, "audio/mpeg", media, **known)


def read(body: object, *, doubt: bool = True) -> Reading:
    found = adapter(doubt=doubt).read(raw(body), "aippim/pro")
    assert isinstance(found, Reading)
    return found


def finished(result: object, **more: object) -> dict[str, object]:
    return {"task_id": TASK, "status": "success", "model_type": "pro", "result": result, **more}


def model(prediction: object, task: str | None = None, labels: list[str] | None = None) -> dict[str, Any]:
    config = {"task": task, "labels": labels, "num_classes": len(labels)} if labels else None
    overall = {"overall_analysis": {"prediction": prediction, "confidence": 0.7}}
    return {**overall, "config": {"model_id": "model_x", **config}} if config else overall


def binary(prediction: object) -> dict[str, Any]:
    return model(prediction, "Real/Fake Binary Classification", ["real", "fake"])


def three_class(prediction: object) -> dict[str, Any]:
    return model(prediction, "Real/AI-Cover/Fake 3-Class", ["real", "ai_cover", "fake"])
