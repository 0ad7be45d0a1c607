"""What a vendor's answer names: a run of ours, whose audio was sent to it as `<run id>.<ext>`, and its own detector."""

import re
from collections.abc import Collection

from service.detectors.answers import folded
from service.detectors.enums import ConflictKind, ReasonCode
from service.detectors.port import Refused
from service.detectors.reading import Conflict, Reading, Refs
from service.runs.state.rows import RunRow

_RUN = re.compile(r"(?<![0-9a-z_])run_[0-7][0-9abcdefghjkmnpqrstvwxyz]{25}(?![0-9a-z])")
_NAMES = ("filename", "title", "filepath")


def run_named_in(refs: Refs) -> str | None:
    """Return the one run whose audio the answer is about by name; `None` where it names none, or two."""
    found = {name for key in _NAMES for name in _RUN.findall(refs.other.get(key, ""))}
    return found.pop() if len(found) == 1 else None


def of_this_run(run: RunRow, said: Reading | Refused) -> Reading | Refused:
    """Return the answer, unless it names another run's audio: then it does not count, whatever job it was asked by."""
    named = run_named_in(said.refs) if isinstance(said, Reading) else None
    if named is None or named in (run.id, run.submitted_as_run_id):
        return said
    return Refused(ReasonCode.SCHEMA_MISMATCH, "The answer is about another recording, by its name.", retryable=True)


def as_asked(vendor: str, detector: str, parsed: Reading | Refused, offered: Collection[str]) -> Reading | Refused:
    """Return the answer, with a conflict where it names another of the vendor's detectors than the one asked."""
    if not isinstance(parsed, Reading) or parsed.verdict is None or parsed.tier is None:
        return parsed
    named = f"{vendor}/{folded(parsed.tier)}"
    if named == detector or named not in offered:
        return parsed
    conflict = Conflict(kind=ConflictKind.VENDOR_INTERNAL, detail=f"asked as {detector}, answered as {named}")
    return parsed.model_copy(update={"conflicts": [*parsed.conflicts, conflict]})
