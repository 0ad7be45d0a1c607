"""A stream's messages, one a line, in our words: the whole stream after its end, or a part while it goes on.

Only `done` has a verdict. The lines are kept as they came, so that they can be read again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from service.detectors.answers import folded, json_object, mismatch, reason
from service.detectors.enums import ReasonCode, RunStatus
from service.detectors.port import Raw, Refused
from service.detectors.reading import Engine, Reading, Segment
from service.vendors.modulate.refusals import closed, turns_away
from service.vendors.modulate.results import read_done
from service.vendors.modulate.schema import read_windows
from service.vendors.modulate.settings import ENGINE, ModulateSettings

CONTENT_TYPE: Final = "application/x-ndjson"
GOING_ON: Final = 101
"""The status of a part of an open stream: RFC 6455 §4.2.2, switching protocols. At its end it is the close code."""
_CLOSE_CODES: Final = range(1000, 5000)


@dataclass
class Messages:
    """A stream's messages by their type."""

    windows: list[Any] = field(default_factory=list)
    done: list[Mapping[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    extras: dict[str, Any] = field(default_factory=dict)


def is_streamed(raw: Raw) -> bool:
    """Return True if the answer is a stream's, by its status; a refused handshake has an HTTP status."""
    return raw.status == GOING_ON or raw.status in _CLOSE_CODES


def ends(line: bytes) -> bool:
    """Return True if the vendor's answer is complete with this message."""
    return _type_of(json_object(line) or {}) in ("done", "error")


def is_window(line: bytes) -> bool:
    """Return True if this message holds one more window."""
    message = json_object(line) or {}
    return _type_of(message) == "window" and "window" in message


def read_stream(raw: Raw, settings: ModulateSettings, first: int = 0) -> Reading | Refused:
    """Return what the messages in `raw` say; the first window among them is number `first`. Never raise."""
    heard = _sorted_out(raw.body.split(b"\n"))
    segments, odd = read_windows(heard.windows, first)
    extras = heard.extras | odd
    if raw.status == GOING_ON:
        return _without_verdict(segments, extras, RunStatus.RUNNING)
    if heard.errors or not heard.done or turns_away(raw.status):
        refused = closed(raw.status, heard.errors[0] if heard.errors else None, [settings.secret])
        if refused.reason_code is not ReasonCode.INVALID_FILE:
            return refused
        found = _without_verdict(segments, extras, RunStatus.NOT_APPLICABLE)
        return found.model_copy(update={"reason_code": refused.reason_code, "reason_text": refused.reason_text})
    if any(done != heard.done[0] for done in heard.done):
        return mismatch("the stream was done twice, and differently", retryable=False)
    return read_done(heard.done[0], segments, extras, settings)


def _sorted_out(lines: Iterable[bytes]) -> Messages:
    heard = Messages()
    unknown: list[Any] = []
    for line in filter(bytes.strip, lines):
        message = json_object(line)
        if message is None:
            unknown.append(reason(line.decode(errors="replace")))
            continue
        match _type_of(message):
            case "window" if "window" in message:
                heard.windows.append(message["window"])
                unknown += [rest] if (rest := _rest(message, "window")) else []
            case "done":
                heard.done.append(message)
            case "error":
                heard.errors.append(str(message.get("error") or "the vendor reports an error without a reason"))
                unknown += [rest] if (rest := _rest(message, "error")) else []
            case _:
                unknown.append(message)
    if unknown:
        heard.extras["messages"] = unknown
    return heard


def _type_of(message: Mapping[str, Any]) -> str | None:
    found = message.get("type")
    return folded(found) if isinstance(found, str) else None


def _rest(message: Mapping[str, Any], known: str) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key not in ("type", known)}


def _without_verdict(segments: list[Segment], extras: dict[str, Any], status: RunStatus) -> Reading:
    return Reading(status=status, tier="streaming", engine=Engine(name=ENGINE), segments=segments, extras=extras)
