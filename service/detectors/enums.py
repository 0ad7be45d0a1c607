"""The closed word lists of a result. Customers must ignore words they do not know; we use no others."""

from enum import StrEnum


class Verdict(StrEnum):
    """What a detector, or all of them together, say of a track."""

    AI_GENERATED = "ai_generated"
    AI_PARTIAL = "ai_partial"
    NO_AI_DETECTED = "no_ai_detected"
    INCONCLUSIVE = "inconclusive"
    NOT_ANALYZED = "not_analyzed"


class RunStatus(StrEnum):
    """The progress of one detector's part, as a customer reads it."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    NOT_APPLICABLE = "not_applicable"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"


class ReasonCode(StrEnum):
    """Why a run has no verdict, or why its verdict is inconclusive."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    NOT_ENOUGH_MUSIC = "not_enough_music"
    NO_AUDIO = "no_audio"
    INVALID_FILE = "invalid_file"
    UNSUPPORTED_FORMAT = "unsupported_format"
    FILE_TOO_LARGE = "file_too_large"
    SOURCE_UNREACHABLE = "source_unreachable"
    BAD_REQUEST = "bad_request"
    AUTH_FAILED = "auth_failed"
    ACCESS_DENIED = "access_denied"
    QUOTA_EXCEEDED = "quota_exceeded"
    RATE_LIMITED = "rate_limited"
    BUDGET_EXCEEDED = "budget_exceeded"
    CIRCUIT_OPEN = "circuit_open"
    VENDOR_ERROR = "vendor_error"
    VENDOR_TIMEOUT = "vendor_timeout"
    NO_CALLBACK_NO_RESULT = "no_callback_no_result"
    UNVERIFIED_CALLBACK = "unverified_callback"
    SCHEMA_MISMATCH = "schema_mismatch"
    UNKNOWN_VERDICT = "unknown_verdict"
    LOW_MUSIC_CONTENT = "low_music_content"
    CANCELLED = "cancelled"
    FALLBACK_NOT_NEEDED = "fallback_not_needed"


class Kind(StrEnum):
    """Which sort of machine-made, where the detector says."""

    AI_COVER = "ai_cover"
    AI_VOCALS = "ai_vocals"
    AI_INSTRUMENTAL = "ai_instrumental"


class ConflictKind(StrEnum):
    """The ways in which answers contradict one another."""

    DECLARED_VS_DETECTED = "declared_vs_detected"
    DETECTOR_DISAGREEMENT = "detector_disagreement"
    SCOPE_DISAGREEMENT = "scope_disagreement"
    VENDOR_INTERNAL = "vendor_internal"


class Via(StrEnum):
    """By which way an answer came."""

    CALLBACK = "callback"
    POLL = "poll"
    SYNC = "sync"
    REUSE = "reuse"


class Authenticity(StrEnum):
    """The proofs that an answer is the vendor's own."""

    BODY_HMAC = "body_hmac"
    PARTIAL_HMAC = "partial_hmac"
    URL_TOKEN = "url_token"  # noqa: S105 - the name of a method, not a secret
    NONE = "none"
    TLS_FETCH = "tls_fetch"
