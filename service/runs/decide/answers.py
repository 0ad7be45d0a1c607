"""One look at a run, from a callback, a poll or an answer at once: written down, and acted on.

Late, doubled, racing and regressing answers are decided here, by the lifecycle's table, and nowhere else.
"""

from datetime import datetime

from service.detectors.enums import RunStatus
from service.detectors.port import Refused
from service.detectors.reading import Reading
from service.runs.decide.conclusion import conclude, conclude_late
from service.runs.decide.moves import accepts_late_answer, end_run, is_ended
from service.runs.decide.workbench import Workbench
from service.runs.inputs import SubmissionAttempt, VendorAnswer
from service.runs.reporting.facts import contradictions, stored_reading
from service.runs.state.lifecycle import RunTransition
from service.runs.state.rows import ObservationRow, RunRow
from service.runs.topics import topic_of
from service.verdicts.verdict import DetectionStatus


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


_TRANSITIONS = {
    RunStatus.SUCCEEDED: RunTransition.SUCCEEDED,
    RunStatus.NOT_APPLICABLE: RunTransition.NOT_APPLICABLE,
    RunStatus.FAILED: RunTransition.FAILED,
}


def observe(bench: Workbench, run: RunRow, answer: VendorAnswer) -> bool:
    """Act on what was seen: an answer ends the run, once; anything later is kept and moves nothing.

    The one exception: a run whose time ran out takes a late answer, and the detection is revised. Return True if the
    answer counted.
    """
    detection = bench.detection(run.detection_id)
    happening = transition_by(answer)
    had_ended = is_ended(run)
    counts = not had_ended or (isinstance(answer.parsed, Reading) and accepts_late_answer(detection, run))
    effect = "late" if happening and not counts else (happening or "none")
    n = note_answer(bench, run, answer, effect=effect)
    if happening is None or not counts:
        return False
    _take_answer(run, answer, n)
    end_run(bench, run, happening)
    if had_ended or DetectionStatus(detection.status).ended:
        conclude_late(bench, detection)
    else:
        conclude(bench, detection, [run])
    return True


def note_late(bench: Workbench, run: RunRow, answer: VendorAnswer) -> None:
    """Keep a callback that came after the end. One that contradicts what stands makes a revision that says so."""
    detection = bench.detection(run.detection_id)
    before = _conflicts(bench, run)
    note_answer(bench, run, answer, effect="late")
    stands = run.round == detection.round and detection.erased_at is None
    open_ = detection.status == DetectionStatus.CANCELLED.value or not DetectionStatus(detection.status).ended
    if stands and not open_ and _conflicts(bench, run) > before:
        conclude_late(bench, detection)


def _conflicts(bench: Workbench, run: RunRow) -> int:
    """Return how many other ends callbacks have claimed of an answered run."""
    if run.observation_n is None:
        return 0
    seen = bench.seen_of(run.id)
    deciding = next((row for row in seen if row.n == run.observation_n and row.reading is not None), None)
    if deciding is None or deciding.reading is None:
        return 0
    reading = stored_reading(deciding.reading)
    return sum(1 for _ in contradictions(reading, [row for row in seen if row.n != deciding.n and row.outcome is None]))


def transition_by(answer: VendorAnswer) -> RunTransition | None:
    """Return what such an answer does to a run; `None` where it ends nothing."""
    parsed = answer.parsed
    if isinstance(parsed, Refused):
        return None if parsed.retryable else RunTransition.FAILED
    return _TRANSITIONS.get(parsed.status)


def _take_answer(run: RunRow, answer: VendorAnswer, n: int) -> None:
    parsed = answer.parsed
    run.observation_n = n
    run.via = answer.via.value
    run.authenticity = answer.authenticity.value
    run.confirmed_by_fetch = answer.confirmed_by_fetch
    run.answered_at = answer.raw.received_at
    run.reason_code = parsed.reason_code.value if parsed.reason_code else None
    run.reason_text = parsed.reason_text
    run.retryable = parsed.retryable
