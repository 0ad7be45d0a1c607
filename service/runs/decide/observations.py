"""What is written down of a run: looks at it, and tries to submit it.

A try is no look: it says nothing of the track, moves nothing, and stands in no result.
"""

from datetime import datetime

from service.detectors.port import Refused
from service.detectors.reading import Reading
from service.runs.decide.workbench import Workbench
from service.runs.inputs import SubmissionAttempt, VendorAnswer
from service.runs.state.rows import ObservationRow, RunRow
from service.runs.topics import topic_of


def note_answer(
    bench: Workbench, run: RunRow, answer: VendorAnswer, *, effect: str, next_at: datetime | None = None
) -> int:
    """Write the look down with its raw bytes; return its number. `next_at`: what it made due."""
    parsed, raw = answer.parsed, answer.raw
    row = ObservationRow(
        run_id=run.id,
        n=0,
        via=answer.via.value,
        at=raw.received_at,
        effect=effect,
        http_status=raw.status,
        callback_id=answer.callback_id,
        reading=parsed.model_dump_json(exclude_defaults=True) if isinstance(parsed, Reading) else None,
        refusal=parsed.reason_code.value if isinstance(parsed, Refused) else None,
        reason_text=parsed.reason_text if isinstance(parsed, Refused) else None,
        next_at=next_at,
    )
    return bench.observe(row, raw)


def note_attempt(
    bench: Workbench,
    run: RunRow,
    attempt: SubmissionAttempt,
    why: Reading | Refused | None = None,
    *,
    text: str = "",
    effect: str = "none",
    next_at: datetime | None = None,
) -> None:
    """Write the try down as the run's next row. `text` is a reason without a code; `next_at` when it leaves again."""
    raw, code = attempt.raw, why.reason_code if why else None
    row = ObservationRow(
        run_id=run.id,
        n=0,
        via=attempt.step.value,
        at=bench.now,
        effect=effect,
        http_status=raw.status if raw else None,
        refusal=code.value if code else None,
        reason_text=(why.reason_text if why else text) or None,
        outcome=attempt.outcome.value,
        reading=attempt.beside.model_dump_json(exclude_defaults=True) if attempt.beside else None,
        left_at=attempt.left_at,
        retry_after_seconds=why.retry_after_seconds if isinstance(why, Refused) else None,
        next_at=next_at,
    )
    bench.observe(row, raw)
    bench.topics.add(topic_of(run.detection_id))
