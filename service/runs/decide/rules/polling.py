"""What a poll brought: an end, or when the vendor is asked next."""

from datetime import datetime, timedelta

from service.detectors.answers import UNKNOWN_STATUS, unknown_status
from service.detectors.catalogue import VendorPolicy
from service.detectors.enums import ReasonCode
from service.detectors.port import Refused
from service.detectors.reading import Reading
from service.runs.decide.answers import observe
from service.runs.decide.late_answers import keep_late_look
from service.runs.decide.moves import held, is_ended
from service.runs.decide.rules.endings import expire_run
from service.runs.decide.workbench import Workbench
from service.runs.inputs import Polled, PollReleased
from service.runs.state.lifecycle import RunState
from service.runs.state.rows import RunRow
from service.runs.topics import TOPIC_POLLS

_UNCONFIGURED_WAIT = timedelta(seconds=60)


def polled(bench: Workbench, happened: Polled) -> str:
    """End the run by what the vendor said, or plan the next poll. Return a word for the log."""
    run = held(bench, happened.run_id, happened.lease_token, late=True)
    if run is None:
        if happened.answer is not None:
            keep_late_look(bench, happened.run_id, happened.answer)
        return "lease_lost"
    vendor = _vendor(bench, run)
    if is_ended(run):
        return _polled_late(bench, run, happened, vendor)
    if happened.answer is not None:
        observe(bench, run, happened.answer)
        if is_ended(run):
            return "answered"
        _note_trouble(run, happened.answer.parsed)
    if bench.now >= run.deadline_at:
        expire_run(bench, run)
        return "timed_out"
    run.due_at = min(_next_due(bench, run, happened, vendor), run.deadline_at)
    run.lease_token = None
    return "pending"


def poll_released(bench: Workbench, happened: PollReleased) -> str:
    """Make the run due now and without a lease, as if it had not been claimed."""
    run = held(bench, happened.run_id, happened.lease_token, late=True)
    if run is None:
        return "lease_lost"
    run.due_at, run.lease_token = bench.now, None
    run.polls -= not happened.confirms
    run.confirmations -= happened.confirms
    if happened.confirms:
        run.polled_at = None  # so that the next poll still confirms what the callback claimed
    bench.topics.add(TOPIC_POLLS)
    return "handed_back"


def _polled_late(bench: Workbench, run: RunRow, happened: Polled, vendor: VendorPolicy | None) -> str:
    """Return the one poll after the end: its answer revises the detection. Without one the run rests."""
    if happened.answer is not None:
        observe(bench, run, happened.answer)
    if run.state != RunState.TIMED_OUT.value:
        return "answered_late"
    run.due_at = None
    if vendor is not None and _called_meanwhile(run, happened):
        run.due_at = happened.polled_at + timedelta(seconds=vendor.confirm_spacing)
    run.lease_token = None
    return "still_no_answer"


def _note_trouble(run: RunRow, parsed: Reading | Refused) -> None:
    """Return the reason for the deadline, if nothing better comes: an unknown word, or the last refusal."""
    trouble, text = parsed.reason_code, parsed.reason_text
    if isinstance(parsed, Reading) and parsed.met_unknown_status:
        word = unknown_status(parsed.extras)
        trouble, text = ReasonCode.SCHEMA_MISMATCH, f"{UNKNOWN_STATUS} Its word: {word}"
    run.last_refusal = trouble.value if trouble is ReasonCode.SCHEMA_MISMATCH else None
    run.waiting_for = trouble.value if trouble else None
    run.reason_text = text if trouble else None


def _next_due(bench: Workbench, run: RunRow, happened: Polled, vendor: VendorPolicy | None) -> datetime:
    if vendor is None:
        return bench.now + _UNCONFIGURED_WAIT
    wait = vendor.next_wait(max(1, run.polls), bench.policy.random)
    if happened.answer is not None and isinstance(happened.answer.parsed, Refused):
        wait = max(wait, happened.answer.parsed.retry_after_seconds or 0)
    planned = bench.now + timedelta(seconds=wait)
    if _called_meanwhile(run, happened):
        return min(planned, happened.polled_at + timedelta(seconds=vendor.confirm_spacing))
    return planned


def _called_meanwhile(run: RunRow, happened: Polled) -> bool:
    """Return True if a callback claimed an end while the vendor was asked."""
    return run.confirmation_requested_at is not None and run.confirmation_requested_at > happened.polled_at


def _vendor(bench: Workbench, run: RunRow) -> VendorPolicy | None:
    configured = bench.policy.catalogue.configured(run.mode, run.vendor)
    return configured.policy if configured is not None else None
