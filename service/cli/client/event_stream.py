"""Server-sent events as the HTML standard says (§9.2): bytes in, events out, however the bytes were cut."""

import re
from dataclasses import dataclass, field

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream. `id` is the last one the stream had given by then."""

    id: str
    type: str
    data: str


@dataclass(slots=True)
class EventStream:
    """The state of one connection. `last_id` and `retry_seconds` outlive it: they are what a reconnection needs."""

    last_id: str = ""
    retry_seconds: float | None = None
    _rest: bytes = b""
    _begun: bool = False
    _fields: dict[str, list[str]] = field(default_factory=dict)

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Return the events that are complete now. Raise `ValueError` for a line over 8 MiB."""
        self._rest += chunk
        if not self._begun and (len(self._rest) >= len(_BOM) or not _BOM.startswith(self._rest)):
            self._rest = self._rest.removeprefix(_BOM)
            self._begun = True
        events = []
        for line in self._lines():
            if line:
                self._take(line.decode(errors="replace"))
            elif (event := self._dispatch()) is not None:
                events.append(event)
        if len(self._rest) > _MAX_BYTES:
            raise ValueError("a line of the stream is too long")
        return events

    def _lines(self) -> list[bytes]:
        """Return the complete lines. Keep a carriage return at the end: a line feed may follow it."""
        held = b"\r" if self._rest.endswith(b"\r") else b""
        if not self._begun:
            return []
        *lines, rest = _LINE_END.split(self._rest.removesuffix(b"\r") if held else self._rest)
        self._rest = rest + held
        return lines

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_seconds = int(value) / 1000
        elif name in ("event", "data"):
            self._fields.setdefault(name, []).append(value)

    def _dispatch(self) -> ServerEvent | None:
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        return ServerEvent(self.last_id, fields.get("event", ["message"])[-1], "\n".join(fields["data"]))
