"""`relay renormalise`: stored answers are read again with the adapters of today, and what changed by it is revised."""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from service.cli.options import JsonFlag
from service.cli.preflight import ready_to_serve
from service.kit.clock import seconds
from service.kit.ids import is_id
from service.kit.system_clock import system_clock
from service.kit.telemetry.logs import set_up_logs
from service.reprocess.renormalise import AnswerFilter, Tally, renormalise
from service.resources import open_resources
from service.settings import Settings, load_settings
from service.vendors import VENDORS

_INTERRUPTED = 130
_DAY = 24 * 3600


@dataclass(slots=True)
class _Course:
    """The progress at the last report."""

    tally: Tally = field(default_factory=Tally)

    def report(self, tally: Tally) -> None:
        self.tally = tally
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{tally.detections} looked at, {len(tally.changes)} changed")
            sys.stderr.flush()


def command(
    detector: Annotated[str | None, typer.Option(help="Only answers of this detector, or of this vendor.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="Only detections created since, in UTC.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    ] = None,
    after: Annotated[str | None, typer.Option(help="Continue after this detection, det_….")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")] = False,
    as_json: JsonFlag = False,
) -> int:
    """Read every chosen detection again. Return 1 if one failed, 130 if interrupted; it can then continue.

    Safe beside running processes, and to repeat. Raise `BadParameter` for an unknown vendor or a malformed id.
    """
    settings = load_settings()
    set_up_logs(settings.log_format)
    wanted = _filter(settings, detector, since, after)
    ready_to_serve(settings, listens=False)
    course = _Course()
    try:
        course.tally = asyncio.run(_renormalised(settings, wanted, course, dry_run=dry_run))
    except KeyboardInterrupt:
        sys.stderr.write(f"\ninterrupted; go on with --after {course.tally.last}\n" if course.tally.last else "\n")
        return _INTERRUPTED
    shown = _as_json(course.tally, dry_run=dry_run)
    sys.stdout.write(json.dumps(shown) + "\n" if as_json else _summary(course.tally, dry_run=dry_run))
    return 1 if course.tally.broken else 0


async def _renormalised(settings: Settings, wanted: AnswerFilter, course: _Course, *, dry_run: bool) -> Tally:
    async with open_resources(settings) as opened:
        return await renormalise(
            opened.database, opened.policy, wanted, opened.clock, dry_run=dry_run, tell=course.report
        )


def _filter(settings: Settings, detector: str | None, since: datetime | None, after: str | None) -> AnswerFilter:
    vendor = detector.partition("/")[0] if detector is not None else None
    if vendor is not None and vendor not in VENDORS:
        known = ", ".join(VENDORS)
        raise typer.BadParameter(f"none of ours; vendors are {known}", param_hint="--detector")
    if after is not None and not is_id(after, "det"):
        raise typer.BadParameter("must be a detection's id, det_…", param_hint="--after")
    return AnswerFilter(
        kept_since=system_clock() - seconds(settings.raw_retention_days * _DAY),
        detector=detector,
        since=since.replace(tzinfo=UTC) if since is not None and since.tzinfo is None else since,
        after=after or "",
    )


def _as_json(tally: Tally, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "detections": tally.detections,
        "changed": len(tally.changes),
        "broken": tally.broken,
        "runs": dict(tally.runs),
        "changes": [asdict(change) for change in tally.changes],
        "last": tally.last or None,
    }


def _summary(tally: Tally, *, dry_run: bool) -> str:
    lines = [f"{change.detection_id}  {change.before} → {change.after}\n" for change in tally.changes]
    revised = "would be revised" if dry_run else "revised"
    broken = f", {tally.broken} failed (see the log)" if tally.broken else ""
    end = f"{tally.detections} detections looked at, {len(tally.changes)} {revised}{broken}. {_runs_text(tally)}\n"
    return "".join(lines) + end


def _runs_text(tally: Tally) -> str:
    counts = [f"{count} {why}" for why, count in sorted(tally.runs.items())]
    return f"Runs: {', '.join(counts) or 'none'}."
