"""Media as its owner sees it."""

from service.api.schemas.common import MediaId, Mode, Sha256, Shown, Time


class Media(Shown):
    """Uploaded or fetched audio. The same bytes uploaded again are the same media."""

    id: MediaId
    mode: Mode
    sha256: Sha256
    bytes: int
    filename: str | None
    content_type: str
    """Determined from the bytes, not from what the upload claimed."""
    duration_ms: int | None
    """Null if the audio's header does not contain it."""
    created_at: Time
