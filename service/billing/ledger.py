"""The ledger: one row for each submission that was taken, or may have been. Reused and followed answers have none.

The row is written before the request leaves, in the transaction that puts its leaving on record. If it turns out that
nothing was taken, the row goes; if that cannot be known, it stays and says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, func, select

from service.billing.models import Entry
from service.billing.prices import Basis, Charge, Price


@dataclass(frozen=True, slots=True)
class Spender:
    """The account that pays for a submission, and the run that it is for."""

    account_id: str
    mode: str
    detection_id: str
    run_id: str
    detector: str


def open_charge(session: Session, spender: Spender, price: Price, now: datetime, *, duplicate: bool = False) -> int:
    """Record the submission that is about to leave as perhaps taken. Return the row's id, for `settle_charge`."""
    row = Entry(
        account_id=spender.account_id,
        mode=spender.mode,
        detection_id=spender.detection_id,
        run_id=spender.run_id,
        detector=spender.detector,
        at=now,
        amount_micros=price.amount_micros,
        currency=price.currency,
        basis=price.basis.value,
        kind="possible_duplicate" if duplicate else "charge",
    )
    session.add(row)
    session.flush()
    if row.id is None:
        raise RuntimeError("the ledger gave its row no number")
    return row.id


def settle_charge(session: Session, charge_id: int, *, taken: bool | None) -> None:
    """Record that the vendor took that submission, or delete the row if it did not. `None` changes nothing."""
    row = session.get(Entry, charge_id)
    if row is None or taken is None:
        return
    if taken:
        row.billed = True
    else:
        session.delete(row)
        session.flush()


def settle_latest(session: Session, run_ids: Sequence[str]) -> None:
    """Mark the last of a run's submissions as taken: the vendor turned out to have the run.

    It has several ids where it goes on with the work of another run, whose submissions they were.
    """
    latest = select(Entry).where(col(Entry.run_id).in_(run_ids)).order_by(col(Entry.id).desc()).limit(1)
    if (row := session.exec(latest).first()) is not None:
        row.billed = True


def charges_of(session: Session, run_ids: Sequence[str]) -> dict[str, list[Charge]]:
    """Return what each run's submissions cost, oldest first. A run without submissions has an empty list."""
    found: dict[str, list[Charge]] = {run_id: [] for run_id in run_ids}
    rows = session.exec(select(Entry).where(col(Entry.run_id).in_(found)).order_by(col(Entry.id)))
    for row in rows:
        duplicate = row.kind == "possible_duplicate"
        found[row.run_id].append(Charge(row.amount_micros, row.currency, Basis(row.basis), row.billed, duplicate))
    return found


def spent(session: Session, account_id: str, mode: str, currency: str, since: datetime, until: datetime) -> int:
    """Return the millionths of `currency` that were, or may have been, charged from `since` to before `until`."""
    ours = (Entry.account_id == account_id, Entry.mode == mode, Entry.currency == currency)
    span = (Entry.at >= since, Entry.at < until)
    return int(session.exec(select(func.sum(Entry.amount_micros)).where(*ours, *span)).one() or 0)
