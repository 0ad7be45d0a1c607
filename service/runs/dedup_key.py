"""Which runs ask the same, so that one answer serves them all. Pure.

Within one account and mode: the same detector and tier of the same bytes. In test mode the name counts too, because
the twins act by its words; and only a name with the word `reuse` shares at all.
"""

import hashlib

from service.runs.state.rows import DetectionRow, RunRow

_REUSE_WORD = "reuse"


def can_share(mode: str, source_name: str) -> bool:
    """Return True if answers about audio of this name are for others too."""
    return mode != "test" or _REUSE_WORD in source_name.split(".")


def shares(detection: DetectionRow) -> bool:
    """Return True if its runs may take another's answer, or lead. Who asks by force, or again, wants a new one."""
    return not detection.force and detection.round == 1 and can_share(detection.mode, detection.source_name)


def dedup_key(detection: DetectionRow, run: RunRow, sha256: str) -> str | None:
    """Return what runs that ask the same have in common, once the bytes are known; `None` if nothing is shared."""
    if not can_share(detection.mode, detection.source_name):
        return None
    key = f"{run.detector}:{run.tier or ''}:{sha256}"
    if detection.mode != "test":
        return key
    name = hashlib.sha256(detection.source_name.encode(errors="replace")).hexdigest()
    return f"{key}:{name[:32]}"
