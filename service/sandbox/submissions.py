"""One submission to a twin: its id, which any process can read back, and how far it is.

Not here: what the twins say of it (`aippim_answers`, `asc_answers`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.kit.clock import seconds
from service.sandbox.records import Record, Records
from service.sandbox.script import Phase, Script


@dataclass(frozen=True)
class Submission:
    """What a vendor calls a task or a job."""

    id: str
    record: Record
    latency_seconds: float

    @property
    def script(self) -> Script:
        """The behaviour of the twin towards it."""
        return Script.of(self.record.name)

    @property
    def working_at(self) -> datetime:
        """When the work starts to be reported."""
        return self.record.at + seconds(self.script.working_after_seconds(self.latency_seconds))

    @property
    def done_at(self) -> datetime:
        """When the answer is there."""
        return self.record.at + seconds(self.script.done_after_seconds(self.latency_seconds))

    @property
    def called_back_at(self) -> datetime:
        """When the terminal callback is due."""
        return self.record.at + seconds(self.script.called_back_after_seconds(self.latency_seconds))

    def phase(self, now: datetime) -> Phase:
        """Return the stage of the work."""
        return self.script.phase((now - self.record.at).total_seconds(), self.latency_seconds)


class Submissions:
    """Gives out one vendor's ids, and knows its own again in any process.

    An id is `head(record)`, which holds as many underscores as there are `joints`, and then the sealed record.
    """

    def __init__(
        self,
        records: Records,
        latency_seconds: float,
        kind: str,
        head: Callable[[Record], str],
        joints: int,
    ) -> None:
        self._records = records
        self._latency_seconds = latency_seconds
        self._kind = kind
        self._head = head
        self._joints = joints

    def begin(
        self,
        name: str,
        now: datetime,
        *,
        tier: str = "",
        callback_url: str | None = None,
        trouble: str = "",
    ) -> Submission:
        """Return a submission that starts now; it will fail if `trouble` says why."""
        # As the record will keep it: the process that took it must not know the time better than the others.
        at = now - timedelta(microseconds=now.microsecond % 1000)
        record = Record(self._kind, name, at, tier, callback_url, trouble)
        return Submission(self._head(record) + self._records.seal(record), record, self._latency_seconds)

    def find(self, text: str) -> Submission | None:
        """Return the submission of this id; None if we never gave it out."""
        sealed = text.split("_", self._joints)[-1]
        record = self._records.open(sealed, self._kind)
        if record is None or text != self._head(record) + sealed:
            return None
        return Submission(text, record, self._latency_seconds)
