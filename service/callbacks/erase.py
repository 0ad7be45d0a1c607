"""Taking out of stored callbacks what a vendor wrote. That one came, when, and how it was judged, stays."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session, col, update

from service.callbacks.models import Callback

ERASED: Mapping[str, Any] = {"body": b"", "headers_json": "{}", "note": None}
"""A callback without a word of the vendor's. Its body's hash stays, so that a repeat is known."""


def erase_callbacks_of(session: Session, run_ids: Sequence[str]) -> None:
    """Erase every callback that spoke of these runs. The caller holds their detection locked."""
    session.exec(update(Callback).where(col(Callback.run_id).in_(run_ids)).values(**ERASED))
