"""What the vendor says of a whole clip: the body of a batch answer, or the stream's `done`.

The verdict is `primary_verdict` and nothing else. Percentages are shares of time or of windows, not probabilities,
and the thresholds between them and the verdict are not published.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.detectors.answers import error_text, folded, leftovers, list_of, name_of, reason, text_of, unused
from service.detectors.enums import ConflictKind, Kind, ReasonCode, RunStatus, Verdict
from service.detectors.reading import Component, Conflict, Content, Engine, Number, Reading, Refs, Segment
from service.vendors.modulate.schema import LONGEST_MS, MEASURES, PATHS, picked, read_windows
from service.vendors.modulate.settings import ENGINE, ModulateSettings

VERDICTS: Final[Mapping[str, tuple[Verdict, Kind | None]]] = {
    # Also said of synthetic vocals over anything: it does not mean that people play the rest.
    "ai-vocal-music": (Verdict.AI_GENERATED, Kind.AI_VOCALS),
    "ai-instrumental": (Verdict.AI_GENERATED, Kind.AI_INSTRUMENTAL),
    "not-ai-music": (Verdict.NO_AI_DETECTED, None),
}
"""`primary_verdict` in our words. Any other word is `unknown_verdict`."""

_BY_COMPONENT: Final[Mapping[str, Mapping[str, Verdict]]] = {
    # Vocals are judged first, and what comes after them is not reached: nothing is known of the instruments then.
    "ai-vocal-music": {"vocals": Verdict.AI_GENERATED},
    "ai-instrumental": {"vocals": Verdict.NO_AI_DETECTED, "instrumental": Verdict.AI_GENERATED},
    "not-ai-music": {"vocals": Verdict.NO_AI_DETECTED, "instrumental": Verdict.NO_AI_DETECTED},
}
_BATCH, _STREAM = {"filename", "duration_s", "latency_ms", "windows"}, {"type", "duration_ms", "window_count"}
_NAMED = ("filename", "window_count")
_CLIP = {
    **MEASURES,
    "duration_s": (0.0, LONGEST_MS / 1000),
    "duration_ms": (0.0, float(LONGEST_MS)),
    "latency_ms": (0.0, float(LONGEST_MS)),
}


def read_batch(body: Mapping[str, Any], settings: ModulateSettings) -> Reading:
    """Return what a batch answer says, windows and all. Never raise."""
    windows = body.get("windows")
    segments, extras = read_windows(list_of(windows))
    if windows is not None and not isinstance(windows, list):
        extras["windows"] = windows
    extras |= leftovers(body, {*MEASURES, *_BATCH, "primary_verdict", "detail"})
    base = _base(body, segments, extras)
    if body.get("detail") is not None:  # the envelope of an error, under a good status all the same
        parsed = error_text({"detail": body["detail"]}) or "the vendor reports a failure without a reason"
        return _failed(base, ReasonCode.VENDOR_ERROR, reason(parsed, hide=[settings.secret]))
    return _decided(base, body.get("primary_verdict"), settings)


def read_done(
    done: Mapping[str, Any], segments: list[Segment], extras: dict[str, Any], settings: ModulateSettings
) -> Reading:
    """Return what a stream's last message says. `segments` and `extras` are of those before it. Never raise."""
    extras = extras | leftovers(done, {*MEASURES, *_STREAM, "primary_verdict"})
    base = _base(done, segments, extras)
    components = dict(base.components)
    if "instrumental" in components:
        # Here it is one score for the whole clip, where a batch answer has a share of its windows.
        changed = {"share_base": None, "confidence_semantics": None}
        components["instrumental"] = components["instrumental"].model_copy(update=changed)
    streamed = base.model_copy(update={"tier": "streaming", "components": components})
    return _decided(streamed, done.get("primary_verdict"), settings)


def _base(clip: Mapping[str, Any], segments: list[Segment], extras: dict[str, Any]) -> Reading:
    """Return the fields that do not depend on the verdict."""
    numbers, odd = picked(clip, _CLIP)
    latency = numbers.get("latency_ms")
    return Reading(
        status=RunStatus.RUNNING,
        engine=Engine(name=ENGINE),
        components=_components(clip, numbers, segments),
        content=_content(numbers),
        segments=segments,
        refs=Refs(other=_other(clip)),
        vendor_ms=None if latency is None else round(latency),
        extras=extras | odd | unused(clip, _NAMED, name_of) | unused(clip, ["primary_verdict"], text_of),
    )


def _components(
    clip: Mapping[str, Any], numbers: Mapping[str, Number], segments: Sequence[Segment]
) -> dict[str, Component]:
    """Return each layer that the clip's answer has members for, be they `null`."""
    vocals = Component(share_base="clip_duration", confidence_semantics="mean_window")
    instrumental = Component(share_base="eligible_windows", confidence_semantics="max_window")
    return {
        PATHS[path]: _measured(component, path, numbers, segments)
        for path, component in (("vocal", vocals), ("instrumental", instrumental))
        if any(name in MEASURES and name.startswith(f"{path}_ai_") for name in clip)
    }


def _measured(component: Component, path: str, numbers: Mapping[str, Number], segments: Sequence[Segment]) -> Component:
    """Return the component with its numbers, or with none where nothing was judged: 0 stands for that too."""
    share, confidence = numbers.get(f"{path}_ai_percentage"), numbers.get(f"{path}_ai_confidence")
    in_windows = any(name.startswith(f"{path}_ai_") for segment in segments for name in segment.scores)
    if not (share or confidence or in_windows):
        return Component(evaluated=False)
    return component.model_copy(update={"ai_share_pct": share, "confidence": confidence})


def _content(numbers: Mapping[str, Number]) -> Content | None:
    seconds, milliseconds = numbers.get("duration_s"), numbers.get("duration_ms")
    duration = milliseconds if seconds is None else seconds * 1000
    content = Content(
        vocal_pct=numbers.get("vocal_percentage"),
        instrumental_pct=numbers.get("instrumental_percentage"),
        silence_pct=numbers.get("silence_percentage"),
        duration_ms=None if duration is None else round(duration),
    )
    return None if content == Content() else content


def _other(clip: Mapping[str, Any]) -> dict[str, str]:
    return {key: name for key in _NAMED if (name := name_of(clip.get(key))) is not None}


def _decided(base: Reading, word: object, settings: ModulateSettings) -> Reading:
    if not isinstance(word, str):
        return _failed(base, ReasonCode.SCHEMA_MISMATCH, "the answer has no primary_verdict")
    known = folded(word)
    if known not in VERDICTS:
        unknown = base.model_copy(update={"verdict_raw": reason(word)})
        return _failed(unknown, ReasonCode.UNKNOWN_VERDICT, reason(f"primary_verdict is {word}"))
    verdict, kind = VERDICTS[known]
    found = {"status": RunStatus.SUCCEEDED, "verdict": verdict, "verdict_raw": word, "kind": kind}
    decided = base.model_copy(update={**found, "conflicts": _against_windows(known, base.segments)})
    if verdict is Verdict.NO_AI_DETECTED and (doubt := _doubt(base, settings)):
        changed = {"verdict": Verdict.INCONCLUSIVE, "verdict_derived": True}
        return decided.model_copy(update={**changed, "reason_code": ReasonCode.LOW_MUSIC_CONTENT, "reason_text": doubt})
    decided = decided.model_copy(update={"components": _judged(base.components, _BY_COMPONENT[known])})
    return _partial(decided) if settings.partial and kind is Kind.AI_VOCALS else decided


def _against_windows(word: str, segments: Sequence[Segment]) -> list[Conflict]:
    """Return a conflict if every decided window says the opposite of the clip. The clip's word stands."""
    verdict, kind = VERDICTS[word]
    layers = {Kind.AI_VOCALS: {"vocals"}, Kind.AI_INSTRUMENTAL: {"instrumental"}}.get(kind or Kind.AI_COVER)
    decided = {each.verdict for each in segments if layers is None or each.component in layers} - {None}
    opposite = Verdict.AI_GENERATED if verdict is Verdict.NO_AI_DETECTED else Verdict.NO_AI_DETECTED
    if decided != {opposite}:
        return []
    heard = "AI" if opposite is Verdict.AI_GENERATED else "no AI"
    return [Conflict(kind=ConflictKind.VENDOR_INTERNAL, detail=f"{word}, but every window decided hears {heard}")]


def _judged(components: Mapping[str, Component], verdicts: Mapping[str, Verdict]) -> dict[str, Component]:
    """Return what the verdict on the clip means for each layer that was judged."""
    return {
        name: component.model_copy(update={"verdict": verdicts.get(name) if component.evaluated else None})
        for name, component in components.items()
    }


def _partial(reading: Reading) -> Reading:
    """Return AI vocals alone, if the instruments were judged and not one of them was AI; else as it was."""
    heard = reading.components.get("instrumental", Component(evaluated=False))
    if not heard.evaluated or heard.ai_share_pct != 0:
        return reading
    human = heard.model_copy(update={"verdict": Verdict.NO_AI_DETECTED})
    components = {**reading.components, "instrumental": human}
    changed = {"verdict": Verdict.AI_PARTIAL, "verdict_derived": True, "components": components}
    return reading.model_copy(update=changed)


def _doubt(base: Reading, settings: ModulateSettings) -> str | None:
    """Return why there was too little music for "no AI" to mean anything, or `None`.

    Modulate has no word for that, and answers `not-ai-music` then too.
    """
    content = base.content or Content()
    if not settings.doubt_low_music:
        return None
    if content.duration_ms == 0:
        return "not-ai-music, but of no length"
    if not base.segments:
        return "not-ai-music, but no window was listened to"
    if content.silence_pct is not None and content.silence_pct > settings.silence_above_pct:
        return f"not-ai-music, but {content.silence_pct:g} % is silence"
    if content.vocal_pct is None or content.instrumental_pct is None:
        return None
    music = content.vocal_pct + content.instrumental_pct
    return f"not-ai-music, but only {music:g} % is music" if music < settings.music_below_pct else None


def _failed(base: Reading, code: ReasonCode, text: str) -> Reading:
    return base.model_copy(update={"status": RunStatus.FAILED, "reason_code": code, "reason_text": text})
