"""Runs that cast a vote, abstain or stay silent, by one word each."""

from collections.abc import Sequence

from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.reading import Reading
from service.verdicts.votes import Part, Rule

AI, SOME, NO, OPEN, NONE = (
    Verdict.AI_GENERATED,
    Verdict.AI_PARTIAL,
    Verdict.NO_AI_DETECTED,
    Verdict.INCONCLUSIVE,
    Verdict.NOT_ANALYZED,
)

VERDICTS = {
    "AI": Verdict.AI_GENERATED,
    "partial": Verdict.AI_PARTIAL,
    "no": Verdict.NO_AI_DETECTED,
    "abstain": Verdict.INCONCLUSIVE,
}
SILENT = {
    "too_short": (RunStatus.NOT_APPLICABLE, ReasonCode.TOO_SHORT),
    "not_enough_music": (RunStatus.NOT_APPLICABLE, ReasonCode.NOT_ENOUGH_MUSIC),
    "timeout": (RunStatus.TIMED_OUT, ReasonCode.NO_CALLBACK_NO_RESULT),
    "unverified": (RunStatus.TIMED_OUT, ReasonCode.UNVERIFIED_CALLBACK),
    "error": (RunStatus.FAILED, ReasonCode.VENDOR_ERROR),
    "unknown_word": (RunStatus.FAILED, ReasonCode.UNKNOWN_VERDICT),
    "unneeded": (RunStatus.SKIPPED, ReasonCode.FALLBACK_NOT_NEEDED),
    "over_budget": (RunStatus.SKIPPED, ReasonCode.BUDGET_EXCEEDED),
    "cancelled": (RunStatus.SKIPPED, ReasonCode.CANCELLED),
    "pending": (RunStatus.PENDING, None),
    "running": (RunStatus.RUNNING, None),
}
VOICES = [word for word in (*VERDICTS, *SILENT) if word not in ("pending", "running", "unneeded")]
FREE_RULES = (Rule.CONSENSUS, Rule.MAJORITY, Rule.ANY)


def part(word: str, place: int = 0, **said: object) -> Part:
    name = f"v{place}"
    if word in VERDICTS:
        reading = Reading.model_validate({"status": RunStatus.SUCCEEDED, "verdict": VERDICTS[word], **said})
        return Part(f"run_{place}", name, name, RunStatus.SUCCEEDED, None, reading)
    status, reason = SILENT[word]
    return Part(f"run_{place}", name, name, status, reason)


def parts(words: Sequence[str]) -> list[Part]:
    return [part(word, place) for place, word in enumerate(words)]
