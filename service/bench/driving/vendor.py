"""The one detector that every measurement asks, so that they can be compared, and its vendor's callbacks."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from service.sandbox.aippim.answers import signed_headers, submissions, terminal
from service.sandbox.records import Records

DETECTOR = "aippim/standard"
VENDOR, _, _TIER = DETECTOR.partition("/")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the vendor's twin shares with the product, and what seals the twin's own ids."""

    api_key: str
    webhook_secret: str
    twin: str


class Submitted:
    """Submissions that the twin knows, though no client made them."""

    def __init__(self, secrets: Secrets) -> None:
        self._submissions = submissions(Records(secrets.twin), 0.0)

    def begin(self, name: str) -> tuple[str, bytes]:
        """Return the id of a new submission of a recording of this name, and the body of the callback that ends it."""
        submission = self._submissions.begin(name, datetime.now(UTC), tier=_TIER)
        return submission.id, json.dumps(terminal(submission)).encode()

    def id_among(self, texts: Iterable[str]) -> str | None:
        """Return the first of these texts that the twin gave out as a submission's id."""
        return next((text for text in texts if self._submissions.find(text)), None)


def signed(secret: str, job_id: str) -> Mapping[str, str]:
    """Return the headers of a callback about this job, as the vendor sends it now."""
    return {**signed_headers(secret, job_id, datetime.now(UTC)), "Content-Type": "application/json"}
