"""Which detector is called next when they are called one after another, and when to stop. Pure.

The first that votes decides negatives alone; one that fails or abstains hands on; a positive needs a second
vendor. What the votes then add up to is `votes.combine` with the rule `cascade`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.detectors.enums import RunStatus, Verdict
from service.verdicts.votes import Part, Rule, cast, disagree, short_of_quorum


@dataclass(frozen=True, slots=True)
class StartNext:
    """This pending run is to be asked now. The same answer comes until the run has moved."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Wait:
    """A run under way may still change the result."""


@dataclass(frozen=True, slots=True)
class Stop:
    """No further run is asked: these pending ones are skipped as `fallback_not_needed`."""

    skip_run_ids: tuple[str, ...]


def next_step(parts: Sequence[Part], *, quorum: int = 1) -> StartNext | Wait | Stop:
    """Return what to do now, given the runs in the order asked for. `pending` is a run that was not asked yet.

    A run that was asked but is not yet at the vendor may be given as `running`, or be asked again: the same.
    A quorum above 1 holds for negatives too: then the next are asked until enough have voted.
    """
    pending = [part for part in parts if part.status is RunStatus.PENDING]
    running = any(part.status is RunStatus.RUNNING for part in parts)
    settled = _settled(parts, quorum)
    # Once settled, what is pending is let go at once; what is already at a vendor is waited for.
    if running and not (settled and pending):
        return Wait()
    useful = () if settled else _useful(parts, pending, quorum)
    return StartNext(useful[0].run_id) if useful else Stop(tuple(part.run_id for part in pending))


def _settled(parts: Sequence[Part], quorum: int) -> bool:
    """Return True if the votes at hand decide. Sides that contradict do: a split stays one."""
    votes = cast(parts)
    if not votes:
        return False
    return disagree(votes) or not short_of_quorum(votes, rule=Rule.CASCADE, quorum=quorum)


def _useful(parts: Sequence[Part], pending: Sequence[Part], quorum: int) -> Sequence[Part]:
    """Return the pending runs, in order, whose vote could change an unsettled verdict."""
    votes = cast(parts)
    answered = bool(votes) or any(part.verdict is Verdict.INCONCLUSIVE for part in parts)
    # Too few for the quorum even if all the rest voted: nothing to be had for the money.
    if answered and len(votes) + len(pending) < quorum:
        return ()
    if not votes:
        return pending
    vendors = {vote.vendor for vote in votes}
    unconfirmed = votes[0].positive and len(vendors) == 1
    return [part for part in pending if part.vendor not in vendors] if unconfirmed else pending
