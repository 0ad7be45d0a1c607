"""`relay listen`: prints events as they happen, and forwards them, signed, to an address of the developer's.

What is forwarded has the headers and the body of the webhook an endpoint would get. It is tried once, in order; what
a deployed endpoint needs (tries again, holding back) is the service's own delivery and not done here.
`EventStream` reads server-sent events as the HTML standard says (§9.2), however the bytes were cut.
"""

import base64
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import typer

from service.cli.client.http_client import (
    Client,
    ClientError,
    RefusedError,
    UnreachableError,
    address,
    is_loopback,
    path_of,
)
from service.cli.client.requests import exit_on_failure, print_json
from service.cli.options import JsonFlag, words_in
from service.cli.screen.plain_text import printable
from service.events.types import is_filter, takes, why_no_filter
from service.kit.backoff import growing
from service.kit.clock import milliseconds_between
from service.kit.security.signatures import PREFIX, new_secret
from service.kit.system_clock import system_clock
from service.webhooks.sending.signing import webhook_headers

_SILENCE_SECONDS = 45.0  # the service says something at least every 15
_FORWARD_SECONDS = 15.0
_SECRET_BYTES = range(24, 65)
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 30.0
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_MAX_BYTES = 8 * 1024 * 1024

Pause = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Forward:
    """The URL that events are forwarded to, and the secret that signs them."""

    url: str
    secret: str


def command(
    forward: Annotated[str | None, typer.Option(help="Also post each event, signed, to this URL.")] = None,
    secret: Annotated[
        str | None, typer.Option(help="The signing secret, whsec_…; by default a new one is made and printed.")
    ] = None,
    types: Annotated[
        str | None, typer.Option(help="Only these types, separated by commas; for example detection.*.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="Start after this event, evt_…; by default with new ones.")] = None,
    as_json: JsonFlag = False,
) -> int:
    """Check the options and listen until Ctrl-C. Raise `BadParameter` for an option that is invalid."""
    chosen = words_in(types)
    if wrong := [name for name in chosen if not is_filter(name)]:
        raise typer.BadParameter(why_no_filter(wrong[0]), param_hint="--types")
    if forward is None:
        return run_listen(None, chosen, after, as_json=as_json)
    parts = urlsplit(forward)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise typer.BadParameter("an address that begins with http:// or https://", param_hint="--forward")
    return run_listen(Forward(forward, _secret(secret)), chosen, after, as_json=as_json)


def run_listen(forward: Forward | None, types: Sequence[str], after: str | None, *, as_json: bool) -> int:
    """Listen until Ctrl-C, and return 0. Exit with 1 if the service refuses or was never reached."""
    wanted = tuple(types) or ("*",)
    try:
        with exit_on_failure(), Client(address()) as client, _forwarding(forward) as onward:
            if forward is not None:
                _say(f"Forwarding to {forward.url}\nsigned with {forward.secret}")
            for event in events(client, after, lambda: _say(f"Listening to {client.url}; Ctrl-C ends it.")):
                if any(takes(pattern, event["type"]) for pattern in wanted):
                    _print(event, as_json=as_json)
                    if forward is not None:
                        _say(f"  {pass_on(onward, forward, event)}")
    except KeyboardInterrupt:
        _say("")
    return 0


def events(
    client: Client, after: str | None, connected: Callable[[], None], pause: Pause = time.sleep
) -> Iterator[dict[str, Any]]:
    """Yield every event from now on, or after the one named; none is missed while the connection is made anew.

    `connected` is called each time the stream stands.

    Raises `ClientError` where the service refuses, or cannot be reached the first time.
    """
    stream, failures, heard = EventStream(last_id=after or ""), 0, False
    while True:
        try:
            for event in _connected(client, stream):
                heard, failures = True, 0
                if event is None:
                    connected()
                else:
                    yield event
        except ClientError as error:
            if not heard or (isinstance(error, RefusedError) and not error.may_pass):
                raise
            failures += 1
            _say(f"{error} Trying again.")
        wait = growing(failures, first=_FIRST_WAIT_SECONDS, factor=2, longest=_LONGEST_WAIT_SECONDS)
        pause(max(wait, stream.retry_seconds or 0))
        stream = EventStream(last_id=stream.last_id)


def pass_on(onward: httpx.Client, forward: Forward, event: dict[str, Any]) -> str:
    """Post the event once, and return a line with the outcome."""
    body = body_of(event)
    begun = system_clock()
    headers = webhook_headers(event["id"], body, [forward.secret], begun)
    try:
        # The body is not read: the status says all, and a body may never end.
        with onward.stream("POST", forward.url, content=body, headers=headers) as answer:
            return f"→ {answer.status_code} in {milliseconds_between(begun, system_clock())} ms"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"→ not delivered: {printable(error) or type(error).__name__}"


def body_of(event: dict[str, Any]) -> bytes:
    """Return the JSON of a webhook: `{"type", "timestamp", "data"}`. The id goes into its header."""
    body = {name: event[name] for name in ("type", "timestamp", "data")}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


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


def _connected(client: Client, stream: EventStream) -> Iterator[dict[str, Any] | None]:
    """Yield the events of one connection until it ends. The first item, `None`, means connected."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": stream.last_id} if stream.last_id else {})
    with client.stream(
        path_of("events", "stream"), params={}, headers=headers, silence_seconds=_SILENCE_SECONDS
    ) as chunks:
        yield None
        for chunk in chunks:
            for event in _fed(stream, chunk):
                if (known := _event_in(event)) is not None:
                    yield known


def _fed(stream: EventStream, chunk: bytes) -> list[ServerEvent]:
    try:
        return stream.feed(chunk)
    except ValueError as error:
        raise UnreachableError(f"The stream is broken: {error}.") from error


def _event_in(event: ServerEvent) -> dict[str, Any] | None:
    """Return the event object; `None` for anything else a stream may carry."""
    try:
        found = json.loads(event.data)
    except ValueError:
        return None
    is_event = isinstance(found, dict) and {"id", "type", "timestamp", "data"} <= found.keys()
    return found if is_event else None


def _forwarding(forward: Forward | None) -> httpx.Client:
    trust = forward is None or not is_loopback(forward.url)
    return httpx.Client(timeout=_FORWARD_SECONDS, follow_redirects=False, trust_env=trust)


def _secret(given: str | None) -> str:
    """Return the given secret, or a new one. Standard Webhooks: `whsec_` and 24 to 64 bytes in base64."""
    if given is None:
        return new_secret()
    try:
        length = len(base64.b64decode(given.removeprefix(PREFIX), validate=True))
    except ValueError:
        length = 0
    if not given.startswith(PREFIX) or length not in _SECRET_BYTES:
        raise typer.BadParameter("whsec_ and 24 to 64 bytes in base64", param_hint="--secret")
    return given


def _print(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(event)
    else:
        data = event["data"] if isinstance(event["data"], dict) else {}
        subject = data.get("id") or data.get("detection_id") or data.get("endpoint_id") or ""
        run = data["run"] if isinstance(data.get("run"), dict) else {}
        found = data.get("verdict") or run.get("verdict") or ""
        words = (event["timestamp"], event["type"], event["id"], subject, run.get("detector") or "", found)
        sys.stdout.write("  ".join(printable(word) for word in words if word) + "\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
