"""Which detectors can take which audio, known from their vendors' documents without asking one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.detectors.catalogue import Catalogue
from service.detectors.enums import ReasonCode
from service.detectors.port import Capabilities


class Audio(Protocol):
    """What of some audio decides who takes it."""

    @property
    def format(self) -> str:
        """Our word for its format."""

    @property
    def bytes(self) -> int:
        """Its size."""


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a detector cannot take some audio at all."""

    reason: ReasonCode
    text: str


def objection(capabilities: Capabilities, media: Audio) -> Objection | None:
    """Return why this detector cannot take this audio, or `None` if it can."""
    if media.format not in capabilities.formats:
        text = f"The detector does not accept {media.format}; it accepts {', '.join(sorted(capabilities.formats))}."
        return Objection(ReasonCode.UNSUPPORTED_FORMAT, text)
    if capabilities.max_bytes is not None and media.bytes > capabilities.max_bytes:
        text = f"{media.bytes} bytes are more than the {capabilities.max_bytes} that the detector accepts."
        return Objection(ReasonCode.FILE_TOO_LARGE, text)
    return None


def hopeless(names: Sequence[str], media: Audio, mode: str, catalogue: Catalogue) -> list[Objection] | None:
    """Return why each of these detectors cannot take this audio; `None` if one of them can."""
    found = [objection(_capabilities(name, mode, catalogue), media) for name in names]
    against = [each for each in found if each is not None]
    return against if found and len(against) == len(found) else None


def what_each_takes(
    names: Sequence[str], media: Audio, against: Sequence[Objection], mode: str, catalogue: Catalogue
) -> str:
    """Return what to say where none of these detectors can take this audio."""
    size = any(each.reason is ReasonCode.FILE_TOO_LARGE for each in against)
    audio = f"{media.format} of {media.bytes} bytes" if size else media.format
    each = "; ".join(f"{name} accepts {_takes(_capabilities(name, mode, catalogue))}" for name in names)
    others = [name for name in catalogue.names(mode) if objection(_capabilities(name, mode, catalogue), media) is None]
    hint = f" Available detectors that accept it: {', '.join(others)}." if others else ""
    return f"No requested detector accepts {audio}: {each}.{hint}"


def _takes(capabilities: Capabilities) -> str:
    formats = ", ".join(sorted(capabilities.formats))
    return formats if capabilities.max_bytes is None else f"{formats}, at most {capabilities.max_bytes} bytes"


def _capabilities(name: str, mode: str, catalogue: Catalogue) -> Capabilities:
    configured = catalogue.configured(mode, catalogue.vendor_of(mode, name) or "")
    if configured is None:
        raise ValueError(f"{name} is not offered in this mode")
    return configured.adapter.capabilities(name)
