"""A stream's messages, rebuilt from the stored lines: the whole reading, parts of it, and never a guess."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.detectors.enums import Kind, ReasonCode, RunStatus, Verdict
from service.detectors.port import Raw, Refused
from service.detectors.reading import Component, Content, Reading
from service.vendors.modulate import ModulateSettings
from service.vendors.modulate.messages import read_stream
from tests.vendors.altered import IN_OTHER_LETTERS
from tests.vendors.contract import JSON, NOW, SAMPLES, SHARED
from tests.vendors.test_modulate import adapter

LINES = (SAMPLES / "modulate" / "stream.ndjson").read_bytes().strip()
WINDOWS, DONE = LINES.splitlines()[:2], json.loads(LINES.splitlines()[2])
ERROR = {"type": "error", "error": "Internal server error"}


def stream(*messages: object, code: int = 1000) -> Raw:
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in messages]
    return Raw(code, {"content-type": "application/x-ndjson"}, b"\n".join(lines), NOW)


def read(*messages: object, code: int = 1000) -> Reading | Refused:
    found = adapter().read(stream(*messages, code=code), "modulate/streaming")
    assert found == adapter().parse_submit(stream(*messages, code=code))
    return found


def reading(*messages: object, code: int = 1000) -> Reading:
    found = read(*messages, code=code)
    assert isinstance(found, Reading)
    return found


def test_the_documented_stream_reads_as_documented() -> None:
    found = reading(LINES)
    assert (found.status, found.verdict, found.kind) == (RunStatus.SUCCEEDED, Verdict.AI_GENERATED, Kind.AI_VOCALS)
    assert (found.tier, found.engine.name, found.score, found.extras) == ("streaming", "velma-2", None, {})
    assert found.content == Content(vocal_pct=87.5, instrumental_pct=64.3, silence_pct=3.51, duration_ms=89280)
    assert found.refs.other == {"window_count": "22"}
    assert found.components["vocals"].ai_share_pct == 56.5
    # One score for the clip here; what a batch answer calls by this name is a share of its windows.
    assert found.components["instrumental"] == Component(ai_share_pct=42.0, confidence=0.95)
    assert [(each.index, each.start_ms, each.end_ms, each.component, each.verdict) for each in found.segments] == [
        (0, 0, 4000, "vocals", Verdict.AI_GENERATED),
        (1, 4000, 8000, None, None),
    ]


@pytest.mark.parametrize("code", [1000, 1005, 1006, 1011])
def test_what_was_done_is_done_however_the_connection_ended(code: int) -> None:
    assert reading(LINES, code=code).verdict is Verdict.AI_GENERATED


@pytest.mark.parametrize("code", [4001, 4003, 4029, 4030])
def test_what_was_done_does_not_count_where_the_vendor_then_refuses(code: int) -> None:
    assert isinstance(read(LINES, code=code), Refused)


@pytest.mark.parametrize("way", IN_OTHER_LETTERS)
def test_the_type_of_a_message_is_a_word_like_others(way: Callable[[str], str]) -> None:
    found = reading({"type": way("window"), "window": {}}, {**DONE, "type": way("done")})
    assert (found.verdict, len(found.segments)) == (Verdict.AI_GENERATED, 1)
    assert isinstance(read(*WINDOWS, DONE, {**ERROR, "type": way("error")}), Refused)


def test_trap_12_modulate_streamed_windows_may_have_the_newer_shape() -> None:
    window = {"start_time_ms": 88000, "end_time_ms": 89280, "vocal_ai_probability": 0.2, "vocal_ai_confidence": None}
    [segment] = reading({"type": "window", "window": window}, DONE).segments
    assert (segment.start_ms, segment.end_ms, segment.component) == (88000, 89280, "vocals")
    assert segment.scores == {"vocal_ai_probability": 0.2}


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006])
def test_trap_13_modulate_without_done_there_is_no_verdict(code: int) -> None:
    found = read(*WINDOWS, code=code)
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable) == (ReasonCode.VENDOR_ERROR, True)


@pytest.mark.parametrize("messages", [(DONE, ERROR), (ERROR, DONE)])
def test_trap_13_modulate_an_error_is_never_a_verdict_even_beside_done(messages: tuple[Any, ...]) -> None:
    found = read(*messages, code=1011)
    assert found == Refused(ReasonCode.VENDOR_ERROR, "Internal server error", retryable=True)


def test_trap_13_modulate_audio_that_cannot_be_read_is_the_contents_fault() -> None:
    found = reading(*WINDOWS, {"type": "error", "error": "It may be corrupted."}, code=4002)
    assert (found.status, found.verdict) == (RunStatus.NOT_APPLICABLE, None)
    assert (found.reason_code, found.reason_text) == (ReasonCode.INVALID_FILE, "It may be corrupted.")
    assert len(found.segments) == 2


NEWER = (SAMPLES / "modulate" / "stream_new_windows.ndjson").read_bytes().strip().splitlines()[:-1]
NO_INSTRUMENTS = {"instrumental_ai_percentage": None, "instrumental_ai_confidence": None}


def test_in_the_newer_shape_a_stream_without_instruments_to_judge_is_whole() -> None:
    human = {**DONE, "primary_verdict": "not-ai-music"}
    found = reading(*NEWER, {**human, **NO_INSTRUMENTS})
    assert (found.status, found.verdict) == (RunStatus.SUCCEEDED, Verdict.NO_AI_DETECTED)
    assert found.components["instrumental"] == Component(evaluated=False)
    for windows, said in (
        (NEWER, {"instrumental_ai_percentage": None}),
        (NEWER, {"instrumental_ai_confidence": None}),
        (NEWER, {**NO_INSTRUMENTS, "silence_percentage": None}),
        (NEWER, {"vocal_ai_percentage": None, "vocal_ai_confidence": None}),
        (WINDOWS, NO_INSTRUMENTS),
        ([*NEWER, WINDOWS[0]], NO_INSTRUMENTS),
        ([], NO_INSTRUMENTS),
    ):
        assert reading(*windows, {**human, **said}).reason_code is ReasonCode.SCHEMA_MISMATCH
    left_out = {name: value for name, value in human.items() if not name.startswith("instrumental_ai_")}
    assert reading(*NEWER, left_out).reason_code is ReasonCode.SCHEMA_MISMATCH


def test_in_the_newer_shape_a_stream_without_vocals_to_judge_is_whole() -> None:
    unsung = [json.loads(line) for line in NEWER]
    for each in unsung:
        each["window"] |= {"vocal_ai_probability": None, "vocal_ai_confidence": None}
    done = {**DONE, "primary_verdict": "not-ai-music", "vocal_ai_percentage": None, "vocal_ai_confidence": None}
    assert reading(*unsung, done).verdict is Verdict.NO_AI_DETECTED


@pytest.mark.parametrize("code", [1000, 1003, 1006, 1011, 4002])
def test_audio_that_cannot_be_read_is_the_contents_fault_whatever_code_the_stream_ends_with(code: int) -> None:
    words = "The audio could not be processed. It may be corrupted or in an unsupported format."
    found = reading(*WINDOWS, {"type": "error", "error": words}, code=code)
    assert (found.status, found.reason_code) == (RunStatus.NOT_APPLICABLE, ReasonCode.INVALID_FILE)


def test_an_error_without_words_is_an_error() -> None:
    for said in ({}, {"error": None}, {"error": {"deep": 1}}):
        assert isinstance(read({"type": "error", **said}, DONE, code=1011), Refused)


@pytest.mark.parametrize(("word", "code"), [("maybe", ReasonCode.UNKNOWN_VERDICT), (None, ReasonCode.SCHEMA_MISMATCH)])
def test_done_without_a_word_we_know_is_a_failure(word: object, code: ReasonCode) -> None:
    found = reading({**DONE, "primary_verdict": word})
    assert (found.status, found.verdict, found.reason_code) == (RunStatus.FAILED, None, code)


def test_a_stream_done_twice_differently_is_no_answer_and_twice_the_same_is_one() -> None:
    assert reading(DONE, DONE).verdict is Verdict.AI_GENERATED
    found = read(DONE, {**DONE, "primary_verdict": "not-ai-music"})
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable) == (ReasonCode.SCHEMA_MISMATCH, False)


def test_doubts_and_settings_hold_for_streams_too() -> None:
    silent = {**DONE, "primary_verdict": "not-ai-music", "silence_percentage": 99.0}
    assert reading(silent).reason_code is ReasonCode.LOW_MUSIC_CONTENT
    human = stream({**DONE, "instrumental_ai_percentage": 0.0})
    partial = read_stream(human, ModulateSettings(partial=True))
    assert isinstance(partial, Reading)
    assert partial.verdict is Verdict.AI_PARTIAL


def test_a_part_of_an_open_stream_is_running_with_windows_numbered_in_the_whole() -> None:
    found = read_stream(stream(*WINDOWS, code=101), ModulateSettings(), first=7)
    assert isinstance(found, Reading)
    assert (found.status, found.verdict, found.tier) == (RunStatus.RUNNING, None, "streaming")
    assert [each.index for each in found.segments] == [7, 8]
    assert isinstance(read(DONE, code=101), Reading)
    assert reading(DONE, code=101).verdict is None


def test_messages_nobody_knows_are_kept_and_turn_nothing() -> None:
    found = reading({"type": "ping", "n": 1}, b"not json \x00", {**DONE, "brand_new": 1})
    assert found.verdict is Verdict.AI_GENERATED
    assert found.extras == {"messages": [{"type": "ping", "n": 1}, "not json"], "brand_new": 1}


@SHARED
@given(
    st.lists(
        st.sampled_from([*WINDOWS, ERROR])
        | st.binary(max_size=30)
        | JSON
        | st.fixed_dictionaries(
            {"type": st.sampled_from(["window", "error", "other"]) | JSON}, optional={"window": JSON}
        ),
        max_size=6,
    ),
    st.integers(1000, 4999),
)
def test_no_messages_make_a_read_raise_and_none_but_done_are_a_verdict(messages: list[object], code: int) -> None:
    found = read(*messages, code=code)
    if isinstance(found, Reading):
        found.model_dump_json()
        assert found.verdict is None


@SHARED
@given(st.dictionaries(st.sampled_from(sorted({*DONE} - {"type", "primary_verdict"})), JSON))
def test_no_numbers_in_done_make_a_read_raise_or_turn_the_verdict(numbers: dict[str, Any]) -> None:
    found = reading({**DONE, **numbers})
    assert found.verdict is Verdict.AI_GENERATED
    found.model_dump_json()
