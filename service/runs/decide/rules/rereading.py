"""Stored answers mean something else to the adapters of today: the detection is revised, and no vendor is asked."""

from service.detectors.enums import Authenticity, RunStatus, Via
from service.detectors.reading import Reading
from service.runs.decide.conclusion import write_revision
from service.runs.decide.workbench import Workbench
from service.runs.inputs import ReadAgain, Reread
from service.runs.reporting.facts import REREAD
from service.runs.state.lifecycle import RunState, RunTransition, advance
from service.runs.state.rows import ObservationRow, RunRow
from service.verdicts.verdict import DetectionStatus

_TRANSITIONS = {
    RunStatus.SUCCEEDED: RunTransition.REREAD_SUCCEEDED,
    RunStatus.NOT_APPLICABLE: RunTransition.REREAD_NOT_APPLICABLE,
    RunStatus.FAILED: RunTransition.REREAD_FAILED,
}


def read_again(bench: Workbench, happened: ReadAgain) -> bool:
    """Put each new reading beside the old one, and let it decide. False where nothing may be revised any more."""
    detection = bench.detection(happened.detection_id)
    open_ = detection.completed_at is None or detection.status == DetectionStatus.CANCELLED.value
    if open_ or detection.erased_at is not None or not happened.answers:
        return False
    runs = bench.runs_of(detection)
    for run in runs:
        if run.id in happened.answers:
            _take(bench, run, happened.answers[run.id])
    write_revision(bench, detection, runs, reread=True)
    return True


def _take(bench: Workbench, run: RunRow, again: Reread) -> None:
    parsed = again.parsed
    seen = next(row for row in bench.seen_of(run.id) if row.n == again.seen_n)
    if run.observation_n is None:
        run.via, run.answered_at = seen.via, seen.at
        run.confirmed_by_fetch = seen.via == Via.CALLBACK.value
        run.authenticity = run.callback_authenticity if run.confirmed_by_fetch else Authenticity.TLS_FETCH.value
    status = parsed.status if isinstance(parsed, Reading) else RunStatus.FAILED
    run.state = advance(RunState(run.state), _TRANSITIONS[status]).value
    run.reason_code = parsed.reason_code.value if parsed.reason_code else None
    run.reason_text, run.retryable = parsed.reason_text, parsed.retryable
    row = ObservationRow(
        run_id=run.id,
        n=0,
        via=seen.via,
        at=bench.now,
        effect=REREAD,
        http_status=seen.http_status,
        reading=parsed.model_dump_json(exclude_defaults=True) if isinstance(parsed, Reading) else None,
        refusal=None if isinstance(parsed, Reading) else parsed.reason_code.value,
        body_sha256=seen.body_sha256,
        content_type=seen.content_type,
    )
    run.observation_n = bench.observe(row, None)
