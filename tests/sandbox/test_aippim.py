import hashlib
import hmac
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.sandbox.serving import SETTINGS, Hands, Inbox, Taken, client_of, sandbox_at, until

Body = dict[str, Any]


def uploaded(client: httpx.Client, name: str) -> str:
    answer = client.post("/aippim/api/v1/music", files={"file": (name, b"some bytes")})
    assert answer.status_code == 200
    return str(answer.json()["musicId"])


def submitted(client: httpx.Client, name: str, tier: str = "standard") -> Body:
    answer = client.post(f"/aippim/api/v1/ai-detection/{tier}", json={"musicId": uploaded(client, name)})
    assert answer.status_code == 200
    body: Body = answer.json()
    return body


def polled(client: httpx.Client, task_id: str) -> Body:
    answer = client.get(f"/aippim/api/v1/task/result/{task_id}")
    assert answer.status_code == 200
    body: Body = answer.json()
    return body


def answer_of(client: httpx.Client, task_id: str) -> Body:
    until(lambda: polled(client, task_id)["status"] in {"success", "failure"})
    return polled(client, task_id)


def assert_signed(taken: Taken, task_id: str) -> None:
    timestamp = taken.headers["x-mippia-timestamp"]
    key = SETTINGS.webhook_secret("aippim").encode()
    expected = hmac.new(key, f"{timestamp}:{task_id}".encode(), hashlib.sha256).hexdigest()
    assert taken.headers["x-mippia-signature"] == expected
    assert abs(taken.at - int(timestamp)) < 5
    assert taken.headers["content-type"] == "application/json"


def test_upload_is_answered_with_id_title_and_time(client: httpx.Client) -> None:
    answer = client.post(
        "/aippim/api/v1/music",
        data={"note": "x" * 100},
        files={"file": ("Lied.ünï.ai.flac", b"x" * 300_000)},
    )
    body = answer.json()
    assert body.keys() == {"musicId", "title", "created_at"}
    assert body["title"] == "Lied.ünï.ai"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["created_at"])


def test_submission_is_answered_in_the_reference_shape(client: httpx.Client) -> None:
    body = submitted(client, "song.ai.wav", "pro")
    assert body == {
        "task_id": body["task_id"],
        "status": "pending",
        "filepath": f"uploads/{body['task_id']}.wav",
        "model": "pro",
        "created_at": body["created_at"],
    }
    digits = re.sub(r"\D", "", body["created_at"])
    assert re.fullmatch(rf"task_{digits}_[A-Za-z0-9_-]+", body["task_id"])


def test_task_passes_pending_and_processing_to_success_by_the_clock() -> None:
    clock = Hands()
    with sandbox_at(replace(SETTINGS, latency_seconds=60), clock) as base, client_of(base) as client:
        task_id = submitted(client, "song.ai.mp3")["task_id"]
        assert task_id.startswith("task_20261120235959_")
        assert polled(client, task_id) == {"task_id": task_id, "status": "pending"}
        clock.move(29)
        assert polled(client, task_id)["status"] == "pending"
        clock.move(1)
        assert polled(client, task_id) == {"task_id": task_id, "status": "processing"}
        clock.move(29)
        assert polled(client, task_id)["status"] == "processing"
        clock.move(1)
        assert polled(client, task_id)["status"] == "success"
        assert polled(client, task_id)["completed_at"] == "2026-11-21T00:00:59Z"


@pytest.mark.parametrize(
    ("word", "prediction"), [("ai", "fake"), ("human", "real"), ("cover", "fake"), ("none", "real")]
)
@pytest.mark.parametrize(("tier", "models"), [("lite", 1), ("standard", 4), ("pro", 7)])
def test_answer_follows_the_word(client: httpx.Client, word: str, prediction: str, tier: str, models: int) -> None:
    name = f"song.{word}.mp3"
    body = answer_of(client, submitted(client, name, tier)["task_id"])
    assert body.keys() == {"task_id", "status", "model_type", "completed_at", "result"}
    assert body["model_type"] == tier
    (found,) = body["result"].values()
    assert list(body["result"]) == [name]
    reports = found["model_results"]
    assert len(reports) == models
    binary = [one for one in reports if one["config"]["num_classes"] == 2]
    mean = sum(one["overall_analysis"]["confidence"] for one in binary) / len(binary)
    assert found["final_result"] == {"prediction": prediction, "confidence": pytest.approx(mean, abs=6e-5)}
    for one in reports:
        labels = one["config"]["labels"]
        assert len(labels) == one["config"]["num_classes"]
        assert one["overall_analysis"]["prediction"] in labels
        assert set(one.get("segment_analysis", {}).get("prediction", [])) <= set(labels)


def test_pro_calls_a_cover_a_cover_but_finally_fake(client: httpx.Client) -> None:
    body = answer_of(client, submitted(client, "song.cover.mp3", "pro")["task_id"])
    found = body["result"]["song.cover.mp3"]
    words = {
        one["overall_analysis"]["prediction"] for one in found["model_results"] if one["config"]["num_classes"] == 3
    }
    assert words == {"ai_cover"}
    assert found["final_result"]["prediction"] == "fake"


def test_processing_callback_then_the_polls_own_answer_both_signed(heard_client: httpx.Client, inbox: Inbox) -> None:
    task_id = submitted(heard_client, "song.ai.mp3")["task_id"]
    until(lambda: len(inbox.taken) == 2)
    (first,), (last,) = inbox.with_status("processing"), inbox.with_status("success")
    assert first.json == {
        "task_id": task_id,
        "status": "processing",
        "result": None,
        "model_type": "standard",
    }
    assert last.json == polled(heard_client, task_id)
    assert last.json["status"] == "success"
    for one in inbox.taken:
        assert_signed(one, task_id)


def test_failure_has_the_sibling_pages_shape(heard_client: httpx.Client, inbox: Inbox) -> None:
    task_id = submitted(heard_client, "song.fail.mp3")["task_id"]
    until(lambda: len(inbox.with_status("failure")) == 1)
    body = polled(heard_client, task_id)
    assert inbox.with_status("failure")[0].json == body
    assert body.keys() == {"task_id", "task_name", "status", "completed_at", "error"}


def test_lost_callback_leaves_only_the_poll(heard_client: httpx.Client, inbox: Inbox) -> None:
    lost = submitted(heard_client, "song.lost-callback.ai.mp3")["task_id"]
    heard = submitted(heard_client, "song.ai.mp3")["task_id"]
    assert answer_of(heard_client, lost)["status"] == "success"
    until(lambda: len(inbox.with_status("success")) == 1)  # the later one is through, the earlier had its chance
    assert {one.json["task_id"] for one in inbox.taken} == {heard}


def test_duplicate_callback_comes_twice_with_the_same_bytes(heard_client: httpx.Client, inbox: Inbox) -> None:
    submitted(heard_client, "song.duplicate-callback.mp3")
    until(lambda: len(inbox.with_status("success")) == 2)
    one, two = inbox.with_status("success")
    assert one.body == two.body
    assert one.headers["x-mippia-signature"] == two.headers["x-mippia-signature"]


def test_callback_is_tried_three_times(heard_client: httpx.Client, inbox: Inbox) -> None:
    inbox.statuses = {"success": [500, 503, 302]}
    submitted(heard_client, "song.ai.mp3")
    until(lambda: len(inbox.with_status("success")) == 3)
    submitted(heard_client, "song.fail.mp3")
    until(lambda: len(inbox.with_status("failure")) == 1)
    assert len(inbox.with_status("success")) == 3


def test_refused_callback_is_not_tried_again(heard_client: httpx.Client, inbox: Inbox) -> None:
    inbox.statuses = {"success": [404]}
    submitted(heard_client, "song.ai.mp3")
    until(lambda: len(inbox.with_status("success")) == 1)
    submitted(heard_client, "song.fail.mp3")
    until(lambda: len(inbox.with_status("failure")) == 1)
    assert len(inbox.with_status("success")) == 1


def test_no_registered_address_means_no_callback_and_a_poll_all_the_same(client: httpx.Client) -> None:
    assert SETTINGS.callback_url("aippim") is None
    assert answer_of(client, submitted(client, "song.ai.mp3")["task_id"])["status"] == "success"


def test_camel_case_callbacks_pass_the_documented_verifier(inbox: Inbox, inbox_url: str) -> None:
    settings = replace(SETTINGS, camel_case_ids=True, callback_url=lambda _: f"{inbox_url}/callback")
    with sandbox_at(settings) as base, client_of(base) as camel:
        body = submitted(camel, "song.ai.mp3", "lite")
        assert body.keys() == {"taskId"}
        until(lambda: len(inbox.taken) == 2)
        first, last = inbox.with_status("processing")[0].json, inbox.with_status("success")[0].json
    assert first["taskId"] == first["task_id"] == body["taskId"]
    assert (first["status"], first["completedAt"]) == ("processing", None)
    assert first["result"] == last["result"]
    assert (last["status"], last["title"], last["aiModelName"]) == ("success", "song.ai", "lite")
    for one in inbox.taken:
        assert_signed(one, body["taskId"])


def test_any_sandbox_with_the_same_secret_answers_for_another(client: httpx.Client) -> None:
    with sandbox_at(SETTINGS) as base, client_of(base) as other:
        music_id = uploaded(client, "song.ai.mp3")
        task_id = other.post("/aippim/api/v1/ai-detection/lite", json={"musicId": music_id}).json()["task_id"]
        assert answer_of(client, task_id) == answer_of(other, task_id)


def test_unknown_key_is_answered_with_404(sandbox_url: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": SETTINGS.api_key}):
        answer = httpx.post(f"{sandbox_url}/aippim/api/v1/music", headers=headers)
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, "API key does not exist")


@pytest.mark.parametrize(("name", "content"), [("song.opus", b"x"), ("song", b"x"), (".mp3", b"x"), ("song.mp3", b"")])
def test_wrong_format_or_empty_file_is_refused(client: httpx.Client, name: str, content: bytes) -> None:
    answer = client.post("/aippim/api/v1/music", files={"file": (name, content)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=b", b"nonsense"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\ncut',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="other"; filename="a.mp3"\r\n\r\nx\r\n--b--\r\n',
        ),
    ],
)
def test_body_without_a_whole_file_is_refused(client: httpx.Client, content_type: str, content: bytes) -> None:
    answer = client.post("/aippim/api/v1/music", headers={"Content-Type": content_type}, content=content)
    assert answer.status_code == 422


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"musicId": 7}', b"\xff", b"[" * 100_000])
def test_submission_without_a_music_id_is_refused(client: httpx.Client, body: bytes) -> None:
    assert client.post("/aippim/api/v1/ai-detection/lite", content=body).status_code == 422


def test_forged_ids_and_unknown_models_are_not_found(client: httpx.Client) -> None:
    music_id = uploaded(client, "song.mp3")
    task_id = submitted(client, "song.mp3")["task_id"]
    head, stamp, sealed = task_id.split("_", 2)
    forged = [f"{task_id}A", f"{head}_20200101000000_{sealed}", f"{head}_{stamp}_{music_id}", sealed, "task_x"]
    for one in forged:
        assert client.get(f"/aippim/api/v1/task/result/{one}").status_code == 404
    for tier, one in (("lite", f"{music_id}A"), ("lite", task_id), ("ultra", music_id)):
        answer = client.post(f"/aippim/api/v1/ai-detection/{tier}", json={"musicId": one})
        assert answer.status_code == 404
