"""The words by which a file name tells the twins how to act. What each twin then says is in its own file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final
from urllib.parse import unquote, urlsplit


class Truth(StrEnum):
    """What the recording really is, as far as the twins are concerned."""

    AI = "ai"
    HUMAN = "human"
    COVER = "cover"


class Phase(Enum):
    """How far the work on one submission has come."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"


@dataclass(frozen=True)
class Script:
    """How a twin acts on one submission."""

    truth: Truth = Truth.HUMAN
    fails: bool = False
    callback_copies: int = 1
    """How often the terminal callback goes out. At 0 no callback goes out at all, not even `processing`."""

    @staticmethod
    def of(name: str) -> "Script":
        """The script a file name asks for. Later words win over earlier ones; no word of truth means human."""
        script = Script()
        for part in name.split("."):
            if part in _EFFECTS:
                script = _EFFECTS[part](script)
        return script

    def working_after_seconds(self, latency_seconds: float) -> float:
        """The age at which the work starts to be reported as under way."""
        return latency_seconds / 2

    def done_after_seconds(self, latency_seconds: float) -> float:
        """The age at which the answer is there."""
        return latency_seconds

    def phase(self, age_seconds: float, latency_seconds: float) -> Phase:
        """How far the work is at this age."""
        if age_seconds >= self.done_after_seconds(latency_seconds):
            return Phase.DONE
        working = age_seconds >= self.working_after_seconds(latency_seconds)
        return Phase.WORKING if working else Phase.WAITING


_EFFECTS: Final[Mapping[str, Callable[[Script], Script]]] = {
    "ai": lambda script: replace(script, truth=Truth.AI),
    "human": lambda script: replace(script, truth=Truth.HUMAN),
    "cover": lambda script: replace(script, truth=Truth.COVER),
    "fail": lambda script: replace(script, fails=True),
    "lost-callback": lambda script: replace(script, callback_copies=0),
    "duplicate-callback": lambda script: replace(script, callback_copies=2),
}

WORDS: Final = frozenset(_EFFECTS)
"""Every word a name may carry. A new one is a line in the table above."""


def name_in(url: str) -> str:
    """The last part of the URL's path, decoded. Raises ValueError for something that is no URL."""
    return unquote(urlsplit(url).path.rpartition("/")[2])
