"""Modulate's words for a whole file in ours: the verdict, its windows in both shapes, and what is doubted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.detectors.enums import Kind, ReasonCode, RunStatus, Verdict
from service.detectors.reading import Component, Content, Reading, Segment
from service.vendors.modulate import ModulateSettings
from service.vendors.modulate.results import read_batch
from tests.vendors.contract import JSON, SHARED, raw
from tests.vendors.test_modulate import BATCH, NEW_WINDOWS, adapter

WINDOW = BATCH["windows"][0]
NOT_AI = {**BATCH, "primary_verdict": "not-ai-music"}


def read(body: dict[str, Any], **knobs: Any) -> Reading:
    return read_batch(body, ModulateSettings(**knobs))


def window(**measured: Any) -> Segment:
    [segment] = read({**BATCH, "windows": [{"start_time_ms": 0, "end_time_ms": 4000, **measured}]}).segments
    return segment


def test_the_documented_reply_reads_as_documented() -> None:
    found = read(BATCH)
    assert (found.status, found.verdict, found.verdict_raw) == (
        RunStatus.SUCCEEDED,
        Verdict.AI_GENERATED,
        "ai-vocal-music",
    )
    assert (found.kind, found.verdict_derived, found.engine.name, found.tier) == (
        Kind.AI_VOCALS,
        False,
        "velma-2",
        None,
    )
    assert (found.score, found.confidence, found.attribution) == (None, None, None)
    assert found.components == {
        "vocals": Component(
            verdict=Verdict.AI_GENERATED,
            ai_share_pct=56.5,
            share_base="clip_duration",
            confidence=0.96,
            confidence_semantics="mean_window",
        ),
        "instrumental": Component(
            ai_share_pct=10.5, share_base="eligible_windows", confidence=0.95, confidence_semantics="max_window"
        ),
    }
    assert found.content == Content(vocal_pct=87.5, instrumental_pct=64.3, silence_pct=3.51, duration_ms=89280)
    assert (found.vendor_ms, found.refs.other, found.extras) == (1333, {"filename": "my_audio.mp3"}, {})
    assert found.segments == [
        Segment(
            index=0,
            start_ms=0,
            end_ms=4000,
            component="vocals",
            verdict=Verdict.AI_GENERATED,
            scores={
                "vocal_percentage": 100.0,
                "vocal_ai_percentage": 100.0,
                "vocal_ai_confidence": 0.97,
                "instrumental_percentage": 79.0,
                "silence_percentage": 0.0,
            },
        ),
        Segment(
            index=1,
            start_ms=4000,
            end_ms=8000,
            component="instrumental",
            verdict=Verdict.NO_AI_DETECTED,
            scores={
                "vocal_percentage": 0.0,
                "instrumental_percentage": 82.0,
                "instrumental_ai_percentage": 0.0,
                "instrumental_ai_confidence": 0.76,
                "silence_percentage": 18.0,
            },
        ),
    ]


@pytest.mark.parametrize(
    ("word", "verdict", "kind", "vocals", "instrumental"),
    [
        ("ai-vocal-music", Verdict.AI_GENERATED, Kind.AI_VOCALS, Verdict.AI_GENERATED, None),
        (
            "ai-instrumental",
            Verdict.AI_GENERATED,
            Kind.AI_INSTRUMENTAL,
            Verdict.NO_AI_DETECTED,
            Verdict.AI_GENERATED,
        ),
        ("not-ai-music", Verdict.NO_AI_DETECTED, None, Verdict.NO_AI_DETECTED, Verdict.NO_AI_DETECTED),
    ],
)
def test_each_verdict_says_what_its_rule_implies_of_the_layers(
    word: str, verdict: Verdict, kind: Kind | None, vocals: Verdict, instrumental: Verdict | None
) -> None:
    found = read({**BATCH, "primary_verdict": word})
    assert (found.verdict, found.kind, found.verdict_derived) == (verdict, kind, False)
    assert (found.components["vocals"].verdict, found.components["instrumental"].verdict) == (vocals, instrumental)


@SHARED
@given(st.dictionaries(st.sampled_from(sorted(set(BATCH) - {"primary_verdict"})), st.floats(0, 100) | JSON))
def test_trap_11_modulate_only_the_primary_verdict_decides(numbers: dict[str, Any]) -> None:
    for word, verdict in (("ai-instrumental", Verdict.AI_GENERATED), ("not-ai-music", Verdict.NO_AI_DETECTED)):
        assert read({**BATCH, **numbers, "primary_verdict": word}, doubt_low_music=False).verdict is verdict
    without = {key: value for key, value in {**BATCH, **numbers}.items() if key != "primary_verdict"}
    found = read(without, partial=True)
    assert (found.status, found.verdict, found.reason_code) == (RunStatus.FAILED, None, ReasonCode.SCHEMA_MISMATCH)


def test_trap_11_modulate_a_confidence_beside_a_low_share_is_confidence_in_no_ai() -> None:
    numbers = {"instrumental_ai_percentage": 1.1, "instrumental_ai_confidence": 0.978}
    found = read({**NOT_AI, **numbers}).components["instrumental"]
    assert (found.verdict, found.ai_share_pct, found.confidence) == (Verdict.NO_AI_DETECTED, 1.1, 0.978)
    second = read(BATCH).segments[1]
    assert (second.scores["instrumental_ai_confidence"], second.verdict) == (0.76, Verdict.NO_AI_DETECTED)


def test_trap_11_modulate_shares_that_sum_to_more_than_100_are_kept_as_sent() -> None:
    assert read(BATCH).content == Content(vocal_pct=87.5, instrumental_pct=64.3, silence_pct=3.51, duration_ms=89280)


def test_trap_12_modulate_the_newer_windows_are_read_and_null_is_not_zero() -> None:
    found = read(NEW_WINDOWS)
    assert found.extras == {}
    alone, both, neither = found.segments
    assert (alone.component, alone.verdict) == ("instrumental", None)
    assert alone.scores == {
        "vocal_percentage": 0.0,
        "instrumental_percentage": 100.0,
        "instrumental_ai_probability": 0.011,
        "instrumental_ai_confidence": 0.978,
        "silence_percentage": 0.0,
    }
    assert (both.component, both.verdict) == (None, None)
    assert {"vocal_ai_probability", "instrumental_ai_probability"} < set(both.scores)
    assert neither.component is None
    assert neither.scores == {"vocal_percentage": 0.0, "instrumental_percentage": 0.0, "silence_percentage": 100.0}
    zero = window(vocal_ai_probability=0.0, vocal_ai_confidence=0.0, instrumental_ai_probability=None)
    assert (zero.component, zero.scores) == ("vocals", {"vocal_ai_probability": 0.0, "vocal_ai_confidence": 0.0})


def test_trap_12_modulate_a_short_last_window_has_its_own_times() -> None:
    last = {**WINDOW, "start_time_ms": 88000, "end_time_ms": 89280}
    found = read({**BATCH, "windows": [WINDOW, last]}).segments
    assert [(each.start_ms, each.end_ms) for each in found] == [(0, 4000), (88000, 89280)]
    assert [(each.start_ms, each.end_ms) for each in read(NEW_WINDOWS).segments][-1] == (8000, 9280)


def test_trap_12_modulate_the_path_that_was_not_taken_has_no_number() -> None:
    silent = window(vocal_ai_percentage=0, vocal_ai_confidence=0, instrumental_ai_percentage=0)
    assert (silent.component, silent.verdict, silent.scores) == (None, None, {})
    scale_of_one = window(instrumental_ai_percentage=0.9, instrumental_ai_confidence=0.8)
    assert (scale_of_one.component, scale_of_one.verdict) == ("instrumental", None)


def test_a_layer_that_was_not_judged_is_not_a_measured_zero() -> None:
    unsung = {"vocal_ai_percentage": 0.0, "vocal_ai_confidence": 0.0, "windows": BATCH["windows"][1:]}
    assert read({**NOT_AI, **unsung}).components["vocals"] == Component(evaluated=False)
    unknown: dict[str, Any] = {"vocal_ai_percentage": None, "vocal_ai_confidence": None, "windows": []}
    assert read({**BATCH, **unknown}).components["vocals"] == Component(evaluated=False)


@pytest.mark.parametrize(
    "content",
    [
        {"silence_percentage": 80.1},
        {"vocal_percentage": 0.0, "instrumental_percentage": 0.0},
        {"vocal_percentage": 2.4, "instrumental_percentage": 2.5, "silence_percentage": 0.0},
    ],
)
def test_no_ai_where_there_was_hardly_music_is_inconclusive(content: dict[str, float]) -> None:
    found = read({**NOT_AI, **content})
    assert (found.status, found.verdict, found.verdict_derived) == (RunStatus.SUCCEEDED, Verdict.INCONCLUSIVE, True)
    assert (found.reason_code, found.verdict_raw) == (ReasonCode.LOW_MUSIC_CONTENT, "not-ai-music")
    assert {each.verdict for each in found.components.values()} == {None}
    assert read({**NOT_AI, **content}, doubt_low_music=False).verdict is Verdict.NO_AI_DETECTED
    assert read({**BATCH, **content}).verdict is Verdict.AI_GENERATED


@pytest.mark.parametrize(
    "content",
    [
        {"silence_percentage": 80.0},
        {"vocal_percentage": 5.0, "instrumental_percentage": 0.0},
    ],
)
def test_music_enough_is_not_doubted(content: dict[str, Any]) -> None:
    assert read({**NOT_AI, **content}).verdict is Verdict.NO_AI_DETECTED


@pytest.mark.parametrize("nothing", [{"duration_s": 0}, {"windows": []}, {"duration_s": 0.0, "windows": []}])
def test_no_ai_of_no_length_or_no_window_is_inconclusive(nothing: dict[str, Any]) -> None:
    found = adapter().read(raw({**NOT_AI, **nothing}), "modulate")
    assert isinstance(found, Reading)
    assert (found.verdict, found.verdict_derived, found.verdict_raw) == (Verdict.INCONCLUSIVE, True, "not-ai-music")
    assert found.reason_code is ReasonCode.LOW_MUSIC_CONTENT
    assert read({**BATCH, **nothing}).verdict is Verdict.AI_GENERATED
    assert read({**NOT_AI, **nothing}, doubt_low_music=False).verdict is Verdict.NO_AI_DETECTED


@pytest.mark.parametrize(
    "changed",
    [
        {key: None for key in BATCH if key.endswith("_percentage")},
        {"vocal_percentage": "87.5"},
        {"silence_percentage": 100.1},
        {"duration_s": -1},
        {"windows": [{}]},
        {"windows": ["nothing"]},
        {"windows": [{**WINDOW, "silence_percentage": True}]},
    ],
)
def test_no_ai_without_the_numbers_that_the_schema_requires_is_no_pass(changed: dict[str, Any]) -> None:
    for doubt in (True, False):
        found = adapter(doubt_low_music=doubt).read(raw({**NOT_AI, **changed}), "modulate")
        assert isinstance(found, Reading)
        assert (found.status, found.verdict, found.verdict_raw) == (RunStatus.FAILED, None, "not-ai-music")
        assert found.reason_code is ReasonCode.SCHEMA_MISMATCH
        assert {each.verdict for each in found.components.values()} <= {None}
    positive = adapter().read(raw({**BATCH, **changed}), "modulate")
    assert isinstance(positive, Reading)
    assert positive.verdict is Verdict.AI_GENERATED
    assert adapter().read(raw({"primary_verdict": "not-ai-music"}), "modulate").reason_code is found.reason_code


def test_in_the_newer_windows_null_is_an_answer_where_there_was_nothing_to_judge() -> None:
    unsung = [{**each, "vocal_ai_probability": None, "vocal_ai_confidence": None} for each in NEW_WINDOWS["windows"]]
    clip = {**NEW_WINDOWS, "primary_verdict": "not-ai-music", "vocal_ai_percentage": None, "vocal_ai_confidence": None}
    for windows, code in ((unsung, None), (NEW_WINDOWS["windows"], ReasonCode.SCHEMA_MISMATCH)):
        assert adapter().read(raw({**clip, "windows": windows}), "modulate").reason_code is code


@pytest.mark.parametrize(
    ("word", "percentage", "conflict"),
    [
        ("not-ai-music", 100.0, "not-ai-music, but every window decided hears AI"),
        ("ai-instrumental", 0.0, "ai-instrumental, but every window decided hears no AI"),
        ("ai-vocal-music", 0.0, None),
        ("ai-instrumental", 100.0, None),
        ("not-ai-music", 0.0, None),
    ],
)
def test_windows_that_all_say_the_opposite_are_a_conflict_and_the_clip_decides(
    word: str, percentage: float, conflict: str | None
) -> None:
    windows = [{**BATCH["windows"][1], "instrumental_ai_percentage": percentage}]
    found = read({**BATCH, "primary_verdict": word, "windows": windows})
    assert found.verdict_raw == word
    assert not found.verdict_derived
    assert [each.detail for each in found.conflicts] == ([conflict] if conflict else [])


def test_what_counts_as_silence_or_music_is_a_setting() -> None:
    assert read({**NOT_AI, "silence_percentage": 81.0}, silence_above_pct=90.0).verdict is Verdict.NO_AI_DETECTED
    little = {"vocal_percentage": 6.0, "instrumental_percentage": 0.0}
    assert read({**NOT_AI, **little}, music_below_pct=7.0).verdict is Verdict.INCONCLUSIVE


def test_ai_vocals_over_music_without_any_ai_are_partial_only_where_that_is_set() -> None:
    human = {**BATCH, "instrumental_ai_percentage": 0.0}
    assert read(human).verdict is Verdict.AI_GENERATED
    found = read(human, partial=True)
    assert (found.verdict, found.verdict_derived, found.kind) == (Verdict.AI_PARTIAL, True, Kind.AI_VOCALS)
    assert found.components["instrumental"].verdict is Verdict.NO_AI_DETECTED
    assert found.verdict_raw == "ai-vocal-music"


@pytest.mark.parametrize(
    "changed",
    [
        {},  # some of it was AI, and no threshold is ours to set
        {"instrumental_ai_percentage": 0.0, "instrumental_ai_confidence": 0.0, "windows": []},  # nobody looked
        {"instrumental_ai_percentage": 0.0, "primary_verdict": "ai-instrumental"},
    ],
)
def test_nothing_else_becomes_partial(changed: dict[str, Any]) -> None:
    found = read({**BATCH, **changed}, partial=True)
    assert (found.verdict, found.verdict_derived) == (Verdict.AI_GENERATED, False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vocal_percentage", 100.1),
        ("vocal_ai_confidence", "high"),
        ("duration_s", -1),
        ("latency_ms", True),
        ("windows", {"0": {}}),
    ],
)
def test_a_value_of_another_kind_is_kept_but_not_used(field: str, value: object) -> None:
    found = read({**BATCH, field: value})
    assert (found.verdict, found.extras) == (Verdict.AI_GENERATED, {field: value})


def test_what_a_window_has_besides_is_kept_with_its_place() -> None:
    windows = [{**WINDOW, "tempo": 120}, "nothing", {**WINDOW, "start_time_ms": "0"}]
    found = read({**BATCH, "windows": windows})
    assert found.extras == {"windows[0].tempo": 120, "windows[1]": "nothing", "windows[2].start_time_ms": "0"}
    assert [each.index for each in found.segments] == [0, 2]


@SHARED
@given(st.lists(st.dictionaries(st.sampled_from([*WINDOW, *NEW_WINDOWS["windows"][0]]), JSON) | JSON, max_size=5))
def test_no_windows_make_a_read_raise_or_turn_the_verdict(windows: list[Any]) -> None:
    found = adapter().read(raw({**BATCH, "windows": windows}), "modulate")
    assert isinstance(found, Reading)
    assert found.verdict is Verdict.AI_GENERATED
    found.model_dump_json()
