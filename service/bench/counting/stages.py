"""The stages of a detection's way, and which transactions belong to which.

A transaction belongs to the first stage that the calls on its stack name, from the outermost inwards. One that no line
here names is counted under the name of its outermost verb, so nothing is lost when code moves.
"""

import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

ATTEMPT_RECORDED = "attempt recorded"
_OURS, _KIT, _SELF = "service.", "service.kit.", "service.bench."
_DATABASE = "service.kit.db.database"

# In the order of the way. A key is a function, or a module for all of its functions.
STAGES: Mapping[str, str] = {
    "accounts.api_keys": "key checked",
    "media.ingest": "upload",
    "media.store._add_chunks": "upload",
    "api.v1.detections": "ask",
    "vendor_calls.admission.claim_submissions": "claim",
    "media.store._chunks": "prepared and leaving",
    "billing.budgets": "prepared and leaving",
    "runs.runner": "submission saved",
    "vendor_calls.admission.claim_polls": "polls claimed",
    "callbacks.addresses": "callback stored",
    "callbacks.intake": "callback stored",
    "callbacks.process.claim_callbacks": "callbacks claimed",
    "callbacks.process": "decided",
    "callbacks.settle": "decided",
    "webhooks.queue.claim": "delivery loaded",
    "webhooks.queue.claimed": "delivery loaded",
    "webhooks.queue.record": ATTEMPT_RECORDED,
}


def current_stage() -> str:
    """Return the stage of the transaction that this thread begins."""
    calls = list(_calls())
    for call in reversed(calls):
        if stage := STAGES.get(call) or STAGES.get(call.rpartition(".")[0]):
            return stage
    return calls[-1] if calls else "unknown"


def _calls() -> Iterator[str]:
    """Yield the product's functions on this thread's stack, the innermost first, without `service.`."""
    verb: Any = None
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the one way to see who calls
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_OURS) and not module.startswith((_KIT, _SELF)):
            yield f"{module.removeprefix(_OURS)}.{frame.f_code.co_name}"
        elif module == _DATABASE and "verb" in frame.f_locals:
            verb = frame.f_locals["verb"]
        frame = frame.f_back
    # What a verb only added to its session is written when it has returned: it is on no stack any more.
    module, name = str(getattr(verb, "__module__", "")), getattr(verb, "__name__", "")
    if module.startswith(_OURS) and not module.startswith(_KIT):
        yield f"{module.removeprefix(_OURS)}.{name}"
