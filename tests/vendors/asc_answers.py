"""An adapter for ASC to read answers with, and what it is asked to analyse."""

from collections.abc import AsyncIterator
from typing import Any

from service.detectors.port import RunContext
from service.vendors.asc import Asc, AscSettings
from tests.vendors.contract import KEY, exchange

SOUND = bytes(range(256)) * 5


def adapter(base_url: str = "http://vendor.invalid/v1", **names: Any) -> Asc:
    return Asc(AscSettings(base_url=base_url, api_key=KEY, **names), exchange())


def ask_at_once(name: str = "run_1.mp3", pieces: int = 7, **known: Any) -> RunContext:
    """What `asc/sync` is asked; the audio comes in pieces of so many bytes."""

    async def media() -> AsyncIterator[bytes]:
        for start in range(0, len(SOUND), pieces):
            yield SOUND[start : start + pieces]

    return RunContext("run_1", "asc/sync", "sync", name, len(SOUND), "audio/mpeg", media, **known)
