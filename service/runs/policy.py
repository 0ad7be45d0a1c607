"""What the operator decides about detections, handed to the verbs of this room. Built once in `resources`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session

from service.billing.prices import Prices
from service.detectors.catalogue import Catalogue
from service.events.outbox import Outbox
from service.kit.backoff import Random
from service.runs.reporting.detector_stats import Measured, Measurements
from service.runs.state.rows import RunRow


@dataclass(frozen=True, slots=True)
class DetectionPolicy:
    """The room's surroundings.

    A stored answer about the same audio is taken over for the span of `reuse`, instead of asking again.
    `on_names_known` is called, in the transaction, for runs of which callbacks may have come too early.
    `callbacks_seen` counts, by run id, the authentic callbacks and how many of them were the same again. `measured` is
    what is known lately of a detector in a mode.
    """

    catalogue: Catalogue
    outbox: Outbox
    random: Random
    base_url: str = ""
    media_retention: timedelta = timedelta(hours=24)
    reuse: timedelta = timedelta(days=30)
    prices: Prices = field(default_factory=Prices)
    sandbox_words: frozenset[str] = frozenset()
    callbacks_seen: Callable[[Session, Sequence[str]], Mapping[str, tuple[int, int]]] = lambda _session, _runs: {}
    on_names_known: list[Callable[[Session, Sequence[RunRow]], None]] = field(default_factory=list)
    measured: Callable[[Session, str, str, datetime], Measured] = field(default_factory=Measurements)
