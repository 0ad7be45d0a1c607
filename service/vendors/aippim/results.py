"""The `result` of a finished task, in all its documented shapes, as one reading.

Shapes: `{file: {final_result, model_results}}` (current), `{file: [model, …]}` (2025-12-08),
`{file: {model_0: …, model_0_config: …}}` (2025-12-04 and the quick start), and `{final_result, model_results}`
without a file name (pro-v2). What pro-v2's role model says is read in `roles`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from service.detectors.answers import folded, leftovers, meaning_of, number_of, object_of, reason, text_of, unused
from service.detectors.enums import Kind, ReasonCode, RunStatus, Verdict
from service.detectors.reading import Alternative, Attribution, Component, Conflict, Reading, Score
from service.vendors.aippim.disagreement import own_models_against, unheard
from service.vendors.aippim.ensemble import AI_COVER, Member, components_of, member, role_conflicts

VERDICTS: Final[Mapping[str, Verdict]] = {"fake": Verdict.AI_GENERATED, "real": Verdict.NO_AI_DETECTED}
"""`final_result.prediction` in our words. Any other word is `unknown_verdict`."""

SOURCES: Final[Mapping[str, tuple[str, str | None]]] = {
    "suno_v4": ("suno", "4"),
    "suno_v4_5": ("suno", "4.5"),
    "suno_v4_5_plus": ("suno", "4.5+"),
    "suno_v5": ("suno", "5"),
    # of pro-v2's model, which names no versions but one
    "acestep": ("acestep", None),
    "lyria-pro3": ("lyria", "pro3"),
    "mureka": ("mureka", None),
    "suno": ("suno", None),
    "udio": ("udio", None),
}
"""The generators that the source models name: family and version."""

_COVERED: Final = {"vocals": Component(verdict=Verdict.AI_GENERATED)}
_SOURCE_TASKS = frozenset({"detailed fake source classification", "fake model classification"})
_FINAL_KEYS = frozenset({"prediction", "confidence"})
_CURRENT_KEYS = frozenset({"final_result", "model_results"})
_MODEL_KEYS = frozenset({"overall_analysis", "segment_analysis"})


@dataclass(frozen=True, slots=True)
class _Shape:
    """A result with its shape taken off."""

    filename: str | None
    final: object
    members: list[Member]
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Decision:
    """A verdict, or why there is none."""

    verdict: Verdict | None
    raw: str | None = None
    derived: bool = False
    reason_code: ReasonCode | None = None
    reason_text: str | None = None


def read_result(result: object, base: Reading, *, doubt_real_on_ai_cover: bool) -> Reading:
    """Return `base` with all that the result of a successful task says. Never raise."""
    shape = _shape(result)
    if shape is None:
        text = "the task succeeded, but its result has none of the documented shapes"
        return base.model_copy(update=_failed(ReasonCode.SCHEMA_MISMATCH, text))
    decision = _decide(shape)
    conflicts, doubted = _conflicts(shape, decision.verdict)
    if doubted and doubt_real_on_ai_cover:
        decision = _Decision(Verdict.INCONCLUSIVE, decision.raw, derived=True)
    is_cover = _is_cover(shape.members, decision.verdict)
    score, extras = _score_and_extras(shape)
    filename = {} if shape.filename is None else {"filename": shape.filename}
    refs = base.refs.model_copy(update={"other": base.refs.other | filename})
    found = {
        "kind": Kind.AI_COVER if is_cover else None,
        "components": components_of(shape.members) | (_COVERED if is_cover else {}),
        "score": score,
        "attribution": _attribution(shape.members),
        "sub_models": [each.sub_model for each in shape.members],
        "refs": refs,
        "conflicts": conflicts,
        "extras": base.extras | extras,
    }
    return base.model_copy(update=found | _outcome(decision))


def _conflicts(shape: _Shape, verdict: Verdict | None) -> tuple[list[Conflict], bool]:
    """Return what in the result contradicts itself, and True if "no AI" is in doubt for that."""
    own = [conflict for each in shape.members for conflict in each.conflicts]
    against = own_models_against(shape.members, verdict, final=shape.final is not None)
    return [*own, *role_conflicts(shape.members, verdict), *against.conflicts], against.doubts_it


def _is_cover(members: Sequence[Member], verdict: Verdict | None) -> bool:
    covered = any(each.label == AI_COVER for each in members)
    return covered and verdict in (Verdict.AI_GENERATED, Verdict.INCONCLUSIVE)


def unheard_in(result: object) -> str | None:
    """Return what of the models cannot be looked at, so that a pass may stand against them; `None` if all can."""
    shape = _shape(result)
    if shape is None:
        return "result"
    strange = next((name for name in shape.extras if name.startswith("model_results")), None)
    return strange or unheard(shape.members)


def _outcome(decision: _Decision) -> dict[str, Any]:
    if decision.verdict is None:
        code = decision.reason_code or ReasonCode.SCHEMA_MISMATCH
        return {"verdict_raw": decision.raw, **_failed(code, decision.reason_text or "")}
    return {
        "status": RunStatus.SUCCEEDED,
        "verdict": decision.verdict,
        "verdict_raw": decision.raw,
        "verdict_derived": decision.derived,
    }


def _failed(code: ReasonCode, text: str) -> dict[str, Any]:
    return {"status": RunStatus.FAILED, "reason_code": code, "reason_text": reason(text)}


def _decide(shape: _Shape) -> _Decision:
    if shape.final is None:
        return _from_members(shape.members)
    word = object_of(shape.final).get("prediction")
    if not isinstance(word, str):
        text = "final_result has no prediction in words"
        return _Decision(None, reason_code=ReasonCode.SCHEMA_MISMATCH, reason_text=text)
    verdict = meaning_of(word, VERDICTS)
    if verdict is None:
        text = f"final_result.prediction is {word}"
        return _Decision(None, reason(word), reason_code=ReasonCode.UNKNOWN_VERDICT, reason_text=text)
    return _Decision(verdict, word)


def _from_members(members: Sequence[Member]) -> _Decision:
    """Decide by what all real-or-fake models agree on: the older shapes have no final result.

    One that is described as such and says nothing of the whole has not agreed, unless all its segments do.
    """
    votes = {each.label for each in members if each.sub_model.votes_in_final is not False and each.label is not None}
    if not votes & set(VERDICTS):
        text = "there is neither a final_result nor a real-or-fake model"
        return _Decision(None, reason_code=ReasonCode.SCHEMA_MISMATCH, reason_text=text)
    silent = any(each.sub_model.votes_in_final and not each.label and not _agrees(each, votes) for each in members)
    agreed = VERDICTS.get(votes.pop() or "") if len(votes) == 1 and not silent else None
    return _Decision(agreed or Verdict.INCONCLUSIVE, derived=True)


def _agrees(each: Member, votes: Collection[str]) -> bool:
    """Return True if a model that speaks of segments only says the same of all of them as the others of the whole."""
    return not each.wordless and {folded(word) for part in each.sub_model.segments for word in part.labels} == {*votes}


def _score_and_extras(shape: _Shape) -> tuple[Score | None, dict[str, Any]]:
    """Return the confidence in the predicted class: 0.94 with `real` means human, so it is never inverted."""
    final, extras = object_of(shape.final), dict(shape.extras)
    for each in shape.members:
        extras |= each.extras | _unshown(each)
    extras |= leftovers(final, _FINAL_KEYS, "final_result.")
    extras |= unused(final, ["prediction"], text_of, "final_result.")
    if shape.final is not None and not isinstance(shape.final, Mapping):
        extras["final_result"] = shape.final
    given = final.get("confidence")
    value = number_of(given, 0, 1)
    if value is None:
        return None, extras if given is None else extras | {"final_result.confidence": given}
    return Score(value=value, min=0, max=1, semantics="predicted_class_confidence", polarity="class"), extras


def _attribution(members: Sequence[Member]) -> Attribution | None:
    """Return the generator that the source model names; `other` is a label without a family, `real` names none."""
    found = next((each for each in members if each.label is not None and _names_sources(each)), None)
    if found is None or found.label in (None, "real"):
        return None
    family, version = SOURCES.get(found.label or "", (None, None))
    return Attribution(
        raw_label=text_of(found.sub_model.verdict_raw),
        family=family,
        version=version,
        score=number_of(found.sub_model.score),
        alternatives=[
            Alternative(raw_label=label, score=number_of(value)) for label, value in found.probabilities.items()
        ],
    )


def _unshown(each: Member) -> dict[str, Any]:
    """Return the numbers of a model that names no generator: they have no attribution to stand beside."""
    named = each.label not in (None, "real") and _names_sources(each)
    if named or not each.probabilities:
        return {}
    return {f"{each.sub_model.id}.overall_analysis.all_probs": dict(each.probabilities)}


def _names_sources(each: Member) -> bool:
    words = {*map(folded, each.sub_model.labels), each.label}
    return folded(each.sub_model.task or "") in _SOURCE_TASKS or not words.isdisjoint(SOURCES)


def _shape(result: object) -> _Shape | None:
    """Return the one entry of a documented shape; what stands beside it has no home. `None` if none or two have one."""
    found = object_of(result)
    flat = not _CURRENT_KEYS.isdisjoint(found)
    files = [name for name, content in found.items() if not (flat and name in _CURRENT_KEYS) and _is_shaped(content)]
    if flat:
        return None if files else _current(None, found)
    if not files and len(found) == 1:
        files = [*found]  # it may be empty, and then it says why there is no verdict
    if len(files) != 1:
        return None
    shape = _of_file(files[0], found[files[0]])
    return shape and replace(shape, extras=shape.extras | leftovers(found, files, "result."))


def _is_shaped(content: object) -> bool:
    """Return True if this is a result, by what is in it."""
    if isinstance(content, list):
        return any(not _MODEL_KEYS.isdisjoint(object_of(each)) for each in content)
    found = object_of(content)
    return not _CURRENT_KEYS.isdisjoint(found) or bool(_models_in(found))


def _of_file(filename: str, content: object) -> _Shape | None:
    if isinstance(content, list):
        return _listed(filename, content)
    found = object_of(content)
    return _named(filename, found) if _CURRENT_KEYS.isdisjoint(found) else _current(filename, found)


def _current(filename: str | None, content: Mapping[str, Any]) -> _Shape:
    results = content.get("model_results")
    listed = _listed(filename, results) if isinstance(results, list) else _Shape(filename, None, [])
    extras = leftovers(content, _CURRENT_KEYS) | listed.extras
    if results is not None and not isinstance(results, list):
        extras["model_results"] = results
    return _Shape(filename, content.get("final_result"), listed.members, extras)


def _listed(filename: str | None, entries: Sequence[object]) -> _Shape:
    members = [
        member(each, f"model_results[{index}]") for index, each in enumerate(entries) if isinstance(each, Mapping)
    ]
    strange = {f"model_results[{index}]": each for index, each in enumerate(entries) if not isinstance(each, Mapping)}
    return _Shape(filename, None, members, strange)


def _named(filename: str, content: Mapping[str, Any]) -> _Shape | None:
    """Return the shape of `{model_0: …, model_0_config: …}`, with or without the configurations."""
    models = _models_in(content)
    if not models:
        return None
    models |= {key: {} for key in _described_in(content) if content.get(key) in (None, {})}
    members = [member(each, key, object_of(content.get(f"{key}_config"))) for key, each in models.items()]
    known = set(models) | {f"{key}_config" for key in models}
    return _Shape(filename, None, members, leftovers(content, known))


def _described_in(content: Mapping[str, Any]) -> list[str]:
    """Return the models that have a configuration, with or without an answer."""
    return [key.removesuffix("_config") for key in content if key.endswith("_config") and object_of(content[key])]


def _models_in(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {
        key: value for key, value in content.items() if isinstance(value, Mapping) and not _MODEL_KEYS.isdisjoint(value)
    }
