"""What speaks against a verdict in any vendor's answer."""

import json
from typing import Any

import pytest

from service.detectors.objections import bodies_of, layers_of, objection
from service.detectors.port import Raw
from tests.vendors.contract import NOW

BESIDE = {"message": "too busy"}


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ({"error": "e"}, "e"),
        ({"error": {"code": "c", "message": "m"}}, "c: m"),
        ({"error": "e", "message": "m"}, "e: m"),
        ({"error": 1}, "error: 1"),
        ({"error": True, **BESIDE}, "error: true: too busy"),
        ({"errors": ["a"], **BESIDE}, 'errors: ["a"]: too busy'),
        ({"Error_Message": "e"}, "e"),
        ({"errorCode": "E7"}, "E7"),
        ({"failureReason": "f"}, "f"),
        ({"success": False, **BESIDE}, "too busy (success: false)"),
        ({"ok": 0}, "ok: 0"),
        ({"isSuccess": " False"}, "isSuccess:  False"),
        ({"has_errors": True}, "has_errors: true"),
        ({"status": "failed", **BESIDE}, "too busy (status: failed)"),
        ({"state": "Timed-Out"}, "state: Timed-Out"),
        ({"event": "analysis.failed"}, "event: analysis.failed"),
        ({"status": "completed_with_errors"}, "status: completed_with_errors"),
        ({"type": "error"}, "type: error"),
        ({"statusCode": 503}, "statusCode: 503"),
        ({"status": " 500"}, "status:  500"),
        (
            {"error": {"code": None, "message": None, "at": ["model_2"]}},
            'error: {"code": null, "message": null, "at": ["model_2"]}',
        ),
        ({"errors": {"count": 2}}, 'errors: {"count": 2}'),
        ({"error": [{}, {"text": "t"}]}, 'error: [{}, {"text": "t"}]'),
        ({"error_code": "10"}, "10"),
        ({"error": "none of the models answered"}, "none of the models answered"),
        ({"error": "오류"}, "오류"),
        ({"status": "failed_without_errors"}, "status: failed_without_errors"),
        ({"status": "without_result_failed"}, "status: without_result_failed"),
        ({"status": "no errors but it failed"}, "status: no errors but it failed"),
    ],
)
def test_an_error_a_flag_and_a_failing_status_speak_against_it_at_any_layer(member: dict[str, Any], words: str) -> None:
    for body in (member, {"a": {"b": [{}, [member]]}}, {"verdict": "human", "result": member}):
        assert objection([{"fine": 1}, body]) == words


NOTHING: list[Any] = [
    *(None, False, 0, 0.0, "", " \n", [], {}),
    *({"code": None, "message": None}, {"count": 0, "list": []}, [None, {"text": ""}], {"code": "0", "text": "None"}),
    *("0", "none", "NULL", " None ", "no", "false", "n/a", "no error", "ok"),
    *(0.013, {"rate": 0.3}),
]


@pytest.mark.parametrize(
    "member",
    [
        *({"error": value} for value in NOTHING),
        *({"errors": []}, {"success": True}, {"success": None}, {"ok": "yes"}, {"ok": []}),
        *({"failed": 3}, {"failed": "0"}, {"status": "no_error"}, {"status": "completed"}, {"status": 200}),
        *({"status": "completed_without_errors"}, {"status": "Done, no errors."}, {"state": "without any failure"}),
        *({"status": "finished with 0 errors"}, {"status": "no_errors"}, {"error_code": "0"}, {"errors": {"count": 0}}),
        *({"status": 404.5}, {"status": True}, {"state": None}, {"type": "window"}, {"code": 5}),
        *({"terror": "x"}, {"error_rate": 0.3}, {"book": False}, {"statuses": "failed"}, {"message": "error"}),
    ],
)
def test_what_says_nothing_of_a_failure_does_not(member: dict[str, Any]) -> None:
    assert objection([member]) is None
    assert objection([{"a": [member]}]) is None


def test_what_a_vendor_only_measured_is_not_walked() -> None:
    features = {"error": 3, "status": "failed", "deep": [{"error": "e"}]}
    for body in ({"features": features}, {"result": {"features": features}}, {"features": [features]}):
        assert objection([body]) is not None
        assert objection([body], apart={"features"}) is None
        assert objection([{**body, "error": "e"}], apart={"features"}) == "e"


def test_a_streams_messages_are_each_a_body_and_layers_know_their_way() -> None:
    lines = b'{"a": {"b": [{"c": 1}]}}\nnot json\n[1]\n{"d": 2}'
    found = bodies_of(Raw(200, {}, lines, NOW))
    assert found == [{"a": {"b": [{"c": 1}]}}, {"d": 2}]
    assert [layer.path for layer in layers_of(found)] == [(), ("a",), ("a", "b"), ()]
    assert bodies_of(Raw(200, {}, json.dumps({"x": 1}, indent=2).encode(), NOW)) == [{"x": 1}]
