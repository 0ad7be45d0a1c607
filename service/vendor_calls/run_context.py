"""What an adapter is told of a run: the audio, a link to it, the address to call back."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from service.detectors.catalogue import ConfiguredVendor, sandbox_name
from service.detectors.port import Needs, RunContext
from service.kit.telemetry.metrics import Histogram
from service.media.store import Store
from service.runs.state.rows import MediaRow, RunRow

VENDOR_REQUESTS = Histogram(
    "relay_vendor_request_seconds",
    "Requests to a vendor, until its whole answer came or none.",
    "vendor",
    "mode",
    "step",
)

_CALLBACK_GRACE = timedelta(hours=6)


class Links(Protocol):
    """Addresses of ours that a vendor may use, by mode."""

    def media(self, run_id: str, mode: str, name: str, expires_at: datetime) -> str:
        """Return the address of the run's audio, good until `expires_at`."""

    def callback(self, run_id: str, mode: str, vendor: str, expires_at: datetime) -> str:
        """Return the address for the vendor's callback of this run, good until `expires_at`."""


@dataclass(frozen=True, slots=True)
class RunContextBuilder:
    """Makes contexts. `words` are the sandbox words that names may carry in test mode."""

    store: Store
    links: Links
    words: frozenset[str]

    def build(
        self, run: RunRow, media: MediaRow, configured: ConfiguredVendor, source_url: str | None, source_name: str
    ) -> RunContext:
        """Everything the adapter may know of this run."""
        capabilities = configured.adapter.capabilities(run.detector)
        name = self._name(run, media, source_name)
        by_link = capabilities.needs is Needs.LINK
        may_link = by_link or capabilities.takes_link
        original = source_url if may_link and configured.policy.input == "original" else None
        linked = self.links.media(run.id, run.mode, name, run.deadline_at) if by_link and not original else None
        callback_url = (
            self.links.callback(run.id, run.mode, run.vendor, run.deadline_at + _CALLBACK_GRACE)
            if capabilities.callbacks == "run"
            else None
        )
        return RunContext(
            run_id=run.id,
            detector=run.detector,
            tier=run.tier,
            name=name,
            media_bytes=media.bytes,
            media_type=media.content_type,
            read_media=self._reader(media.id),
            media_url=original or linked,
            callback_url=callback_url,
            sandbox_name=name if run.mode == "test" else None,
            prepared_ref=run.prepared_ref,
            vendor_job_id=run.vendor_job_id,
        )

    @staticmethod
    def with_prepared(context: RunContext, ref: str) -> RunContext:
        """Return the same context, with the first step's reference."""
        return replace(context, prepared_ref=ref)

    def _name(self, run: RunRow, media: MediaRow, source_name: str) -> str:
        return sandbox_name(run.id, source_name, media.format, self.words if run.mode == "test" else ())

    def _reader(self, media_id: str) -> Callable[[], AsyncIterator[bytes]]:
        return lambda: self.store.read(media_id)
