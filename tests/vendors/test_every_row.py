"""No field, no word and no mishap of a vendor is without an example or a test that shows what becomes of it."""

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from service.detectors.enums import ReasonCode
from service.detectors.port import Refused
from service.vendors.aippim import envelope
from service.vendors.aippim import results as aippim_results
from service.vendors.aippim.ensemble import ROLES
from service.vendors.asc import results as asc_results
from service.vendors.modulate import results as modulate_results
from service.vendors.pex import results as pex_results
from tests.vendors import field_homes
from tests.vendors.contract import KEY, raw
from tests.vendors.field_homes import HOMES
from tests.vendors.golden_answers import AIPPIM, ANSWERS, ASC, MODULATE, PEX, golden, sample_bytes
from tests.vendors.mapped_rows import ROWS

TESTS = Path(__file__).resolve().parents[1]
WORDS = {
    "aippim status": envelope.STATES,
    "aippim prediction": aippim_results.VERDICTS,
    "aippim label": [*aippim_results.SOURCES, "other", "real"],
    "aippim role": ROLES,
    "asc status": asc_results.STATES,
    "asc prediction": asc_results.VERDICTS,
    "pex status": [*pex_results.REFUSALS, pex_results.OK, pex_results.ERROR],
    "pex is_ai": ["true", "false", "absent"],
    "modulate primary_verdict": modulate_results.VERDICTS,
    "modulate type": ["window", "done", "error"],
}
OPEN = {*WORDS} - {"aippim label", "aippim role", "modulate type"}
"""Where a word that nobody knows must have a meaning too: it could be taken for an end, or for a verdict."""


@cache
def _functions(file: str) -> frozenset[str]:
    nodes = ast.walk(ast.parse((TESTS / f"{file}.py").read_text(encoding="utf-8")))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", sorted(ROWS))
def test_a_row_is_shown_by_examples_and_tests_that_are_there(row: str) -> None:
    assert ROWS[row], "nothing shows it"
    for shown in ROWS[row]:
        file, _, function = shown.partition("::")
        assert function in _functions(file) if function else shown in ANSWERS, shown


def test_every_word_an_adapter_knows_has_a_row_and_so_has_the_one_it_does_not() -> None:
    wanted = {f"{field} {word}" for field, words in WORDS.items() for word in words}
    wanted |= {f"{field} unknown" for field in OPEN}
    assert wanted - set(ROWS) == set()


def test_every_example_shows_something() -> None:
    shown = {name for names in ROWS.values() for name in names}
    shown |= {f"{vendor}/{place.partition(':')[0]}" for vendor, homes in HOMES.items() for place in homes}
    assert set(ANSWERS) - shown == set()


def _body(name: str) -> Any:
    """The example's object, or a stream's messages."""
    text = sample_bytes(name)
    return [json.loads(line) for line in text.splitlines()] if "/stream" in name else json.loads(text)


def _at(value: Any, path: str) -> Any:
    for part in path.split("/"):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def _fields(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield key
            yield from _fields(each)
    elif isinstance(value, list):
        for each in value:
            yield from _fields(each)


@pytest.mark.parametrize(("vendor", "place"), [(vendor, place) for vendor, homes in HOMES.items() for place in homes])
def test_a_field_is_at_home_where_it_is_said_to_be(vendor: str, place: str) -> None:
    name, _, path = place.partition(":")
    home, how = HOMES[vendor][place]
    sent, kept = _at(_body(f"{vendor}/{name}"), path), _at(golden(f"{vendor}/{name}")["Reading"], home)
    expected: Mapping[str, Callable[[], object]] = {
        field_homes.AS_SENT: lambda: sent,
        field_homes.AS_TEXT: lambda: str(sent),
        field_homes.AS_INTEGER: lambda: round(sent),
        field_homes.IN_MS: lambda: round(sent * 1000),
        field_homes.AS_TIME: lambda: datetime.fromisoformat(sent).isoformat().replace("+00:00", "Z"),
        field_homes.IN_OUR_WORDS: lambda: kept,
    }
    assert kept == expected[how]()


@pytest.mark.parametrize("vendor", sorted(HOMES))
def test_every_field_of_an_example_about_a_track_has_a_home(vendor: str) -> None:
    at_home = {part for place in HOMES[vendor] for part in place.partition(":")[2].split("/")}
    about_tracks = [name for name in ANSWERS if name.startswith(f"{vendor}/") and "Reading" in golden(name)]
    assert {field for name in about_tracks for field in _fields(_body(name))} - at_home == set()


REFUSALS = (
    (400, "no", ReasonCode.BAD_REQUEST, False),
    (413, "no", ReasonCode.FILE_TOO_LARGE, False),
    (415, "no", ReasonCode.UNSUPPORTED_FORMAT, False),
    (422, "no", ReasonCode.BAD_REQUEST, False),
    (401, "no", ReasonCode.AUTH_FAILED, False),
    (403, "no", ReasonCode.ACCESS_DENIED, False),
    (429, "slow down", ReasonCode.RATE_LIMITED, True),
    (429, "Insufficient credits.", ReasonCode.QUOTA_EXCEEDED, False),
    (500, "no", ReasonCode.VENDOR_ERROR, True),
    (502, "no", ReasonCode.VENDOR_ERROR, True),
    (503, "no", ReasonCode.VENDOR_ERROR, True),
)


@pytest.mark.parametrize("vendor", [AIPPIM, ASC, PEX, MODULATE], ids=lambda adapter: adapter.vendor)
@pytest.mark.parametrize(("status", "words", "code", "retryable"), REFUSALS)
def test_a_refusal_means_the_same_at_every_vendor(
    vendor: Any, status: int, words: str, code: ReasonCode, *, retryable: bool
) -> None:
    for body in ({"message": words}, {"detail": f"{words} {KEY}"}):
        found = vendor.parse_submit(raw(body, status, retry_after="120"))
        assert isinstance(found, Refused)
        assert (found.reason_code, found.retryable) == (code, retryable)
        assert found.retry_after_seconds == (120 if retryable else None)
        assert KEY not in found.reason_text
