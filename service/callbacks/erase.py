"""Taking out of stored callbacks what a vendor wrote. That one came, when, and how it was judged, stays."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from service.callbacks.models import Callback


def erase_callback(callback: Callback) -> None:
    """The callback holds no word of the vendor's any more. Its body's hash stays, so that a repeat is known."""
    callback.body = b""
    callback.headers_json = "{}"
    callback.note = None


def erase_callbacks_of(session: Session, run_ids: Sequence[str]) -> None:
    """So it is with every callback that spoke of these runs. The caller holds their detection locked."""
    for callback in session.exec(select(Callback).where(col(Callback.run_id).in_(run_ids))):
        erase_callback(callback)
