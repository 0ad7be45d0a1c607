"""The states of a delivery and of an endpoint, as tables. An input that is not in one raises, and nothing has changed.

`docs/states.md` is drawn from these tables.
"""

from enum import StrEnum

from service.kit.machine import Machine


class DeliveryState(StrEnum):
    """The states of a delivery. A new one is due, blocked or held."""

    DUE = "due"  # waits for its time, or is leased to a worker until then
    BLOCKED = "blocked"  # an older event of its detection is not through at its endpoint
    HELD = "held"  # its endpoint takes nothing now
    SUCCEEDED = "succeeded"
    EXHAUSTED = "exhausted"
    SKIPPED = "skipped"


class DeliveryInput(StrEnum):
    """The inputs of a delivery's machine."""

    TAKEN = "taken"
    FAILED = "failed"  # and another try is planned
    USED_UP = "used_up"  # the last try of the schedule failed
    GONE = "gone"  # the endpoint answered 410
    STOPPED = "stopped"  # the endpoint is disabled
    UNBLOCKED = "unblocked"  # no older one holds it up any more
    REQUEUED = "requeued"  # released, sent again or recovered, the first of its detection
    REQUEUED_BEHIND = "requeued_behind"  # the same, behind an older one
    PASSED_OVER = "passed_over"  # its endpoint's owner does not want it any more
    DROPPED = "dropped"  # the endpoint was deleted, or the detection erased


_REQUEUED = {
    DeliveryInput.REQUEUED: DeliveryState.DUE,
    DeliveryInput.REQUEUED_BEHIND: DeliveryState.BLOCKED,
}
_UNWANTED = {
    DeliveryInput.PASSED_OVER: DeliveryState.SKIPPED,
    DeliveryInput.DROPPED: DeliveryState.SKIPPED,
}

DELIVERY: Machine[DeliveryState, DeliveryInput] = Machine(
    "a delivery",
    {
        DeliveryState.DUE: {
            DeliveryInput.TAKEN: DeliveryState.SUCCEEDED,
            DeliveryInput.FAILED: DeliveryState.DUE,
            DeliveryInput.USED_UP: DeliveryState.EXHAUSTED,
            DeliveryInput.GONE: DeliveryState.HELD,
            DeliveryInput.STOPPED: DeliveryState.HELD,
            **_REQUEUED,  # one that waits for a retry, when its endpoint is recovered
            DeliveryInput.DROPPED: DeliveryState.SKIPPED,
        },
        DeliveryState.BLOCKED: {DeliveryInput.UNBLOCKED: DeliveryState.DUE, **_UNWANTED},
        DeliveryState.HELD: {**_REQUEUED, **_UNWANTED},
        DeliveryState.SUCCEEDED: {**_REQUEUED},
        DeliveryState.EXHAUSTED: {**_REQUEUED},
        DeliveryState.SKIPPED: {**_REQUEUED},
    },
)

UNFINISHED = DELIVERY.sources(DeliveryInput.DROPPED)
"""The states of a delivery that is still on its way."""

ENDED = tuple(state for state in DeliveryState if state not in UNFINISHED)


class EndpointState(StrEnum):
    """The states of an endpoint. One that was deleted is disabled, and its row says when."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class EndpointInput(StrEnum):
    """The inputs of an endpoint's machine."""

    DISABLED = "owner_disables"
    GONE = "gone"  # it answered 410
    FAILING = "failing"  # every attempt failed for too long
    ENABLED = "owner_enables"
    DELETED = "deleted"


_STOPPED = {
    EndpointInput.DISABLED: EndpointState.DISABLED,
    EndpointInput.DELETED: EndpointState.DISABLED,
}

ENDPOINT: Machine[EndpointState, EndpointInput] = Machine(
    "an endpoint",
    {
        EndpointState.ENABLED: {
            **_STOPPED,
            EndpointInput.GONE: EndpointState.DISABLED,
            EndpointInput.FAILING: EndpointState.DISABLED,
            EndpointInput.ENABLED: EndpointState.ENABLED,
        },
        EndpointState.DISABLED: {**_STOPPED, EndpointInput.ENABLED: EndpointState.ENABLED},
    },
)


class DisabledReason(StrEnum):
    """The reason why an endpoint is disabled. An earlier reason is kept."""

    BY_OWNER = "by_owner"
    GONE = "gone"
    FAILING = "failing"


REASONS = {
    EndpointInput.DISABLED: DisabledReason.BY_OWNER,
    EndpointInput.GONE: DisabledReason.GONE,
    EndpointInput.FAILING: DisabledReason.FAILING,
}
