"""Whose stored callbacks are: by our address, by the vendor's job or certificate, or by the name of the audio.

Many callbacks are matched at once, by one statement for each kind of name. Nothing is locked.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select, text, update
from sqlmodel import Session

from service.callbacks.intake import TOPIC
from service.callbacks.models import Callback, ClaimedCallback
from service.callbacks.states import CALLBACK, CallbackInput
from service.detectors.catalogue import Catalogue, ConfiguredVendor
from service.detectors.extensions import AnnouncedCertificate, IssuesCertificates
from service.detectors.reading import Reading
from service.kit.db.columns import table_of
from service.kit.db.database import notify_on_commit
from service.kit.ids import is_id
from service.runs.filename_match import run_named_in
from service.runs.state.lifecycle import CallbackState, RunState
from service.runs.state.models import CERTIFICATE, RUN
from service.runs.state.rows import RunRow


@dataclass(frozen=True, slots=True)
class Match:
    """The run that a callback is about, if we know one, and its detector.

    `by_name`: only its unsigned body says so, so the vendor is always asked. `announced` is the certificate it
    speaks of; `certificate_known`: that one is on record.
    """

    run_id: str | None = None
    detector: str | None = None
    by_name: bool = False
    announced: AnnouncedCertificate | None = None
    certificate_known: bool = False


_CALLBACK = table_of(Callback)
_RUN = (RUN.c.id, RUN.c.mode, RUN.c.vendor, RUN.c.detector)
_BY_ID = select(*_RUN).where(RUN.c.id.in_(bindparam("ids", expanding=True)))
# Mode and vendor by themselves: SQLite reads the whole vendor where they stand beside an OR or a list of ids.
_BY_JOB = select(*_RUN, RUN.c.vendor_job_id).where(
    RUN.c.mode == bindparam("mode"),
    RUN.c.vendor == bindparam("vendor"),
    RUN.c.vendor_job_id.in_(bindparam("jobs", expanding=True)),
)
_CERTIFICATES = select(CERTIFICATE.c.certificate_id, CERTIFICATE.c.analysis_id, CERTIFICATE.c.run_id).where(
    CERTIFICATE.c.mode == bindparam("mode"),
    CERTIFICATE.c.vendor == bindparam("vendor"),
    or_(
        CERTIFICATE.c.certificate_id.in_(bindparam("names", expanding=True)),
        CERTIFICATE.c.analysis_id.in_(bindparam("analyses", expanding=True)),
    ),
)
_CERTIFICATES_OF = select(CERTIFICATE.c.run_id, CERTIFICATE.c.certificate_id).where(
    CERTIFICATE.c.detection_id.in_(bindparam("detections", expanding=True)),
    CERTIFICATE.c.run_id.in_(bindparam("runs", expanding=True)),
)
_WAKE_PARKED = (
    update(_CALLBACK)
    .where(_CALLBACK.c.mode == bindparam("the_mode"), _CALLBACK.c.vendor == bindparam("the_vendor"))
    .where(
        or_(
            _CALLBACK.c.subject.in_(bindparam("subjects", expanding=True)),
            _CALLBACK.c.run_id == bindparam("the_run"),
        )
    )
    .where(_CALLBACK.c.state.in_(CALLBACK.sources(CallbackInput.NAMED)))
    .values(
        state=CALLBACK.advance(CallbackState.PARKED, CallbackInput.NAMED).value,
        due_at=_CALLBACK.c.received_at,
        run_id=bindparam("the_run"),
    )
)
_KEYS = text(
    "SELECT count(pg_advisory_xact_lock(hashtextextended(key, 0)))"
    " FROM (SELECT unnest(CAST(:keys AS text[])) AS key) AS sorted"
)


def correlation_lock_key(mode: str, vendor: str, subject: str) -> str:
    """Return the key of the lock that a callback being parked and a run learning that name both take."""
    return f"callback:{mode}:{vendor}:{subject}"


def pass_keys(connection: Connection, keys: Iterable[str]) -> None:
    """Wait until no other transaction has one of these keys, and keep them. On SQLite writers are alone anyway."""
    wanted = sorted(set(keys))
    if wanted and connection.dialect.name == "postgresql":
        connection.execute(_KEYS, {"keys": wanted})


def correlate(session: Session, callbacks: Sequence[ClaimedCallback], catalogue: Catalogue) -> list[Match]:
    """Return the run that each of these callbacks is about, if we know one."""
    connection = session.connection()
    runs: dict[str, Any] = {}
    addressed = _addressed(connection, callbacks, runs)
    announced = [_announced(each, catalogue.configured(each.mode, each.vendor)) for each in callbacks]
    certified = _certified(connection, callbacks, announced)
    matches = []
    strangers: dict[int, str] = {}
    for place, (callback, ready) in enumerate(zip(callbacks, announced, strict=True)):
        run_id, known = certified.get(place, (None, False))
        found = addressed.get(place) or run_id
        if found is None and ready is None:
            configured = catalogue.configured(callback.mode, callback.vendor)
            name = _named(callback, configured) if configured is not None else None
            if name is not None:
                strangers[place] = name
        matches.append(Match(found, None, announced=ready, certificate_known=known))
    return _with_detectors(connection, callbacks, matches, strangers, runs)


def match_parked(session: Session, runs: Sequence[RunRow]) -> None:
    """Make due the callbacks that came before their run knew its job, or while it was between two steps."""
    connection = session.connection()
    names = names_of(connection, runs)
    pass_keys(connection, keys_of(runs, names))
    woken = 0
    for run in sorted(runs, key=lambda run: run.id):
        subjects = [*names[run.id], run.id, *([run.submitted_as_run_id] if run.submitted_as_run_id else [])]
        of_run = {"the_mode": run.mode, "the_vendor": run.vendor, "the_run": run.id, "subjects": subjects}
        woken += connection.execute(_WAKE_PARKED, of_run).rowcount
    if woken:
        notify_on_commit(session, TOPIC)


def names_of(connection: Connection, runs: Sequence[RunRow]) -> dict[str, list[str]]:
    """Return the vendor's names for each of these runs: its job, and its certificates, once it has answered."""
    answered = [run for run in runs if run.state == RunState.SUCCEEDED.value]
    names = {run.id: [run.vendor_job_id] if run.vendor_job_id else [] for run in runs}
    asked = {"detections": sorted({run.detection_id for run in answered}), "runs": sorted(run.id for run in answered)}
    for run_id, name in connection.execute(_CERTIFICATES_OF, asked) if answered else ():
        if name:
            names[run_id].append(name)
    return names


def keys_of(runs: Sequence[RunRow], names: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the keys of these names."""
    return [correlation_lock_key(run.mode, run.vendor, name) for run in runs for name in names[run.id]]


def _addressed(connection: Connection, callbacks: Sequence[ClaimedCallback], runs: dict[str, Any]) -> dict[int, str]:
    """Return the runs that callbacks name (by our id or the job), by callback index; add their rows to `runs`."""
    by_id = {}
    ours = sorted({each.subject for each in callbacks if is_id(each.subject, "run")})
    for row in connection.execute(_BY_ID, {"ids": ours}) if ours else ():
        by_id[row.mode, row.vendor, row.id] = row.id
        runs[row.id] = row
    unknown: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in callbacks:
        if (each.mode, each.vendor, each.subject) not in by_id:
            unknown[each.mode, each.vendor].add(each.subject)
    for (mode, vendor), jobs in sorted(unknown.items()):
        for found in connection.execute(_BY_JOB, {"mode": mode, "vendor": vendor, "jobs": sorted(jobs)}):
            by_id[mode, vendor, found.vendor_job_id] = found.id
            runs[found.id] = found
    keys = [(each.mode, each.vendor, each.subject) for each in callbacks]
    return {place: by_id[key] for place, key in enumerate(keys) if key in by_id}


def _certified(
    connection: Connection, callbacks: Sequence[ClaimedCallback], announced: Sequence[AnnouncedCertificate | None]
) -> dict[int, tuple[str, bool]]:
    """Return the run whose certificate is known by that name, or one that was asked for of the same analysis."""
    places: dict[tuple[str, str], dict[int, AnnouncedCertificate]] = defaultdict(dict)
    for place, (callback, ready) in enumerate(zip(callbacks, announced, strict=True)):
        if ready is not None:
            places[callback.mode, callback.vendor][place] = ready
    found: dict[int, tuple[str, bool]] = {}
    for (mode, vendor), wanted in sorted(places.items()):
        names = sorted({ready.certificate.certificate_id for ready in wanted.values()})
        analyses = sorted({ready.analysis_id for ready in wanted.values() if ready.analysis_id is not None})
        asked = {"mode": mode, "vendor": vendor, "names": names, "analyses": analyses}
        rows = connection.execute(_CERTIFICATES, asked).all()
        certified = ((place, _certified_run(ready, rows)) for place, ready in wanted.items())
        found |= {place: run for place, run in certified if run is not None}
    return found


def _certified_run(ready: AnnouncedCertificate, rows: Sequence[Any]) -> tuple[str, bool] | None:
    """Return the run of that certificate among these rows, and whether it is known by that name."""
    named = next((row.run_id for row in rows if row.certificate_id == ready.certificate.certificate_id), None)
    same = (row.run_id for row in rows if ready.analysis_id and row.analysis_id == ready.analysis_id)
    run_id = named or next(same, None)
    return None if run_id is None else (run_id, named is not None)


def _announced(callback: ClaimedCallback, configured: ConfiguredVendor | None) -> AnnouncedCertificate | None:
    if configured is None or not isinstance(configured.adapter, IssuesCertificates):
        return None
    try:
        body = json.loads(callback.body)
    except (ValueError, RecursionError):
        return None
    return configured.adapter.parse_announcement(body) if isinstance(body, dict) else None


def _named(callback: ClaimedCallback, configured: ConfiguredVendor) -> str | None:
    """Return the run whose audio the body names. Other products' jobs carry other names, and stay unknown."""
    parsed = configured.adapter.read(callback.raw, configured.adapter.detectors[0])
    return run_named_in(parsed.refs) if isinstance(parsed, Reading) else None


def _with_detectors(
    connection: Connection,
    callbacks: Sequence[ClaimedCallback],
    matches: Sequence[Match],
    strangers: dict[int, str],
    runs: dict[str, Any],
) -> list[Match]:
    wanted = sorted(({match.run_id for match in matches if match.run_id} | set(strangers.values())) - runs.keys())
    found = connection.execute(_BY_ID, {"ids": wanted}) if wanted else ()
    rows = runs | {row.id: row for row in found}
    complete = []
    for place, (callback, match) in enumerate(zip(callbacks, matches, strict=True)):
        by_name = place in strangers
        row = rows.get(strangers[place] if by_name else match.run_id or "")
        if row is None or (by_name and (row.mode, row.vendor) != (callback.mode, callback.vendor)):
            complete.append(Match(announced=match.announced, certificate_known=match.certificate_known))
        else:
            complete.append(
                Match(row.id, row.detector, by_name, match.announced, certificate_known=match.certificate_known)
            )
    return complete
