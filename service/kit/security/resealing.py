"""Sealing again with the newest secret key what an older one sealed. Which columns are sealed, the rooms say.

Rows change a slice at a time, in the order of their keys; a slice is one transaction. What is sealed with the newest
key already is left as it is, so all of it may be repeated.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, SQLModel
from sqlmodel import select as select_rows

from service.kit.db.columns import table_of
from service.kit.security.sealing import HEADER_BYTES, SealBroken, Sealer, key_id_of


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column whose values are sealed: for which purpose, and bound to what of their row."""

    model: type[SQLModel]
    key: str
    column: str
    purpose: str
    owner: Callable[[Any], str]

    @property
    def name(self) -> str:
        """Return table and column."""
        return f"{self.model.__tablename__}.{self.column}"


@dataclass(frozen=True, slots=True)
class Slice:
    """What became of some rows. `last` is the key to go on after; `None` once there are no more."""

    resealed: int
    fresh: int
    broken: int
    last: Any


def reseal(session: Session, sealed: Sealed, sealer: Sealer, after: Any, limit: int) -> Slice:
    """Seal the next `limit` rows after the key `after` (`None`: from the start) with the newest key.

    Values that no key opens are left as they are, and counted as broken.
    """
    table = table_of(sealed.model)
    key = table.c[sealed.key]
    wanted = select_rows(sealed.model).where(table.c[sealed.column].is_not(None)).order_by(key).limit(limit)
    if after is not None:
        wanted = wanted.where(key > after)
    rows = session.exec(wanted.with_for_update()).all()
    outcomes = Counter(_renewed(row, sealed, sealer) for row in rows)
    last = getattr(rows[-1], sealed.key) if len(rows) == limit else None
    return Slice(outcomes["resealed"], outcomes["fresh"], outcomes["broken"], last)


def census(session: Session, sealed: Sealed) -> dict[str, int]:
    """Count the values that each secret key has sealed, by the key's id."""
    table = table_of(sealed.model)
    header = func.substr(table.c[sealed.column], 1, HEADER_BYTES)
    counted = select(header, func.count()).where(table.c[sealed.column].is_not(None)).group_by(header)
    return {key_id_of(bytes(found)): count for found, count in session.connection().execute(counted)}


def _renewed(row: SQLModel, sealed: Sealed, sealer: Sealer) -> str:
    before, owner = getattr(row, sealed.column), sealed.owner(row)
    if key_id_of(before) == sealer.key_ids[0]:
        return "fresh"
    try:
        inside = sealer.open(sealed.purpose, owner, before)
    except SealBroken:
        return "broken"
    setattr(row, sealed.column, sealer.seal(sealed.purpose, owner, inside))
    return "resealed"
