"""No number stands on a screen without what it means, whatever its semantics."""

from typing import Any, get_args

import pytest

from service.cli.screen.results import SHORT, meanings, notes, short_score
from service.detectors.reading import Confidence, Reading, Score
from tests.vendors.golden_answers import ANSWERS, golden

_SCORES = get_args(Score.model_fields["semantics"].annotation)
_CONFIDENCES = get_args(Confidence.model_fields["semantics"].annotation)
_READINGS = [name for name in sorted(ANSWERS) if "Reading" in golden(name)]


def part(**more: Any) -> dict[str, Any]:
    """A detector's part of a result."""
    empty: dict[str, Any] = {
        "score": None,
        "confidence": None,
        "components": {},
        "verdict": None,
        "vendor": "aippim",
        "detector": "x",
    }
    return empty | more


def test_a_sure_no_is_not_told_as_a_likely_yes() -> None:
    score = {"value": 0.9068, "max": 1, "semantics": "predicted_class_confidence"}
    told = meanings({"detectors": [part(score=score, verdict="no_ai_detected")]})
    assert told == ["x: 0.9068 of 1 is how sure the vendor is of its own verdict; not a likelihood of AI."]


@pytest.mark.parametrize("semantics", _SCORES)
def test_every_kind_of_score_has_a_meaning(semantics: str) -> None:
    one = part(score={"value": 1, "max": 100, "semantics": semantics})
    (told,) = notes(one)
    assert semantics not in told
    assert SHORT[semantics] in short_score(one)


@pytest.mark.parametrize("semantics", _CONFIDENCES)
def test_every_kind_of_confidence_has_a_meaning(semantics: str) -> None:
    (told,) = notes(part(confidence={"value": 0.5, "label": None, "semantics": semantics}))
    assert told.startswith("confidence 0.5 is ")
    assert semantics not in told.split()


@pytest.mark.parametrize("name", _READINGS)
def test_every_number_of_a_documented_answer_is_explained_in_words(name: str) -> None:
    reading = Reading.model_validate(golden(name)["Reading"]).model_dump(mode="json")
    told = " ".join(notes(reading | {"vendor": name.partition("/")[0]}))
    numbers = [reading["score"]["value"]] if reading["score"] else []
    numbers += [each["confidence"] for each in reading["components"].values() if each["confidence"] is not None]
    assert [number for number in numbers if str(number) not in told] == []
    assert not any(word in told for word in (*_SCORES, "mean_window", "max_window"))


def test_modulates_warning_stands_with_what_it_found() -> None:
    assert any("heavily processed" in told for told in notes(part(vendor="modulate", verdict="ai_generated")))
    assert list(notes(part(vendor="modulate", verdict="no_ai_detected"))) == []
