"""The sandbox's settings. Where a vendor's documents are silent, the default is our guess and stands here."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SandboxSettings:
    """What the twins need to know. Twins with equal settings answer for one another."""

    secret: str = field(repr=False)
    """Signs the records that serve as ids."""
    api_key: str = field(repr=False)
    """The one key all twins accept: AIPPIM's and ASC's, the secret of Pex's client `sandbox`, Modulate's."""
    webhook_secret: Callable[[str], str] = field(repr=False)
    """What signs the callbacks of the twin of this name, where its vendor signs."""
    callback_url: Callable[[str], str | None]
    """The account's address as saved in the dashboard of the vendor of this name, read when a callback falls due."""
    latency_seconds: float = 2.0
    """From submission to answer."""
    camel_case_ids: bool = False
    """AIPPIM as on its quick-start page: `taskId`, and that page's callback body."""
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
    asc_daily_limit: int = 0
    """So many requests a UTC day, counted by each process for itself, then 429. At 0 ASC's Pro plan, 10,000, is told
    and nothing refused."""
    asc_concurrent: int = 0
    """So many requests at a time; ASC's Pro plan says 10, and not what more of them get: 429. At 0 none is counted."""
    asc_analysis_ids: bool = True
    """ASC's certificates want an `analysis_id` that no documented answer has. On: ended jobs and analyses have one."""
    asc_account_callbacks: bool = False
    """On: `analysis.complete` goes to the account's registered address as well. Whether it does is not documented."""
    aippim_per_minute: int = 0
    """So many submissions and uploads a minute (the pages: Free 10, Paid 100), then 429. At 0 none is counted."""
    aippim_korean_times: bool = False
    """On: `completed_at` is Korean time without a zone, as in a sample of AIPPIM's fingerprinting page."""
    pex_token_seconds: int = 7_200
    """A Pex token lives for 2 hours."""
    pex_bare_token: bool = False
    """On: the token answer has `access_token` and nothing else; more is not documented."""
    pex_min_seconds: float = 0
    """Shorter WAV files are `too_short`; other types are not read. Pex's page says 30 in one place and 10 in another;
    0, so that short samples do for a trial."""
    pex_max_seconds: float = 15 * 60
    """Longer WAV files are `too_long`."""
    pex_max_bytes: int = 100 * 1024 * 1024
    """Pex takes files up to 100 MB."""
    pex_capacity: int = 0
    """Detections Pex works on at a time before load has scaled it up; more get 429. At 0 none is refused."""
    modulate_new_windows: bool = True
    """Windows as released in August 2026 (`…_ai_probability`, null where nothing was heard). Off: as before."""
    modulate_guides_errors: bool = True
    """A bad key gets 401 and 4001, as in Modulate's guides. Off: 422, 403 and 4003, as in its first specification."""
    modulate_out_of_credits: bool = False
    """On: Modulate refuses all with 429 or 4029, `Insufficient credits.`"""
    modulate_vocal_threshold: float = 30
    """From which `vocal_ai_percentage` on the verdict is `ai-vocal-music`. Not documented."""
    modulate_instrumental_threshold: float = 50
    """From which `instrumental_ai_percentage` on it is `ai-instrumental` otherwise. Not documented."""
    modulate_last_window: bool = True
    """A stream's last, short window is sent. Modulate's sample leaves it out, and its text has it."""
    modulate_concurrent: int = 0
    """Requests and streams at a time; more are refused at once with 429 or 4029. At 0 none is counted."""
    modulate_max_bytes: int = 100 * 1024 * 1024
    """Modulate takes files up to 100 MB."""
