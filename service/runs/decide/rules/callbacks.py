"""What a callback makes of its run. A callback is a hint.

Under `confirm` it supplies no verdict: it only makes its run due for one poll, at most one in flight and ten seconds
apart. Under `payload`, the operator's choice, an authentic one decides.
"""

from datetime import datetime, timedelta

from service.detectors.catalogue import ConfiguredVendor
from service.detectors.port import Accepted
from service.detectors.reading import Reading
from service.runs.decide.answers import note_answer, note_late, observe
from service.runs.decide.moves import accepts_late_answer, is_ended, resolved
from service.runs.decide.rules.submission import adopt_job
from service.runs.decide.workbench import Workbench
from service.runs.inputs import CallbackEnd, CallbackReceived, VendorAnswer
from service.runs.state.lifecycle import CallbackState, RunState
from service.runs.state.rows import RunRow
from service.runs.topics import TOPIC_CERTIFICATES, TOPIC_POLLS

_MOST_ANNOUNCED = 5  # certificates of one run: a callback's word costs the vendor and us a look
_JOB_OF_ANOTHER = "names a job that another run has"


def callback_received(bench: Workbench, happened: CallbackReceived) -> CallbackEnd:
    """Let the callback have its effect; return the state that it is in now."""
    run = bench.run(resolved(bench, happened.run_id))
    detection = bench.detection(run.detection_id)
    configured = bench.policy.catalogue.configured(run.mode, run.vendor)
    if configured is None:
        return CallbackEnd(CallbackState.PARKED)
    if detection.erased_at is not None:
        return CallbackEnd(CallbackState.LATE, run.id, erase=True)
    bench.count_callback(run.id, happened.counts)
    counts = not is_ended(run) or accepts_late_answer(detection, run)
    if counts and run.vendor_job_id is None and (misfit := _adopt(bench, run, happened)) is not None:
        return misfit
    if _names_another_job(run, happened):
        return CallbackEnd(CallbackState.CONFLICT, run.id, note="names another job than the run's")
    if happened.announced is not None or happened.answer is None:
        return _announce_certificate(bench, run, happened)
    trusted = configured.policy.trust == "payload" and not happened.by_name
    return CallbackEnd(_take(bench, run, happened.answer, configured, counts=counts, trusted=trusted), run.id)


def _names_another_job(run: RunRow, happened: CallbackReceived) -> bool:
    return None not in (happened.job_id, run.vendor_job_id) and happened.job_id != run.vendor_job_id


def _adopt(bench: Workbench, run: RunRow, happened: CallbackReceived) -> CallbackEnd | None:
    """Let a run whose submission is of unknown outcome know its job; else return the state the callback is in."""
    timed_out = run.state == RunState.TIMED_OUT.value
    if happened.job_id is None or not (timed_out or run.state == RunState.UNKNOWN.value):
        # A submission under way: matched when that is recorded. After the end there is nothing to ask for.
        return None if timed_out else CallbackEnd(CallbackState.PARKED, run.id)
    if bench.snapshot.taken_jobs.get((run.mode, run.vendor, happened.job_id), run.id) != run.id:
        return CallbackEnd(CallbackState.CONFLICT, run.id, note=_JOB_OF_ANOTHER)
    if timed_out:
        run.vendor_job_id = happened.job_id
        bench.names_known.append(run.id)
    else:
        adopt_job(bench, run, Accepted(happened.job_id))
    return None


def _announce_certificate(bench: Workbench, run: RunRow, happened: CallbackReceived) -> CallbackEnd:
    """Announce an unknown certificate, for which the vendor is asked first; a known one has had its event."""
    if happened.certificate_known:
        return CallbackEnd(CallbackState.APPLIED, run.id)
    open_ones = bench.snapshot.announced.get(run.id, 0) + len(bench.announced)
    if run.state != RunState.SUCCEEDED.value or open_ones >= _MOST_ANNOUNCED or happened.announced is None:
        return CallbackEnd(CallbackState.LATE, run.id, note="speaks of a certificate that the run cannot have")
    bench.announced.append((run.id, happened.announced))
    bench.topics.add(TOPIC_CERTIFICATES)
    return CallbackEnd(CallbackState.APPLIED, run.id)


def _take(
    bench: Workbench, run: RunRow, answer: VendorAnswer, configured: ConfiguredVendor, *, counts: bool, trusted: bool
) -> CallbackState:
    ends = isinstance(answer.parsed, Reading) and answer.parsed.claims_an_end
    confirmable = run.vendor_job_id is not None or trusted
    if not counts or (is_ended(run) and not (ends and confirmable)):
        note_late(bench, run, answer)
        return CallbackState.LATE
    if trusted:
        observe(bench, run, answer)
        return CallbackState.APPLIED
    due_at = None
    if ends:
        run.callback_authenticity = answer.authenticity.value
        due_at = _request_confirmation(bench, run, configured)
        bench.topics.add(TOPIC_POLLS)
    note_answer(bench, run, answer, effect="confirm" if ends else "none", next_at=due_at)
    return CallbackState.APPLIED


def _request_confirmation(bench: Workbench, run: RunRow, configured: ConfiguredVendor) -> datetime | None:
    """Make the run due for one poll, and return when; if one is in flight, its record sees the wish."""
    now = bench.now
    run.confirmation_requested_at = now
    in_flight = run.lease_token is not None and run.due_at is not None and run.due_at > now
    if run.state not in (RunState.WAITING.value, RunState.TIMED_OUT.value) or in_flight:
        return None
    earliest = run.polled_at + timedelta(seconds=configured.policy.confirm_spacing) if run.polled_at else now
    wanted = max(now, earliest)
    if run.state == RunState.WAITING.value:  # a poll that is planned sooner serves as well
        wanted = min(wanted, run.deadline_at, run.due_at or wanted)
    run.due_at = wanted
    return wanted
