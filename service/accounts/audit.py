"""Lines that say who did what, when. They outlive what they speak of."""

from datetime import datetime

from sqlmodel import Session

from service.accounts.api_keys import Caller
from service.accounts.models import Audit


def note(session: Session, caller: Caller, action: str, subject: str, now: datetime) -> None:
    """Record that the caller did this."""
    session.add(
        Audit(
            account_id=caller.account_id,
            mode=caller.mode,
            actor=caller.key_id,
            action=action,
            subject=subject,
            at=now,
        )
    )
