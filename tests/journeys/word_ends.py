"""How the runs of each of the sandbox's words end, at each vendor; what becomes of the whole; what callbacks come to.

What the twins do for a word stands in `docs/sandbox.md`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

DEFAULTS = ("aippim/standard", "asc", "pex", "modulate")
EITHER_WAY = "callback or poll"


@dataclass(frozen=True)
class End:
    """How a run ends."""

    status: str = "succeeded"
    verdict: str | None = "ai_generated"
    reason: str | None = None
    via: str | None = "callback"
    tries: int = 1
    maybe_billed_twice: bool = False
    kind: str | None = None
    generator: bool = False
    """Whether one is named."""


@dataclass(frozen=True)
class Outcome:
    """What the detection says in the end."""

    status: str = "completed"
    verdict: str = "ai_generated"
    reason: str | None = None
    agreement: str = "unanimous"


@dataclass(frozen=True)
class Row:
    """A recording's name, the end of each detector's run, and of the detection. Only what differs from `ai` is said."""

    words: str
    ends: Mapping[str, End]
    outcome: Outcome = Outcome()
    quorum: int | None = None

    @property
    def detectors(self) -> dict[str, Any]:
        """Whom the request names: nobody, where they are the default."""
        return {} if tuple(self.ends) == DEFAULTS else {"detectors": list(self.ends)}

    @property
    def decision(self) -> dict[str, Any]:
        """The request's rule, if it wants a quorum."""
        return {"decision": {"quorum": self.quorum}} if self.quorum else {}

    def __str__(self) -> str:
        return " ".join([self.words, *self.detectors.get("detectors", [])])


HEARD = End()
POLLED = End(via="poll")
PEX = End(via="sync", generator=True)
MODULATE = End(via="sync", kind="ai_vocals")
AT_ONCE = End(via="sync")


def at(aippim: End = HEARD, asc: End = HEARD, pex: End = PEX, modulate: End = MODULATE) -> dict[str, End]:
    """The ends at the four defaults. Without a word: all say AI, and those that call back do."""
    return dict(zip(DEFAULTS, (aippim, asc, pex, modulate), strict=True))


def human(end: End) -> End:
    """The same, with no AI found."""
    return replace(end, verdict="no_ai_detected", kind=None, generator=False)


def broken(reason: str, via: str | None = "sync", **more: Any) -> End:
    """The run has failed."""
    return End("failed", None, reason, via, **more)


def declined(reason: str) -> End:
    """The vendor has refused the recording."""
    return End("not_applicable", None, reason, "sync")


ALL_HUMAN = at(human(HEARD), human(HEARD), human(PEX), human(MODULATE))
NO_AI = Outcome(verdict="no_ai_detected")
PARTLY = Outcome("completed_partial")
NO_ANSWER = Outcome("failed", "not_analyzed", "no_detector_answered", "none")
NOT_FIT = Outcome("completed", "not_analyzed", "content_not_analyzable", "none")


def later(end: End, tries: int, *, twice: bool = False) -> End:
    """The same after some tries, of which one may have been taken unseen."""
    return replace(end, tries=tries, maybe_billed_twice=twice)


HEARD_OF = [
    Row("ai", at()),
    Row("human", ALL_HUMAN, NO_AI),
    Row("cover", at()),  # of an AI cover AIPPIM speaks in other tiers
    Row("slow.ai", at()),
    Row("duplicate-callback.ai", at()),
    Row("early-callback.ai", at()),
    Row("reordered-callback.ai", at()),
    # The look that the lie causes may find the end.
    Row("forged-callback.slow.ai", at(End(via=EITHER_WAY), End(via=EITHER_WAY))),
    Row(
        "rate-limited.ai",
        at(later(HEARD, 3), later(HEARD, 3), later(PEX, 3), later(MODULATE, 3)),
    ),
    # The fetch that should confirm the callback meets the 500.
    Row(
        "outage.ai",
        at(
            later(POLLED, 3, twice=True),
            later(POLLED, 3, twice=True),
            later(PEX, 3, twice=True),
            later(MODULATE, 3, twice=True),
        ),
    ),
    Row("reuse.ai", at()),
    Row("too-short.ai", at(pex=declined("too_short")), PARTLY),
    Row("too-short", {"pex": declined("too_short")}, NOT_FIT),
    Row(
        "too-short.ai",
        {"pex": declined("too_short"), "asc": HEARD},
        Outcome("completed_partial", "inconclusive", "quorum_not_met", "single"),
        quorum=2,
    ),
    Row("too-long.ai", at(pex=declined("too_long")), PARTLY),
    Row("not-enough-music.ai", at(pex=declined("not_enough_music")), PARTLY),
    Row("invalid.ai", {"pex": declined("invalid_file"), "modulate/streaming": declined("invalid_file")}, NOT_FIT),
    Row("null-model.ai", at(pex=replace(PEX, generator=False))),
    Row("instrumental", at(modulate=replace(MODULATE, kind="ai_instrumental"))),
    Row(
        "disagree",
        at(HEARD, human(HEARD), PEX, human(MODULATE)),
        Outcome("completed", "inconclusive", "detector_disagreement", "split"),
    ),
    Row(
        "silent",
        at(
            human(HEARD),
            human(HEARD),
            declined("not_enough_music"),
            End(verdict="inconclusive", reason="low_music_content", via="sync"),
        ),
        Outcome("completed_partial", "no_ai_detected"),
    ),
    Row("ai", {"modulate/streaming": MODULATE, "asc/sync": AT_ONCE}),
    Row("human", {"modulate/streaming": human(MODULATE), "asc/sync": human(AT_ONCE)}, NO_AI),
    Row(
        "silent",
        {
            "modulate/streaming": End(verdict="inconclusive", reason="low_music_content", via="sync"),
            "asc/sync": human(AT_ONCE),
        },
        Outcome(verdict="no_ai_detected", agreement="single"),
    ),
]
"""Asked of a deployment that has time, and looks by itself when everything must long be over."""

LOOKED_AT = [
    Row("lost-callback.ai", at(POLLED, POLLED)),
    Row("late-callback.slow.ai", at(POLLED, POLLED)),
    # A callback tells that the submission was taken; who calls nobody back is asked again.
    Row("silence.ai", at(pex=later(PEX, 2, twice=True), modulate=later(MODULATE, 2, twice=True))),
    # ASC calls nobody back about a failure; that AIPPIM does, `fail` holds.
    Row(
        "no-audio.ai",
        at(
            broken("vendor_error", EITHER_WAY),
            broken("unsupported_format", "poll"),
            declined("no_audio"),
            declined("invalid_file"),
        ),
        NO_ANSWER,
    ),
    Row(
        "invalid.ai",
        at(
            broken("vendor_error", EITHER_WAY),
            broken("unsupported_format", "poll"),
            declined("invalid_file"),
            declined("invalid_file"),
        ),
        NO_ANSWER,
    ),
]
"""Asked of a deployment that has time, and looks by itself soon."""

BROKEN_FOR_EVER = broken("vendor_error", None, tries=2)
"""What a vendor fails at in its answer is tried until the deadline."""
NO_SENSE = broken("schema_mismatch", None)
UNSURE = End("timed_out", None, "no_callback_no_result", None, tries=2, maybe_billed_twice=True)
# Paid for, perhaps, and not to be read: asked for once more, marked, and then it is the end.
GARBLED_TWICE = broken("schema_mismatch", tries=2, maybe_billed_twice=True)

HASTY = [
    Row(
        "fail",
        at(broken("vendor_error", "callback"), broken("vendor_error", "poll"), BROKEN_FOR_EVER, BROKEN_FOR_EVER),
        NO_ANSWER,
    ),
    Row("fail", {"modulate/streaming": BROKEN_FOR_EVER, "asc/sync": BROKEN_FOR_EVER}, NO_ANSWER),
    Row(
        "unknown-status.ai",
        at(NO_SENSE, NO_SENSE, broken("schema_mismatch"), broken("unknown_verdict")),
        NO_ANSWER,
    ),
    Row(
        "garbage.ai",
        at(NO_SENSE, NO_SENSE, GARBLED_TWICE, GARBLED_TWICE),
        NO_ANSWER,
    ),
    # A stream that closes without a `done` that can be read: whether it was finished is not known.
    Row("garbage.ai", {"modulate/streaming": UNSURE, "asc/sync": GARBLED_TWICE}, NO_ANSWER),
]
"""What comes to no answer before its deadline."""

RACING = (Counter(applied=1, late=1), Counter(applied=2))
# What was signed wrongly belongs to no run; the look that the lie caused may find the end before the truth is told.
FORGED = (Counter(applied=1, late=2), Counter(applied=2, late=1), Counter(applied=3))
NOBODY_CALLS = {"pex": (Counter[str](),), "modulate": (Counter[str](),)}
CALLBACKS: dict[str, dict[str, tuple[Counter[str], ...]]] = {
    "lost-callback.ai": {"aippim": (Counter(),), "asc": (Counter(),), **NOBODY_CALLS},
    "late-callback.slow.ai": {"aippim": (Counter(applied=1, late=1),), "asc": (Counter(late=1),)},
    "reordered-callback.ai": {"aippim": RACING, "asc": (Counter(applied=1),)},
    "early-callback.ai": {"aippim": (Counter(applied=1),), "asc": (Counter(applied=1),), **NOBODY_CALLS},
    "forged-callback.slow.ai": {"aippim": FORGED, "asc": (Counter(applied=1, conflict=1), Counter(late=1, conflict=1))},
    "garbage.ai": {"aippim": (Counter(applied=1),), "asc": (Counter(quarantined=3),), **NOBODY_CALLS},
}
"""What becomes of the callbacks of the four, where that says something. AIPPIM's first one says `processing`.

What cannot be read names no task of AIPPIM's and so no run; ASC's comes to the run's own address.
"""
