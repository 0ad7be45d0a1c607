"""AIPPIM's pro-v2: a result without a file name, roles, and a model that names the generator.

The sample has the shape of the vendor's page of August 2026; its numbers are ours.
"""

import copy
from typing import Any

import pytest

from service.detectors.enums import ConflictKind, RunStatus, Verdict
from service.detectors.reading import Reading
from tests.vendors.aippim_answers import adapter, finished, model
from tests.vendors.contract import raw, sample

PRO_V2 = sample("aippim", "callback_completed_pro_v2")
ROLES = ["composer", "vocalist", "engineer"]


def read(body: object) -> Reading:
    found = adapter().read(raw(body), "aippim/pro-v2")
    assert isinstance(found, Reading)
    return found


def with_roles(prediction: object, final: str = "fake", confidence: object = None, **config: object) -> Reading:
    roles = {
        "overall_analysis": {"prediction": prediction, "confidence": confidence or dict.fromkeys(ROLES, 0.5)},
        "config": {"model_id": "agent_classifier", "labels": ROLES, **config},
    }
    return read(finished({"final_result": {"prediction": final}, "model_results": [roles]}))


def test_the_sample_reads_as_documented() -> None:
    found = read(PRO_V2)
    assert (found.status, found.verdict, found.verdict_raw) == (RunStatus.SUCCEEDED, Verdict.AI_GENERATED, "fake")
    assert (found.tier, found.engine.name, found.kind) == ("pro-v2", "pro-v2", None)
    assert found.refs.other == {}
    assert (found.conflicts, found.extras) == ([], {})
    assert [(each.id, each.votes_in_final, len(each.segments)) for each in found.sub_models] == [
        ("2label_stage1", True, 3),
        ("2label_stage2", True, 0),
        ("agent_classifier", False, 3),
        ("fake_model_classifier", False, 0),
    ]


def test_roles_become_layers_with_their_own_probability_of_being_ai() -> None:
    found = read(PRO_V2)
    assert {name: (each.verdict, each.confidence) for name, each in found.components.items()} == {
        "vocals": (Verdict.AI_GENERATED, 0.96),
        "composition": (Verdict.AI_GENERATED, 0.97),
        "engineering": (Verdict.AI_GENERATED, 0.95),
    }
    assert {each.confidence_semantics for each in found.components.values()} == {"ai_probability"}


def test_segments_of_the_role_model_keep_every_role_and_number() -> None:
    first, second, _ = read(PRO_V2).sub_models[2].segments
    assert (first.labels, first.scores) == (ROLES, dict.fromkeys(ROLES, 0.97))
    assert (second.labels, second.scores) == (["real"], {"composer": 0.02, "vocalist": 0.03, "engineer": 0.04})
    assert (second.source, second.start_ms) == ("agent_classifier", None)


def test_the_generator_is_named_with_every_scaled_probability() -> None:
    named = read(PRO_V2).attribution
    assert named is not None
    assert (named.raw_label, named.family, named.version, named.score) == ("suno", "suno", None, 0.98)
    assert {each.raw_label: each.score for each in named.alternatives} == {
        "acestep": 0.01, "lyria-pro3": 0.02, "mureka": 0.01, "suno": 0.98, "udio": 0.01,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("label", "family", "version"),
    [
        ("acestep", "acestep", None),
        ("lyria-pro3", "lyria", "pro3"),
        ("mureka", "mureka", None),
        ("suno", "suno", None),
        ("udio", "udio", None),
        ("brand-new", None, None),
    ],
)
def test_every_generator_has_its_family_and_an_unknown_one_none(
    label: str, family: str | None, version: str | None
) -> None:
    source = model(label, "Fake Model Classification", ["acestep", "suno"])
    named = read(finished({"final_result": {"prediction": "fake"}, "model_results": [source]})).attribution
    assert named is not None
    assert (named.raw_label, named.family, named.version) == (label, family, version)


def test_of_a_real_track_no_generator_is_named_and_the_numbers_are_kept() -> None:
    source = model("real", "Fake Model Classification", ["suno", "udio"])
    source["overall_analysis"]["all_probs"] = {"suno": 0.01, "udio": 0.0}
    found = read(finished({"final_result": {"prediction": "real"}, "model_results": [source]}))
    assert (found.verdict, found.attribution) == (Verdict.NO_AI_DETECTED, None)
    assert found.extras == {"model_x.overall_analysis.all_probs": {"suno": 0.01, "udio": 0.0}}


@pytest.mark.parametrize("final", ["fake", "real"])
def test_a_part_of_the_roles_turns_no_verdict_and_is_a_disagreement_on_scope(final: str) -> None:
    found = with_roles(["vocalist"], final)
    whole = Verdict.AI_GENERATED if final == "fake" else Verdict.NO_AI_DETECTED
    assert (found.verdict, found.verdict_derived, found.kind) == (whole, False, None)
    assert {name: each.verdict for name, each in found.components.items()} == {
        "vocals": Verdict.AI_GENERATED,
        "composition": Verdict.NO_AI_DETECTED,
        "engineering": Verdict.NO_AI_DETECTED,
    }
    assert [each.kind for each in found.conflicts] == [ConflictKind.SCOPE_DISAGREEMENT]


@pytest.mark.parametrize(("roles", "final"), [(ROLES, "real"), (["real"], "fake")])
def test_roles_that_contradict_the_final_result_are_reported_and_change_nothing(roles: list[str], final: str) -> None:
    found = with_roles(roles, final)
    assert found.verdict_raw == final
    assert [each.kind for each in found.conflicts] == [ConflictKind.VENDOR_INTERNAL]


@pytest.mark.parametrize(("roles", "final"), [(ROLES, "fake"), (["real"], "real")])
def test_roles_that_agree_are_no_conflict(roles: list[str], final: str) -> None:
    assert with_roles(roles, final).conflicts == []


@pytest.mark.parametrize("prediction", [None, [], "composer", ["drummer"], ["real", "composer"], [1], {"composer": 1}])
def test_roles_that_cannot_be_read_say_nothing_of_any_layer(prediction: object) -> None:
    found = with_roles(prediction)
    assert (found.components, found.conflicts) == ({}, [])
    assert found.sub_models[0].verdict_raw == prediction


@pytest.mark.parametrize("confidence", [0.9, {"composer": "high"}, {"composer": 7}])
def test_a_number_off_its_scale_is_no_confidence(confidence: object) -> None:
    found = with_roles(["composer"], confidence=confidence)
    assert {each.confidence for each in found.components.values()} == {None}


def test_a_role_model_that_has_segments_only_judges_no_layer() -> None:
    body: dict[str, Any] = copy.deepcopy(PRO_V2)
    del body["result"]["model_results"][2]["overall_analysis"]
    found = read(body)
    assert (found.components, found.verdict) == ({}, Verdict.AI_GENERATED)
