"""Rows as plain values, for tests of what is decided without a database."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from service.runs.rows import DetectionRow
from tests.detections.scripted import NOW

DETECTION = DetectionRow(
    id="det_1",
    account_id="acc_1",
    mode="live",
    created_at=NOW,
    rule="consensus",
    quorum=1,
    status="queued",
    answer_by_at=NOW + timedelta(seconds=900),
    deadline_at=NOW + timedelta(seconds=3600),
    source_name="song.wav",
    source_state="ready",
    media_id="med_1",
)


def detection_row(**changes: Any) -> DetectionRow:
    """A new detection whose audio is there, but for these values."""
    return replace(DETECTION, **changes)
