"""A fact about to be written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.events.types import EventType


@dataclass(frozen=True, slots=True)
class Draft:
    """A fact about to be written. `final` marks the one last word on a revision.

    `not_to` is an endpoint that is not told: the fact is about it, and meant for the account's others. `only_to` is
    the one endpoint that is told, whatever its filters.
    """

    account_id: str
    mode: str
    type: EventType
    data: Mapping[str, Any]
    detection_id: str | None = None
    run_id: str | None = None
    revision: int | None = None
    final: bool = False
    not_to: str | None = None
    only_to: str | None = None
