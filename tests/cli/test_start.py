"""What an operator can have wrong before the first request: a line each that says what to do, status 2, no traceback.

The commands run in this process, through the entry point that `relay` is: they end before they serve anything.
"""

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service import __main__
from service.cli.preflight import wait_for_schema
from service.kit.errors import SettingsError
from service.kit.schema.migrate import upgrade
from service.media.store import _copy
from service.settings import load_settings
from tests.cli.mistakes import (
    KEY,
    KEYS,
    MISTAKES,
    Place,
    a_misspelt_option,
    a_newer_schema,
    a_port_that_is_taken,
    a_short_key,
    an_old_schema,
    audio_below_a_file,
    file_of_nothing,
    never_migrated,
    no_file,
    no_price_list,
    nobody_listens,
    other_keys,
)
from tests.journeys.processes import deployment, free_port
from tests.waiting import until


@pytest.fixture
def place(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in ("SECRET_KEYS", "HOST", "PUBLIC_URL", "MEDIA_STORE", "WEB_CONCURRENCY", "PRICES_FILE"):
        monkeypatch.delenv(name, raising=False)
    before = os.umask(0)
    os.umask(before)
    one = Place(tmp_path, postgres_url)
    one.environment = {"DATABASE_URL": postgres_url, "SECRET_KEYS": KEY, "PORT": str(free_port()), "HOST": "127.0.0.1"}
    monkeypatch.chdir(tmp_path)
    yield one
    os.umask(before)
    if one.taken is not None:
        one.taken.close()


@pytest.fixture
def relay(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[str]]]:
    """The exit status of a command, and the lines it wrote."""

    def run(*arguments: str) -> tuple[int, list[str]]:
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["relay", *arguments])
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        said = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), (said.out + said.err).splitlines()

    return run


def _marks(mistake: Callable[[Place], None]) -> list[pytest.MarkDecorator]:
    """A database of its own for what changes the schema."""
    return [pytest.mark.own_database] if mistake in (never_migrated, an_old_schema, a_newer_schema) else []


@pytest.mark.parametrize(
    ("mistake", "arguments", "word"),
    [
        pytest.param(mistake, arguments, word, id=f"{mistake.__name__}-{arguments[0]}", marks=_marks(mistake))
        for mistake, commands, word in MISTAKES
        for arguments in commands
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    place: Place,
    relay: Callable[..., tuple[int, list[str]]],
    mistake: Callable[[Place], None],
    arguments: tuple[str, ...],
    word: str,
) -> None:
    mistake(place)
    status, lines = relay(*arguments)
    assert status == 2, lines
    assert len(lines) == 1, lines
    assert word in lines[0]
    assert KEY not in lines[0]


def _files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("arguments", [("web",), KEYS, ("doctor",), ("callback-url", "aippim"), ("budgets", "list")])
def test_looking_for_a_database_makes_none(
    place: Place, relay: Callable[..., tuple[int, list[str]]], arguments: tuple[str, ...]
) -> None:
    no_file(place)
    place.environment["PUBLIC_URL"] = "https://relay.example.com"
    status, lines = relay(*arguments)
    assert status == (1 if arguments == ("doctor",) else 2), lines
    assert _files(place.folder) == set()


def test_a_file_that_was_empty_stays_so(place: Place, relay: Callable[..., tuple[int, list[str]]]) -> None:
    file_of_nothing(place)
    relay("web")
    assert _files(place.folder) == {place.folder / "empty.db"}


@pytest.mark.own_database
def test_everything_that_is_wrong_is_said_at_once(place: Place, relay: Callable[..., tuple[int, list[str]]]) -> None:
    for mistake in (never_migrated, audio_below_a_file, no_price_list, a_port_that_is_taken):
        mistake(place)
    status, lines = relay("web")
    assert status == 2
    assert [line.partition(":")[0] for line in lines] == ["DATABASE_URL", "MEDIA_STORE", "PRICES_FILE", "PORT"]


@pytest.mark.own_database
@pytest.mark.parametrize("mistake", [never_migrated, nobody_listens, a_misspelt_option, other_keys, a_short_key])
def test_the_doctor_has_a_line_for_it_and_status_1(
    place: Place, relay: Callable[..., tuple[int, list[str]]], mistake: Callable[[Place], None]
) -> None:
    mistake(place)
    status, lines = relay("doctor")
    assert status == 1
    assert [line for line in lines if line.startswith("fail ")] != []
    assert not any("Traceback" in line for line in lines)


@pytest.mark.own_database
async def test_a_worker_waits_for_the_process_that_migrates(place: Place, tmp_path: Path) -> None:
    never_migrated(place)
    with deployment(place.postgres, tmp_path) as one:
        worker = one.process("worker", "--wait", "60")
        worker.start()
        await until(lambda: "worker.waiting" in worker.log, seconds=20)
        await asyncio.to_thread(upgrade, place.postgres)
        await until(lambda: "worker.started" in worker.log, seconds=20)
        assert worker.stop() == 0
        assert "Traceback" not in worker.log


@pytest.mark.own_database
def test_waiting_has_an_end_and_is_not_for_what_it_cannot_mend(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    never_migrated(place)
    settings = load_settings(database_url=place.postgres, secret_keys=(KEY,))
    passed = [0.0]
    with pytest.raises(SettingsError, match="relay migrate"):
        wait_for_schema(settings, 60, clock=lambda: passed[0], sleep=lambda span: passed.append(passed.pop() + span))
    assert 60 <= passed[0] < 65
    file_of_nothing(place)
    other = load_settings(database_url=f"sqlite:///{place.folder / 'none.db'}", secret_keys=(KEY,))
    with pytest.raises(SettingsError, match="there is no"):
        wait_for_schema(other, 60, clock=lambda: 0.0, sleep=lambda _: pytest.fail("it waits"))


async def test_what_is_made_on_the_disk_is_for_its_user_alone(
    place: Place, relay: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    os.umask(0o022)  # what a shell usually has
    place.environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'data' / 'relay.db'}"
    status, lines = relay("migrate")
    assert status == 0, lines
    (tmp_path / "upload").write_bytes(b"audio")
    _copy(tmp_path / "upload", tmp_path / "data" / "med_1")  # as from another file system
    found = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
    assert len(found) >= 3
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
