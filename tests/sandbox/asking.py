"""Both twins through one face, for what they have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from service.kit.clock import Clock
from service.kit.system_clock import system_clock
from tests.sandbox.serving import SETTINGS, Inbox, client_of, sandbox_at, until

ENDS = {"success", "failure", "completed", "failed"}


@dataclass(frozen=True)
class Asking:
    """A client of one twin, whose callbacks go to the inbox."""

    vendor: str
    client: httpx.Client
    inbox: Inbox
    inbox_url: str

    def submit(self, name: str) -> httpx.Response:
        """The twin's answer to the submission of a recording of this name."""
        if self.vendor == "asc":
            body = {"url": f"{self.inbox_url}/audio/{name}", "callback_url": f"{self.inbox_url}/callback"}
            return self.client.post("/asc/v1?action=analyze-url", json=body)
        music = self.client.post("/aippim/api/v1/music", files={"file": (name, b"some bytes")}).json()
        return self.client.post("/aippim/api/v1/ai-detection/lite", json={"musicId": music["musicId"]})

    def begin(self, name: str) -> str:
        """The id the twin gave it."""
        answer = self.submit(name)
        assert answer.is_success, answer.text
        job: str = answer.json()["job_id" if self.vendor == "asc" else "task_id"]
        return job

    def poll(self, job: str) -> httpx.Response:
        """The twin's answer to a poll."""
        if self.vendor == "asc":
            return self.client.get("/asc/api-v1", params={"action": "job", "id": job})
        return self.client.get(f"/aippim/api/v1/task/result/{job}")

    def result(self, job: str) -> dict[str, Any]:
        """What a poll says once it says the end."""
        until(lambda: self.poll(job).json()["status"] in ENDS)
        body: dict[str, Any] = self.poll(job).json()
        return body

    def prediction(self, body: dict[str, Any]) -> str:
        """The verdict in a body, in the vendor's words."""
        if self.vendor == "asc":
            return str(body["prediction"])
        (found,) = body["result"].values()
        return str(found["final_result"]["prediction"])

    @property
    def ends(self) -> list[dict[str, Any]]:
        """The bodies of the callbacks that claimed an end."""
        bodies = [taken.json for taken in self.inbox.taken]
        return [body for body in bodies if body.get("event") == "analysis.complete" or body.get("status") in ENDS]


@contextmanager
def asking(vendor: str, inbox: Inbox, inbox_url: str, clock: Clock = system_clock, **changes: Any) -> Iterator[Asking]:
    """A client of a twin of its own."""
    settings = replace(SETTINGS, callback_url=lambda _: f"{inbox_url}/callback", **changes)
    with sandbox_at(settings, clock) as base, client_of(base) as client:
        yield Asking(vendor, client, inbox, inbox_url)
