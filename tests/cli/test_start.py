"""What an operator can have wrong before the first request: a line each that says what to do, status 2, no traceback.

The commands run in this process, through the entry point that `relay` is: they end before they serve anything.
"""

import asyncio
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import text

from service import __main__
from service.callbacks.addresses import address_token
from service.cli.dev_folder import DATABASE, kept_secret
from service.cli.start import wait_for_schema
from service.kit.clock import system_clock
from service.kit.database import Database
from service.kit.errors import SettingsError
from service.kit.migrate import downgrade, upgrade
from service.kit.sealing import Sealer
from service.media.store import _copy
from service.settings import load_settings
from tests.journeys.processes import deployment, free_port
from tests.waiting import until

KEY = "a made-up secret key of enough characters"
OTHER = "another made-up secret key, of other characters"
KEYS = ("keys", "create", "--account", "Label")
SERVING = (("web",), ("worker",))
ALL = (*SERVING, KEYS)
DEV = ("dev", "--port", "0", "--data", "taken/dev")


@dataclass
class Place:
    """A folder with nothing of ours in it, and the settings of a deployment there that has nothing wrong yet."""

    folder: Path
    postgres: str
    environment: dict[str, str] = field(default_factory=dict)
    taken: socket.socket | None = None


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


def never_migrated(place: Place) -> None:
    downgrade(place.postgres)


def no_file(place: Place) -> None:
    place.environment["DATABASE_URL"] = f"sqlite:///{place.folder / 'none' / 'relay.db'}"


def file_of_nothing(place: Place) -> None:
    (place.folder / "empty.db").touch()
    place.environment["DATABASE_URL"] = f"sqlite:///{place.folder / 'empty.db'}"


def an_old_schema(place: Place) -> None:
    downgrade(place.postgres, "20261122")


def no_database_of_that_name(place: Place) -> None:
    place.environment["DATABASE_URL"] = f"{place.postgres.partition('?')[0]}x?{place.postgres.partition('?')[2]}"


def nobody_listens(place: Place) -> None:
    place.environment["DATABASE_URL"] = f"postgres://relay@127.0.0.1:{free_port()}/relay"


def no_address(place: Place) -> None:
    place.environment["DATABASE_URL"] = "relay.db"


def a_misspelt_option(place: Place) -> None:
    place.environment["DATABASE_URL"] = f"{place.postgres}&sslmod=require"


def a_text_file(place: Place) -> None:
    (place.folder / "relay.db").write_text("no database at all, but a text of some length\n" * 40, encoding="ascii")
    place.environment["DATABASE_URL"] = f"sqlite:///{place.folder / 'relay.db'}"


def a_folder_instead(place: Place) -> None:
    (place.folder / "relay.db").mkdir()
    place.environment["DATABASE_URL"] = f"sqlite:///{place.folder / 'relay.db'}"


def in_memory(place: Place) -> None:
    place.environment["DATABASE_URL"] = "sqlite://"


def other_keys(place: Place) -> None:
    with closing(Database(place.postgres)) as database, database.writing() as session:
        address_token(session, "test", "aippim", Sealer([OTHER]), system_clock())


def a_short_key(place: Place) -> None:
    place.environment["SECRET_KEYS"] = "short"


def no_price_list(place: Place) -> None:
    place.environment["PRICES_FILE"] = str(place.folder / "prices.toml")


def audio_below_a_file(place: Place) -> None:
    (place.folder / "taken").touch()
    place.environment["MEDIA_STORE"] = f"file:{place.folder / 'taken' / 'media'}"


def a_host_of_others(place: Place) -> None:
    place.environment["HOST"] = "192.0.2.1"


def a_port_that_is_taken(place: Place) -> None:
    place.taken = socket.create_server(("127.0.0.1", 0))
    place.environment["PORT"] = str(place.taken.getsockname()[1])


def a_newer_schema(place: Place) -> None:
    _newer(place.postgres)


def a_folder_below_a_file(place: Place) -> None:
    (place.folder / "taken").touch()
    place.environment["DATABASE_URL"] = f"sqlite:///{place.folder / 'taken' / 'relay.db'}"


def no_file_for_the_secret(place: Place) -> None:
    del place.environment["SECRET_KEYS"]
    place.environment["SECRET_KEYS_FILE"] = str(place.folder / "secret")


def a_setting_that_is_no_number(place: Place) -> None:
    place.environment["ASC_POLL_SECONDS"] = "soon"


def dev_below_a_file(place: Place) -> None:
    (place.folder / "taken").touch()


def dev_of_another_secret(place: Place) -> None:
    url = _dev(place)
    with closing(Database(url)) as database, database.writing() as session:
        address_token(session, "test", "aippim", Sealer([OTHER]), system_clock())


def dev_with_a_text_for_a_database(place: Place) -> None:
    _dev(place)
    (place.folder / "taken" / "dev" / DATABASE).write_text("no database at all\n" * 100, encoding="ascii")


def dev_of_a_newer_version(place: Place) -> None:
    _newer(_dev(place))


def dev_without_its_secret(place: Place) -> None:
    _dev(place)
    (place.folder / "taken" / "dev" / "secret").unlink()


def _dev(place: Place) -> str:
    folder = place.folder / "taken" / "dev"
    folder.mkdir(parents=True)
    kept_secret(folder)
    upgrade(url := f"sqlite:///{folder / DATABASE}")
    return url


def _newer(url: str) -> None:
    with closing(Database(url)) as database, database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '20991231'"))


MISTAKES: list[tuple[Callable[[Place], None], tuple[tuple[str, ...], ...], str]] = [
    (never_migrated, ALL, "run: relay migrate"),
    (no_file, (("web",), KEYS), "run: relay migrate"),
    (file_of_nothing, (("web",), KEYS), "run: relay migrate"),
    (an_old_schema, ALL, "run: relay migrate"),
    (no_database_of_that_name, (*ALL, ("migrate",)), "DATABASE_URL: "),
    (nobody_listens, (*ALL, ("migrate",)), "DATABASE_URL: "),
    (no_address, (*ALL, ("migrate",)), "DATABASE_URL: "),
    (a_misspelt_option, (*ALL, ("migrate",)), "sslmod"),
    (a_text_file, (("web",), KEYS, ("migrate",)), "DATABASE_URL: "),
    (a_folder_instead, (("web",), KEYS, ("migrate",)), "DATABASE_URL: "),
    (in_memory, (("web",), KEYS, ("migrate",)), "DATABASE_URL: "),
    (other_keys, (*SERVING, ("callback-url", "aippim", "--mode", "test")), "SECRET_KEYS: "),
    (a_short_key, SERVING, "SECRET_KEYS: "),
    (no_price_list, SERVING, "PRICES_FILE: "),
    (audio_below_a_file, SERVING, "MEDIA_STORE: "),
    (a_host_of_others, (("web",),), "HOST: "),
    (a_port_that_is_taken, (("web",),), "PORT: "),
    (a_newer_schema, (("migrate",),), "deploy the version"),
    (a_folder_below_a_file, (("migrate",),), "taken"),
    (no_file_for_the_secret, SERVING, "SECRET_KEYS_FILE: "),
    (dev_below_a_file, (DEV,), "taken"),
    (dev_of_another_secret, (DEV,), "SECRET_KEYS: "),
    (dev_with_a_text_for_a_database, (DEV,), "DATABASE_URL: "),
    (dev_of_a_newer_version, (DEV,), "deploy the version"),
    (dev_without_its_secret, (DEV,), "secret: gone"),
    (a_setting_that_is_no_number, (*SERVING, DEV, KEYS, ("migrate",)), "ASC_POLL_SECONDS: "),
]


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
