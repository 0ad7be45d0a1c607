"""`relay submit`: a customer's client. Audio goes in by upload or by address, the verdict comes out."""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from service.cli.client.http_client import Client, ClientError, RefusedError, UnreachableError, address, path_of
from service.cli.client.requests import print_json
from service.cli.options import JsonFlag, present, words_in
from service.cli.screen.plain_text import printable
from service.cli.screen.results import ResultScreen, name_of

FAILED, USAGE, UNFINISHED = 1, 2, 3
"""Exit statuses beside 0: refused or without an answer; no such file; not finished in time."""

_ANSWERED = frozenset({"completed", "completed_partial"})
_PAUSE_SECONDS = 0.5
_PAUSE_EACH_SECONDS = 0.25  # so that many detections together stay far below a key's 600 requests a minute
_TROUBLE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 30.0

Pause = Callable[[float], None]
Ended = Callable[[dict[str, Any], ResultScreen], bool]
"""Is told of a detection that has ended; whether that was all there is to say of it."""


@dataclass(slots=True)
class SentSources:
    """What became of the sources: detections by id, in the order given."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    """By detection: where its audio was to be fetched."""
    refused: bool = False

    @property
    def open(self) -> list[str]:
        """The detections that have not ended."""
        return [one for one, result in self.results.items() if result["completed_at"] is None]

    @property
    def status(self) -> int:
        """The exit status after waiting: a failure counts more than a wait that was too short."""
        ended = [result["status"] for result in self.results.values() if result["completed_at"] is not None]
        if self.refused or any(status not in _ANSWERED for status in ended):
            return FAILED
        return UNFINISHED if self.open else 0


def command(
    sources: Annotated[list[str], typer.Argument(help="Audio files, or URLs of audio.", metavar="FILE_OR_URL...")],
    detectors: Annotated[str | None, typer.Option(help="Detectors to use, separated by commas.")] = None,
    rule: Annotated[str | None, typer.Option(help="consensus, majority, any or cascade.")] = None,
    quorum: Annotated[int | None, typer.Option(min=1, help="How many votes a verdict needs.")] = None,
    external_id: Annotated[str | None, typer.Option(help="An id of yours, returned with the result.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Query the vendors even if an answer for the same bytes is stored.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the verdicts.")] = False,
    patience: Annotated[float, typer.Option(min=0, help="Maximum wait in seconds.")] = 3900,
    as_json: JsonFlag = False,
) -> int:
    """Submit the sources. Return 0 if each was accepted, and with `wait` answered; else a status listed above."""
    question = present(
        detectors=words_in(detectors),
        decision=present(rule=rule, quorum=quorum) or None,
        external_id=external_id,
        force=force or None,
    )
    missing = [source for source in sources if not _is_url(source) and not Path(source).is_file()]
    if missing:
        sys.stderr.write(f"No such file: {', '.join(map(printable, missing))}\n")
        return USAGE
    with Client(address()) as client:
        asked = submit_all(client, sources, question)
        if not wait:
            _say_taken(asked, as_json=as_json)
            return FAILED if asked.refused else 0
        many = len(asked.results) > 1 and not as_json
        _wait(client, asked, patience, _print_row if many else _print_nothing)
        _show(client, asked, as_json=as_json)
    return asked.status


def submit_all(client: Client, sources: Sequence[str], question: dict[str, Any]) -> SentSources:
    """Submit each source. Print a refusal on standard error."""
    asked = SentSources()
    for source in sources:
        try:
            result = _submit(client, source, question)
        except ClientError as error:
            asked.refused = True
            sys.stderr.write(f"{printable(source)}: {error}\n")
            if isinstance(error, UnreachableError):
                break
        else:
            asked.results[result["id"]] = result
            if _is_url(source) and (host := urlsplit(source).hostname):
                asked.hosts[result["id"]] = host
    return asked


def follow(
    client: Client,
    asked: SentSources,
    on_result: Callable[[dict[str, Any]], None],
    until: float,
    pause: Pause = time.sleep,
) -> None:
    """Poll until every detection has ended, or to the monotonic time `until`. Retry failures for a minute."""
    last_answer = time.monotonic()
    while asked.open and time.monotonic() < until:
        wait = max(_PAUSE_SECONDS, _PAUSE_EACH_SECONDS * len(asked.open))
        try:
            for detection_id in asked.open:
                result = client.call("GET", path_of("detections", detection_id), params={"detail": "summary"})
                asked.results[detection_id] = result
                on_result(result)
                last_answer = time.monotonic()
        except ClientError as error:
            if not _may_pass(error) or time.monotonic() - last_answer > _TROUBLE_SECONDS:
                raise
            wait = min(getattr(error, "retry_after", None) or 2 * wait, _LONGEST_PAUSE_SECONDS)
        if asked.open:
            pause(min(wait, max(0.0, until - time.monotonic())))


def _submit(client: Client, source: str, question: dict[str, Any]) -> dict[str, Any]:
    if _is_url(source):
        where = {"url": source}
    else:
        with Path(source).open("rb") as file:
            where = {"media_id": client.call("POST", path_of("media"), file=(Path(source).name, file))["id"]}
    result: dict[str, Any] = client.call("POST", path_of("detections"), body={"source": where, **question})
    return result


def _wait(client: Client, asked: SentSources, patience_seconds: float, ended: Ended) -> None:
    """Wait for the detections, with a line a detector on a terminal. Ctrl-C ends the waiting only."""
    screen = ResultScreen(stderr=True, hosts=asked.hosts)
    for result in asked.results.values():
        screen.update(result)

    def on_result(result: dict[str, Any]) -> None:
        screen.update(result)
        if result["completed_at"] is not None and ended(result, screen):
            screen.drop(result["id"])

    until = time.monotonic() + patience_seconds
    try:
        with screen.live() if screen.console.is_terminal else contextlib.nullcontext():
            for result in list(asked.results.values()):
                on_result(result)
            follow(client, asked, on_result, until)
    except KeyboardInterrupt:
        pass
    except ClientError as error:
        sys.stderr.write(f"{error}\n")
        asked.refused = True
    for detection_id in asked.open:
        sys.stderr.write(f"Not finished, and the service goes on: relay detections get {detection_id}\n")


def _print_nothing(_result: dict[str, Any], _screen: ResultScreen) -> bool:
    return False


def _print_row(result: dict[str, Any], screen: ResultScreen) -> bool:
    """Of many a detection's row is printed as soon as it ends; above the moving lines, if there are some."""
    row = _row(result, screen.hosts.get(result["id"]))
    if screen.console.is_terminal and sys.stdout.isatty():
        screen.say(row)
    else:
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
    return True


def _row(result: dict[str, Any], host: str | None) -> str:
    said = (name_of(result, host), result["verdict"] or "no verdict", result["status"], result["display"], result["id"])
    return "  ".join(printable(one) for one in said if one)


def _show(client: Client, asked: SentSources, *, as_json: bool) -> None:
    if not as_json and len(asked.results) > 1:
        for detection_id in asked.open:
            sys.stdout.write(f"{_row(asked.results[detection_id], asked.hosts.get(detection_id))}\n")
        return
    if not as_json:
        ResultScreen(hosts=asked.hosts).show_results(list(asked.results.values()))
        return
    for detection_id, result in asked.results.items():
        try:
            print_json(client.call("GET", path_of("detections", detection_id)))
        except ClientError:
            print_json(result)  # the short form is known, and says what counts


def _say_taken(asked: SentSources, *, as_json: bool) -> None:
    for detection_id, result in asked.results.items():
        if as_json:
            print_json(result)
        else:
            sys.stdout.write(f"{detection_id}  {result['status']}  {printable(result['track']['filename'] or '')}\n")


def _may_pass(error: ClientError) -> bool:
    return error.may_pass if isinstance(error, RefusedError) else True


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))
