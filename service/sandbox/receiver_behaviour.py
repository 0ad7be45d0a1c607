"""The behaviours of a customer's receiver, by path: `/webhooks/<behaviour>`, some with a number behind it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.responses import RedirectResponse, Response

from service.sandbox.faults import DelayedResponse, Reset

_PATH: Final = re.compile(r"/webhooks/([a-z-]+)(?:/([0-9]{1,4}))?(?:/|$)")
_FOREVER_SECONDS: Final = 600.0
_REFUSING: Final = range(300, 600)
_ELSEWHERE: Final = "/webhooks/elsewhere"

# By the path's number (1 where it has none) and the tries before: the answer, or None where the webhook is taken.
_ANSWERS: Final[Mapping[str, Callable[[int, int], Response | None]]] = {
    "status": lambda status, _: Response(status_code=status) if status in _REFUSING else None,
    "gone": lambda _number, _: Response(status_code=410),
    "redirect": lambda _number, _: RedirectResponse(_ELSEWHERE, status_code=302),
    "throttled": lambda seconds, tries: None if tries else _throttled(seconds),
    "slow": lambda _seconds, _: None,
    "timeout": lambda _number, _: DelayedResponse(None, _FOREVER_SECONDS),
    "reset": lambda _number, _: Reset(),
    "fail-first": lambda count, tries: Response(status_code=500) if tries < count else None,
}

BEHAVIOURS: Final = frozenset(_ANSWERS)
"""Every behaviour a path may name. At any other path webhooks are taken."""


@dataclass(frozen=True)
class ReceiverBehaviour:
    """The way in which webhooks are answered at one path."""

    name: str
    number: int = 1

    @staticmethod
    def at(path: str) -> "ReceiverBehaviour | None":
        """Return the behaviour that the path names, if it names one."""
        found = _PATH.search(path)
        return ReceiverBehaviour(found[1], int(found[2] or 1)) if found and found[1] in BEHAVIOURS else None

    def refusal(self, tries: int) -> Response | None:
        """Return the answer to a webhook that was tried so often before; None if it is taken."""
        return _ANSWERS[self.name](self.number, tries)

    @property
    def pause_seconds(self) -> float:
        """The pause before the receiver answers that it has taken a webhook."""
        return self.number if self.name == "slow" else 0


def _throttled(seconds: int) -> Response:
    return Response(status_code=429, headers={"Retry-After": str(seconds)})
