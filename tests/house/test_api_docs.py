"""What `docs/api.md` shows is what happens: its examples run in order against a real service with the sandbox.

An answer that is shown must be the answer: the same members, words and kinds of values. Ids, times and figures are
others each time, and "…" stands for what is not shown.
"""

import json
import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import httpx
import pytest

from service.api.contract.document import operations
from service.api.routes import ROUTES
from service.sandbox.track import write_track
from tests.api.integrator import Integrator, integrator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
_MORE = "…"
_ID = re.compile(r"([a-z]+)_[0-7][0-9a-z]{25}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_STEP = re.compile(r"^```(sh|json)\n(.*?)^```|Keep `([\w.]+)` as `([A-Z_]+)`", re.DOTALL | re.MULTILINE)

_CURL = ArgumentParser(exit_on_error=False, allow_abbrev=False)
_CURL.add_argument("command", choices=["api"])
_CURL.add_argument("address")
_CURL.add_argument("-X", dest="method")
_CURL.add_argument("-H", dest="header", action="append", default=[])
_CURL.add_argument("-d", dest="data")
_CURL.add_argument("--data-binary", dest="bytes")
_CURL.add_argument("-F", dest="form")
_CURL.add_argument("-N", dest="unbuffered", action="store_true")
_CURL.add_argument("--max-time", dest="seconds", type=float)


@dataclass
class Reader:
    """Somebody who types what the page says. `last` is what came back."""

    customer: Integrator
    folder: Path
    known: dict[str, str]
    asked: list[tuple[str, str]]
    last: Any = None

    def types(self, command: str) -> None:
        """The command is run, and its answer is `last`."""
        asked = _CURL.parse_args(shlex.split(Template(command).substitute(self.known)))
        headers = dict(header.split(": ", 1) for header in asked.header)
        sent: dict[str, Any] = {"headers": {"Authorization": f"Bearer {self.customer.key}"} | headers}
        if asked.data is not None:
            sent["headers"].setdefault("Content-Type", "application/x-www-form-urlencoded")  # as curl does
            sent["content"] = asked.data.encode()
        if asked.bytes is not None:
            sent["content"] = self._file(asked.bytes.removeprefix("@"))
        if asked.form is not None:
            field, _, name = asked.form.partition("=@")
            sent["files"] = {field: (name, self._file(name))}
        if asked.seconds is not None:
            sent["timeout"] = asked.seconds
        self._ask(asked.method or ("POST" if sent.keys() & {"content", "files"} else "GET"), asked.address, sent)

    def sees(self, shown: Any) -> None:
        """The last answer is the one the page shows."""
        _compare(shown, self.last, "")

    def keeps(self, place: str, name: str) -> None:
        """A part of the last answer has a name from here on."""
        value = self.last
        for key in place.split("."):
            value = value[int(key) if key.isdigit() else key]
        self.known[name] = value

    def _ask(self, method: str, address: str, sent: dict[str, Any]) -> None:
        self.asked.append((method, httpx.URL(address).path))
        text = ""
        try:
            with self.customer.client.stream(method, address, **sent) as response:
                kind = response.headers.get("content-type", "")
                assert kind.startswith("text/event-stream") == ("timeout" in sent), (address, response)
                for piece in response.iter_text():
                    text += piece
        except httpx.ReadTimeout:
            assert "timeout" in sent
        kind = response.headers.get("content-type", "")
        self.last = json.loads(text) if "json" in kind else text
        assert response.is_success or kind == "application/problem+json", text

    def _file(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


def _steps(text: str) -> Iterator[tuple[str, str]]:
    for found in _STEP.finditer(text):
        yield (found[1], found[2]) if found[1] else (found[3], found[4])


def _commands(block: str) -> list[str]:
    return block.replace("\\\n", " ").strip().splitlines()


def _compare(shown: Any, real: Any, at: str) -> None:
    if isinstance(shown, dict):
        assert isinstance(real, dict), at
        named = shown.keys() - {_MORE}
        assert named <= real.keys(), (at, named - real.keys())
        assert _MORE in shown or named == real.keys(), (at, real.keys() - named)
        for name in named:
            _compare(shown[name], real[name], f"{at}/{name}")
    elif isinstance(shown, list):
        assert isinstance(real, list), at
        some = shown[:-1] if shown[-1:] == [_MORE] else shown
        assert len(some) == len(real) or (len(some) < len(shown) and len(some) <= len(real)), (at, real)
        for place, (one, other) in enumerate(zip(some, real, strict=False)):
            _compare(one, other, f"{at}/{place}")
    elif isinstance(shown, str):
        assert isinstance(real, str), (at, real)
        assert _same(shown, real), (at, shown, real)
    else:
        assert type(shown) is type(real), (at, shown, real)
        assert shown == real or not isinstance(shown, bool), (at, shown, real)


def _same(shown: str, real: str) -> bool:
    if found := _ID.fullmatch(shown):
        other = _ID.fullmatch(real)
        return other is not None and other[1] == found[1]
    if _TIME.fullmatch(shown):
        return _TIME.fullmatch(real) is not None
    return real.startswith(shown.removesuffix(_MORE)) if shown.endswith(_MORE) else shown == real


@pytest.fixture
def reader(sqlite_template: Path, tmp_path: Path) -> Iterator[Reader]:
    """Somebody with a test key, a receiver and the file the page speaks of."""
    database = tmp_path / "relay.db"
    database.write_bytes(sqlite_template.read_bytes())
    write_track(tmp_path / "song.ai.wav", 1)
    with integrator(database, tmp_path) as customer:
        known = {
            "RELAY_URL": str(customer.client.base_url).rstrip("/"),
            "WEBHOOK_URL": customer.receiver,
            "JSON": "Content-Type: application/json",
        }
        yield Reader(customer, tmp_path, known, [])


def test_the_examples_run_in_order_and_every_operation_of_a_customer_is_among_them(reader: Reader) -> None:
    refused = 0
    for kind, content in _steps(PAGE.read_text(encoding="utf-8")):
        if kind == "sh" and "api()" not in content:
            for command in _commands(content):
                reader.types(command)
                refused += isinstance(reader.last, dict) and "code" in reader.last
        elif kind == "json":
            reader.sees(json.loads(content))
        elif kind != "sh":
            reader.keeps(kind, content)
    assert refused == 1  # the one that shows what a refusal looks like
    wanted = {operation.id for operation in operations(ROUTES) if operation.path.startswith("/v1/")}
    assert wanted - {_operation(*asked) for asked in reader.asked} == set()


def _operation(method: str, path: str) -> str:
    """The first route that matches, as the service finds it."""
    for operation in operations(ROUTES):
        if operation.method == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", operation.path), path):
            return operation.id
    return ""


def test_every_operation_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = [f"`{operation.method} {operation.path}`" for operation in operations(ROUTES)]
    assert [each for each in named if each not in text] == []


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"a": "queued"}, {"a": "running"}),
        ({"a": "det_01m3gnq8rvfa3ag3t7hdjs5ezh"}, {"a": "evt_01m3gnq8rvfa3ag3t7hdjs5ezh"}),
        ({"a": None}, {"a": 1}),
        ({"a": True}, {"a": False}),
        ({"a": "whsec_…"}, {"a": "secret"}),
        ([{"a": 1}], [{"a": 1}, {"a": 2}]),
        ({"a": "2026-11-20T12:00:00.000Z"}, {"a": "yesterday"}),
    ],
)
def test_an_answer_that_is_not_as_shown_is_found(shown: Any, real: Any) -> None:
    with pytest.raises(AssertionError):
        _compare(shown, real, "")
