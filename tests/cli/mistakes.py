"""What an operator can have wrong, each made in a fresh place, and the commands that meet it."""

import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text

from service.callbacks.addresses import address_token
from service.cli.serve.dev_folder import DATABASE, kept_secret
from service.kit.db.database import Database
from service.kit.schema.migrate import downgrade, upgrade
from service.kit.security.sealing import Sealer
from service.kit.system_clock import system_clock
from tests.journeys.processes import free_port

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
