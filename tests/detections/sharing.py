"""Questions about one recording, and what is looked at when they share an answer."""

from typing import Any

from service.detections.changes import cancel
from service.detections.submit import submit
from service.retention.erase import erase_detection
from service.runs.load.lock import lock_detection
from service.runs.state.models import Run
from tests.detections.rows import World, add_media, question


def recording(here: World, **changes: Any) -> str:
    """The id of a recording that several questions are about."""
    with here.database.writing() as session:
        return add_media(session, **changes).id


def ask(here: World, media_id: str, *detectors: str, **asked: Any) -> str:
    """The id of a detection of this recording; `asc` is asked if nothing else is said."""
    wanted = question(detectors=detectors or ("asc",), media_id=media_id, **asked)
    with here.database.writing() as session:
        return submit(session, wanted, here.policy, here.clock()).id


def call_off(here: World, detection_id: str) -> None:
    with here.database.writing() as session:
        cancel(session, lock_detection(session, detection_id), here.policy, here.clock())


def erase(here: World, detection_id: str) -> None:
    with here.database.writing() as session:
        erase_detection(session, lock_detection(session, detection_id), here.clock())


def only(here: World, detection_id: str) -> Run:
    """The only run of this detection."""
    (run,) = here.runs(detection_id)
    return run


def part(here: World, detection_id: str) -> dict[str, Any]:
    """What the only detector contributed to the detection's last result."""
    found: dict[str, Any] = here.results(detection_id)[-1]["detectors"][0]
    return found


def outcome(here: World, detection_id: str) -> tuple[str, str | None, int]:
    """Status, verdict and revision."""
    detection = here.detection(detection_id)
    return detection.status, detection.verdict, detection.revision
