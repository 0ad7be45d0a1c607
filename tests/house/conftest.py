"""One product a module and engine for the tests made from the route table; its rows are put back after each."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import postgres
from tests.house.front_door import House, house


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
async def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[House, Callable[[], None]]]:
    """The house and what puts its rows back; the tests of the module run twice, once on each engine."""
    folder: Path = tmp_path_factory.mktemp("house")
    with ExitStack() as stack:
        if request.param == "sqlite":
            shutil.copyfile(request.getfixturevalue("sqlite_template"), folder / "relay.db")
            url = f"sqlite:///{folder / 'relay.db'}"
        else:
            server = request.getfixturevalue("postgres_folder")
            url = stack.enter_context(postgres.fresh_database(server, postgres.unused_name("house")))
        async with house(url, folder) as built:
            yield built, built.remember()


@pytest.fixture
def built(opened: tuple[House, Callable[[], None]]) -> Iterator[House]:
    """The product with one object of each kind, as new."""
    yield opened[0]
    opened[1]()
