"""What the vendors' numbers mean, in words: a number alone beside a verdict is read as a probability of AI.

The meanings are those of the result's `semantics`. No two vendors' numbers can be compared.
"""

from collections.abc import Iterator, Mapping
from typing import Any

SHORT = {
    "ai_likelihood": "AI likelihood",
    "predicted_class_confidence": "class confidence",
    "ai_duration_share": "AI share of time",
    "ai_window_share": "AI share of windows",
}
"""For a table."""

_SCORES = {
    "ai_likelihood": "how likely the vendor holds AI to be, on its own scale; not a probability",
    "predicted_class_confidence": "how sure the vendor is of its own verdict; not a likelihood of AI",
    "ai_duration_share": "the share of the time in which the vendor found AI",
    "ai_window_share": "the share of the windows in which the vendor found AI",
}
_CONFIDENCES = {
    "class": "how sure the vendor is of its own verdict",
    "mean_window": "the mean over the windows that were judged",
    "max_window": "the highest of all windows, so one window makes it",
    "label": "the vendor's own word",
}
_POSITIVE = ("ai_generated", "ai_partial")


def short_score(detector: Mapping[str, Any]) -> str:
    """Return the score with its scale and its meaning, short; empty where the vendor gives none."""
    score = detector["score"]
    if score is None:
        return ""
    return f"{score['value']}/{score['max']} {SHORT.get(score['semantics'], score['semantics'])}"


def notes(detector: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each number that one detector gave, and one for what its vendor warns of."""
    if score := detector.get("score"):
        yield f"{score['value']} of {score['max']} is {_meaning(_SCORES, score.get('semantics'))}"
    confidence = detector.get("confidence")
    if confidence and confidence["value"] is not None:
        yield f"confidence {confidence['value']} is {_meaning(_CONFIDENCES, confidence['semantics'])}"
    for name, part in detector.get("components", {}).items():
        if part["confidence"] is not None:
            yield f"{name}: confidence {part['confidence']} is {_meaning(_CONFIDENCES, part['confidence_semantics'])}"
    if detector["verdict"] in _POSITIVE and (caveat := _caveat(detector.get("vendor", ""))):
        yield caveat


def _caveat(vendor: str) -> str:
    from service.vendors import VENDORS  # noqa: PLC0415 - a client's command starts without the adapters

    known = VENDORS.get(vendor)
    return "" if known is None else known.caveat


def _meaning(known: Mapping[str, str], semantics: str | None) -> str:
    """Return the words for it; its own name where a newer service has one that we do not know."""
    return known.get(semantics or "", semantics or "the vendor's own number")
