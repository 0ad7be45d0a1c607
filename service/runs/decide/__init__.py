"""Deciding: what follows from one input, given what was loaded. No session, no clock, no chance but what is handed in.

The same input twice changes nothing the second time. Each rule is a file named for what it decides.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from service.runs import inputs
from service.runs.decide.rules import callbacks, delay, endings, polling, rereading, rounds, sharing, source, submission
from service.runs.decide.workbench import Decision, Policy, Workbench
from service.runs.inputs import Input
from service.runs.load.snapshot import Snapshot

_RULES: Mapping[type[Any], Callable[[Workbench, Any], Any]] = {
    inputs.Asked: rounds.asked,
    inputs.SourceReady: source.source_ready,
    inputs.SourceFailed: source.source_failed,
    inputs.SourceReleased: source.source_released,
    inputs.Uploaded: submission.uploaded,
    inputs.Leaving: submission.leaving,
    inputs.OverBudget: submission.over_budget,
    inputs.NotTaken: endings.not_taken,
    inputs.VendorAccepted: submission.vendor_accepted,
    inputs.AnsweredAtOnce: submission.answered_at_once,
    inputs.Deferred: submission.deferred,
    inputs.OutcomeUnknown: submission.outcome_unknown,
    inputs.PartialAnswer: submission.partial_answer,
    inputs.Released: submission.released,
    inputs.CallbackReceived: callbacks.callback_received,
    inputs.Polled: polling.polled,
    inputs.PollReleased: polling.poll_released,
    inputs.GivenUp: endings.given_up,
    inputs.DeadlinePassed: endings.deadline_passed,
    inputs.DelayDue: delay.delay_due,
    inputs.LeaderEnded: sharing.leader_ended,
    inputs.Cancelled: endings.cancelled,
    inputs.AskedAgain: rounds.asked_again,
    inputs.ReadAgain: rereading.read_again,
}


def decide(snapshot: Snapshot, happened: Input, policy: Policy, now: datetime) -> Decision:
    """Return what follows from `happened`. The snapshot is left as it is.

    Raise `CallerError` where a customer's input cannot be, and `FactsNeededError` where more has to be loaded first.
    """
    bench = Workbench(snapshot, policy, now)
    return bench.decision(_RULES[type(happened)](bench, happened))
