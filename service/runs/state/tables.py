"""The tables of this room as statements see them: Core tables, and their columns in the order of the rows."""

from dataclasses import fields
from typing import Any

from sqlalchemy import Column, Table

from service.billing.models import Entry
from service.kit.db.columns import table_of
from service.media.models import Media
from service.runs.state.models import Certificate, Detection, Observation, RawBody, Revision, Run
from service.runs.state.rows import DetectionRow, LedgerRow, MediaRow, ObservationRow, RunRow


def _columns(table: Table, row: Any) -> tuple[Column[Any], ...]:
    return tuple(table.c[field.name] for field in fields(row))


DETECTION, RUN, OBSERVATION, REVISION, RAW_BODY, CERTIFICATE, MEDIA, LEDGER = (
    table_of(model) for model in (Detection, Run, Observation, Revision, RawBody, Certificate, Media, Entry)
)
DETECTION_COLUMNS = _columns(DETECTION, DetectionRow)
RUN_COLUMNS = _columns(RUN, RunRow)
OBSERVATION_COLUMNS = _columns(OBSERVATION, ObservationRow)
MEDIA_COLUMNS = _columns(MEDIA, MediaRow)
LEDGER_COLUMNS = _columns(LEDGER, LedgerRow)
