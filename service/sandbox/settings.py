"""The sandbox's knobs. Where a vendor's documents are silent, the default is our guess and stands here."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SandboxSettings:
    """What the twins need to know. Twins with equal settings answer for one another."""

    secret: str = field(repr=False)
    """Signs the records that serve as ids."""
    api_key: str = field(repr=False)
    """The one key both twins accept."""
    aippim_webhook_secret: str = field(repr=False)
    """Signs AIPPIM's callbacks."""
    aippim_callback_url: Callable[[], str | None]
    """The account's callback address as saved in the vendor's dashboard, read when a callback falls due."""
    latency_seconds: float = 2.0
    """From submission to answer."""
    camel_case_ids: bool = False
    """AIPPIM in the manner of its quick-start page: `taskId`, and that page's callback body."""
    asc_failure_callback: bool = False
    """ASC documents no failure event. On: an `analysis.failed` of our own making is sent."""
    retry_seconds: float = 1.0
    """Pause between two tries of one AIPPIM callback."""
    fetch_timeout_seconds: float = 20.0
    """How long ASC spends on downloading a URL."""
    silence_seconds: float = 70.0
    """How long an answer that is held back takes: longer than clients usually wait."""
    asc_max_bytes: int = 50 * 1024 * 1024
    """ASC's Pro plan takes files up to 50 MB."""
