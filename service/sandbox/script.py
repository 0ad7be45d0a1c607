"""The words by which a file name tells the twins how to act. What each twin then says is in its own file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from functools import partial
from typing import Final
from urllib.parse import unquote, urlsplit

_SLOW: Final = 5.0
_LATE: Final = 3.0
_HEAR_AI: Final = frozenset({"aippim", "pex"})  # where detectors disagree; the others hear a human


class Truth(StrEnum):
    """What the recording really is, as far as the twins are concerned."""

    AI = "ai"
    HUMAN = "human"
    COVER = "cover"

    @property
    def opposite(self) -> "Truth":
        """The answer of a liar."""
        return Truth.AI if self is Truth.HUMAN else Truth.HUMAN


class Phase(Enum):
    """The stages of the work on one submission."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"


class Obstacle(Enum):
    """What a submission meets instead of its answer. Only behind the last one is the work accepted."""

    THROTTLED_BRIEFLY = auto()  # 429 with `Retry-After: 1`
    THROTTLED = auto()  # 429 without
    DOWN = auto()  # 503
    RESET = auto()  # read, and then the connection is gone
    SILENCE = auto()  # the work is accepted and begins, but no answer comes


class Flaw(StrEnum):
    """What is wrong with the recording itself, before anybody asks who made it."""

    TOO_SHORT = "too-short"
    TOO_LONG = "too-long"
    NOT_ENOUGH_MUSIC = "not-enough-music"
    NO_AUDIO = "no-audio"
    INVALID = "invalid"
    SILENT = "silent"

    @property
    def is_undecodable(self) -> bool:
        """True if the recording has no sound to decode, so that no detector can come to an answer."""
        return self in {Flaw.NO_AUDIO, Flaw.INVALID}


@dataclass(frozen=True)
class Script:
    """The behaviour of a twin towards one submission."""

    truth: Truth = Truth.HUMAN
    fails: bool = False
    pace: float = 1
    """How many latencies the work takes. At 0 it is done when it is accepted."""
    callback_copies: int = 1
    """How often the terminal callback goes out. At 0 no callback goes out at all, not even `processing`."""
    callback_wait: float = 0
    """How long the terminal callback lags behind the end of the work, as a multiple of what that took."""
    callback_first: bool = False
    """The terminal callback is through before the submission is answered."""
    reordered: bool = False
    """`processing` follows the terminal callback, where a twin sends both."""
    forged: bool = False
    """While the work is under way, a stranger claims that it has ended, and otherwise than it will."""
    unheard_of: bool = False
    """The state is, from beginning to end, a word that the vendor's documents do not have."""
    garbled: bool = False
    """Every answer about the end is unclear JSON."""
    obstacles: tuple[Obstacle, ...] = ()
    """What submissions meet, one after the other."""
    stumbles: bool = False
    """The first poll is answered with a 500."""
    flaw: Flaw | None = None
    """What is wrong with the recording, for the twins whose documents have a word for it."""
    instrumental: bool = False
    """There is no voice."""
    nameless: bool = False
    """The generator stays unknown, though the music is its."""
    disputed: bool = False
    """The detectors do not agree, whatever the truth."""

    @staticmethod
    def of(name: str) -> "Script":
        """Return the script a file name asks for. Later words win over earlier ones; no word of truth means human."""
        script = Script()
        for part in name.split("."):
            if part in _EFFECTS:
                script = _EFFECTS[part](script)
        return script

    def truth_for(self, vendor: str) -> Truth:
        """Return what this vendor makes of it: the truth, or its side of the dispute."""
        if not self.disputed:
            return self.truth
        return Truth.AI if vendor in _HEAR_AI else Truth.HUMAN

    @property
    def is_undecodable(self) -> bool:
        """True if no detector can come to an answer."""
        return self.flaw is not None and self.flaw.is_undecodable

    def working_after_seconds(self, latency_seconds: float) -> float:
        """Return the age at which the work starts to be reported as under way."""
        return self.done_after_seconds(latency_seconds) / 2

    def done_after_seconds(self, latency_seconds: float) -> float:
        """Return the age at which the answer is there."""
        return self.pace * latency_seconds

    def called_back_after_seconds(self, latency_seconds: float) -> float:
        """Return the age at which the terminal callback is due."""
        return self.done_after_seconds(latency_seconds) * (1 + self.callback_wait)

    def phase(self, age_seconds: float, latency_seconds: float) -> Phase:
        """Return the stage of the work at this age."""
        if age_seconds >= self.done_after_seconds(latency_seconds):
            return Phase.DONE
        working = age_seconds >= self.working_after_seconds(latency_seconds)
        return Phase.WORKING if working else Phase.WAITING

    def behind(self, *obstacles: Obstacle) -> "Script":
        """Return this script with more obstacles."""
        return replace(self, obstacles=(*self.obstacles, *obstacles))


_EFFECTS: Final[Mapping[str, Callable[[Script], Script]]] = {
    "ai": lambda script: replace(script, truth=Truth.AI),
    "human": lambda script: replace(script, truth=Truth.HUMAN),
    "cover": lambda script: replace(script, truth=Truth.COVER),
    "fail": lambda script: replace(script, fails=True),
    "slow": lambda script: replace(script, pace=_SLOW),
    "lost-callback": lambda script: replace(script, callback_copies=0),
    "duplicate-callback": lambda script: replace(script, callback_copies=2),
    "late-callback": lambda script: replace(script, callback_wait=_LATE),
    "early-callback": lambda script: replace(script, pace=0, callback_first=True),
    "reordered-callback": lambda script: replace(script, reordered=True),
    "forged-callback": lambda script: replace(script, forged=True),
    "rate-limited": lambda script: script.behind(Obstacle.THROTTLED_BRIEFLY, Obstacle.THROTTLED),
    "outage": lambda script: replace(script.behind(Obstacle.DOWN, Obstacle.RESET), stumbles=True),
    "silence": lambda script: script.behind(Obstacle.SILENCE),
    "unknown-status": lambda script: replace(script, unheard_of=True),
    "garbage": lambda script: replace(script, garbled=True),
    **{flaw.value: partial(replace, flaw=flaw) for flaw in Flaw},
    "instrumental": lambda script: replace(script, truth=Truth.AI, instrumental=True),
    "null-model": lambda script: replace(script, nameless=True),
    "disagree": lambda script: replace(script, disputed=True),
    "reuse": lambda script: script,  # makes a name another name, and nothing else
}

WORDS: Final = frozenset(_EFFECTS)
"""Every word a name may carry. A new one is a line in the table above."""


def name_in(url: str) -> str:
    """Return the last part of the URL's path, decoded. Raise ValueError if this is not a URL."""
    return unquote(urlsplit(url).path.rpartition("/")[2])
