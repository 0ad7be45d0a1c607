"""Every value of every stored example, its type changed: it is still somewhere in what was read, or in `extras`."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.detectors.reading import Reading
from tests.vendors import aippim_answers, asc_answers
from tests.vendors.contract import raw, sample
from tests.vendors.golden_answers import ANSWERS, golden, sample_bytes

READ = sorted(name for name in ANSWERS if "Reading" in golden(name))
_WORD, _NUMBER = "a word of another kind", 987654.25


def _bodies(name: str) -> list[Any]:
    """The example's object, or a stream's messages."""
    text = sample_bytes(name)
    return [json.loads(line) for line in text.splitlines()] if "/stream" in name else [json.loads(text)]


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(each, (*path, key))
    else:
        yield path, value


def _with(bodies: list[Any], path: tuple[Any, ...], value: Any) -> list[Any]:
    changed = copy.deepcopy(bodies)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def _others(leaf: object) -> list[Any]:
    """Values of other kinds than this one's."""
    if isinstance(leaf, str):
        return [_NUMBER, {"deep": _WORD}, [_WORD, _NUMBER]]
    if leaf is None or isinstance(leaf, bool):
        return [{"deep": _WORD}]
    return [_WORD, {"deep": _WORD}]


@pytest.mark.parametrize("name", READ)
def test_a_value_of_another_kind_is_somewhere(name: str) -> None:
    bodies = _bodies(name)
    for path, leaf in _leaves(bodies):
        for other in _others(leaf):
            changed = _with(bodies, path, other)
            found = ANSWERS[name](b"\n".join(json.dumps(body).encode() for body in changed))
            unfinished = isinstance(found, Reading) and not found.claims_an_end and "result" in path
            if isinstance(found, Reading) and not unfinished:  # what is half done is not read
                kept = found.model_dump_json()
                marks = [mark for mark in (_WORD, str(_NUMBER)) if mark in json.dumps(other)]
                assert all(mark in kept for mark in marks), (path, other)


def test_reasons_of_another_kind_beside_a_text_are_kept() -> None:
    reasons = ["a text", {"code": "r2", "weight": 0.3}, 5]
    found = asc_answers.adapter().parse_submit(raw({**sample("asc", "analyze_reply"), "reasons": reasons}))
    assert isinstance(found, Reading)
    assert (found.reasons, found.extras) == (["a text"], {"reasons": reasons[1:]})


def test_a_word_beside_a_failure_is_kept_and_is_no_verdict() -> None:
    failed = {**sample("asc", "poll_failed"), "prediction": "human"}
    found = asc_answers.adapter().read(raw(failed), "asc")
    assert isinstance(found, Reading)
    assert (found.verdict, found.verdict_raw) == (None, "human")
    whole = {**sample("aippim", "callback_completed_standard"), "status": "failure"}
    at_aippim = aippim_answers.read(whole)
    assert (at_aippim.verdict, at_aippim.extras) == (None, {"result": whole["result"]})
