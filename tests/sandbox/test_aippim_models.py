import re
from dataclasses import replace

import httpx
import pytest

from service.kit.clock import seconds
from service.sandbox.counters import PerMinute
from tests.sandbox.serving import SETTINGS, Hands, Inbox, client_of, sandbox_at, until
from tests.sandbox.test_aippim import Body, answer_of, submitted, uploaded

ROLES = {"composer", "vocalist", "engineer"}


def reports(client: httpx.Client, name: str) -> tuple[Body, dict[str, Body]]:
    """The result of `pro-v2`, and its models by id."""
    body = answer_of(client, submitted(client, name, "pro-v2")["task_id"])
    assert body["model_type"] == "pro-v2"
    result: Body = body["result"]
    return result, {one["config"]["model_id"]: one for one in result["model_results"]}


@pytest.mark.parametrize(
    ("word", "prediction", "played"), [("ai", "fake", ROLES), ("human", "real", set()), ("cover", "fake", {"vocalist"})]
)
def test_pro_v2_is_flat_and_judges_roles_each_by_itself(
    client: httpx.Client, word: str, prediction: str, played: set[str]
) -> None:
    result, models = reports(client, f"song.{word}.mp3")
    assert result.keys() == {"final_result", "model_results"}
    assert result["final_result"]["prediction"] == prediction
    assert list(models) == ["2label_stage1", "2label_stage2", "agent_classifier", "fake_model_classifier"]
    assert ["segment_analysis" in one for one in models.values()] == [True, False, True, False]
    roles = models["agent_classifier"]
    assert "num_classes" not in roles["config"]
    assert set(roles["overall_analysis"]["prediction"]) == (played or {"real"})
    for confidence in (roles["overall_analysis"]["confidence"], *roles["segment_analysis"]["confidence"]):
        assert {role for role in ROLES if confidence[role] > 0.5} == played
    assert all(isinstance(one, list) for one in roles["segment_analysis"]["prediction"])


@pytest.mark.parametrize(("word", "prediction"), [("ai", "suno"), ("human", "real")])
def test_pro_v2_names_the_generator_and_is_near_0_for_what_is_real(
    client: httpx.Client, word: str, prediction: str
) -> None:
    _, models = reports(client, f"song.{word}.mp3")
    overall = models["fake_model_classifier"]["overall_analysis"]
    assert overall["prediction"] == prediction
    assert overall["all_probs"].keys() == {"acestep", "lyria-pro3", "mureka", "suno", "udio"}
    assert (max(overall["all_probs"].values()) > 0.5) is (prediction == "suno")
    assert sum(overall["all_probs"].values()) <= 1
    assert 0 <= overall["confidence"] <= 1


def test_requests_over_the_limit_of_a_minute_are_refused_and_polls_are_not_counted() -> None:
    clock = Hands()
    with sandbox_at(replace(SETTINGS, aippim_per_minute=3), clock) as base, client_of(base) as client:
        task_id = submitted(client, "song.mp3")["task_id"]
        music_id = uploaded(client, "song.mp3")
        path = "/aippim/api/v1/ai-detection/lite"
        over = client.post(path, json={"musicId": music_id})
        assert (over.status_code, over.json()["error"]["code"]) == (429, "rate_limited")
        assert client.get(f"/aippim/api/v1/task/result/{task_id}").status_code == 200
        clock.move(60)
        assert client.post(path, json={"musicId": music_id}).status_code == 200


def test_a_minute_slides() -> None:
    now, minute = Hands().now, PerMinute(2)
    takes = [minute.allows(now + seconds(at)) for at in (0, 30, 59, 60, 61, 90)]
    assert takes == [True, True, False, True, False, True]
    assert all(PerMinute(0).allows(now) for _ in range(100))


def test_korean_times_are_nine_hours_on_and_do_not_say_so(inbox: Inbox, inbox_url: str) -> None:
    settings = replace(SETTINGS, aippim_korean_times=True, callback_url=lambda _: f"{inbox_url}/callback")
    with sandbox_at(settings) as base, client_of(base) as client:
        task_id = submitted(client, "song.ai.mp3")["task_id"]
        body = answer_of(client, task_id)
        until(lambda: len(inbox.with_status("success")) == 1)
    assert inbox.with_status("success")[0].json == body
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", body["completed_at"])
    with sandbox_at() as base, client_of(base) as client:
        at_utc = answer_of(client, task_id)["completed_at"]
    utc_hour, korean_hour = int(at_utc[11:13]), int(body["completed_at"][11:13])
    assert (korean_hour - utc_hour) % 24 == 9


@pytest.mark.parametrize("word", ["invalid", "no-audio"])
def test_what_cannot_be_decoded_fails(client: httpx.Client, word: str) -> None:
    assert answer_of(client, submitted(client, f"song.{word}.ai.mp3")["task_id"])["status"] == "failure"


@pytest.mark.parametrize("word", ["too-short", "too-long", "not-enough-music", "silent", "null-model", "instrumental"])
def test_words_for_what_the_pages_do_not_know_change_nothing(client: httpx.Client, word: str) -> None:
    body = answer_of(client, submitted(client, f"song.{word}.ai.mp3")["task_id"])
    (found,) = body["result"].values()
    assert found["final_result"]["prediction"] == "fake"
