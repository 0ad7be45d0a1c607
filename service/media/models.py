"""Tables of this room."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from service.kit.db.columns import UtcTime

MEDIA_KEPT = "erased_at IS NULL"


class Media(SQLModel, table=True):
    """One recording of one account. The same bytes again are the same media."""

    __tablename__ = "media"
    __table_args__ = (
        UniqueConstraint("account_id", "mode", "sha256", "name_key"),
        Index("ix_media_came", "account_id", "created_at", "bytes"),
        Index("ix_media_kept", "account_id", "bytes", postgresql_where=text(MEDIA_KEPT), sqlite_where=text(MEDIA_KEPT)),
    )

    id: str = Field(primary_key=True)
    account_id: str
    mode: str
    sha256: str
    name_key: str  # the name in test mode, where names carry sandbox words; empty in live mode
    bytes: int
    name: str
    format: str  # mp3 wav flac m4a aac ogg webm aiff
    content_type: str
    duration_ms: int | None = None
    created_at: datetime = Field(sa_type=UtcTime)
    delete_after: datetime | None = Field(default=None, sa_type=UtcTime, index=True)
    erased_at: datetime | None = Field(default=None, sa_type=UtcTime)


class MediaChunk(SQLModel, table=True):
    """256 KiB of a recording, where the store is `database:`."""

    __tablename__ = "media_chunk"

    media_id: str = Field(primary_key=True)
    n: int = Field(primary_key=True)
    data: bytes
