"""Media as its owner sees it."""

from service.api.schemas.common import MediaId, Mode, Sha256, Shown, Time


class Media(Shown):
    """Audio that was taken in. The same bytes uploaded again are the same media."""

    id: MediaId
    mode: Mode
    sha256: Sha256
    bytes: int
    filename: str | None
    content_type: str
    """Judged by the bytes, not by what the upload claimed."""
    duration_ms: int | None
    """Null where the audio's header does not tell."""
    created_at: Time
