"""What every test may ask for: a migrated database on both engines, and `async def test_…` without a mark.

Each test process has a PostgreSQL of its own, which starts when its first test wants it: what others do on the same
server would hold back the feed for a moment (`service/events/feed`). It is stopped where pytest ends: in the one
process, or in xdist's controller, which tells its workers where theirs is to live. A test process has one database
there, which is emptied after each test. A test that changes the schema is marked `own_database` and gets another, which
is put back or dropped after it; so does a journey.
"""

import gc
import inspect
import os
import shutil
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from service.kit.db.database import Database
from service.kit.schema.migrate import upgrade
from tests import postgres
from tests.compiled import share_compiled_statements
from tests.emptied import SharedDatabase
from tests.kinds import mark
from tests.order import shared_out
from tests.plain_logs import write_plain_logs
from tests.put_back import OwnDatabases
from tests.trusted import share_trusted_roots

_FOLDER = pytest.StashKey[Path]()  # of this process's server
_FOLDERS = pytest.StashKey[list[Path]]()  # of all servers that this process stops


# Short on a push. `make test-full` tries as many examples as the library would.
settings.register_profile("short", max_examples=30)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


_IN_MEMORY, _PLENTY = Path("/dev/shm"), 4 << 30  # noqa: S108 - a file system, and no file of ours by a known name


def _keep_files_in_memory() -> None:
    """Let the tests' files stand in memory where there is plenty of it: a commit then waits for no disk."""
    if os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free >= _PLENTY:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


def pytest_configure(config: pytest.Config) -> None:
    """The place of the server is settled; it is empty until a test wants it. Ctrl-C means what it means to a person."""
    # Started in the background of a script, a process has SIGINT ignored, and so would those that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _keep_files_in_memory()
    share_compiled_statements()
    share_trusted_roots()
    write_plain_logs()
    told: dict[str, str] | None = getattr(config, "workerinput", None)
    config.stash[_FOLDER] = Path(told["postgres_folder"]) if told else postgres.new_folder()
    config.stash[_FOLDERS] = [] if told else [config.stash[_FOLDER]]


@pytest.hookimpl(tryfirst=True)  # before pytest complains of what the tests left open
def pytest_unconfigure(config: pytest.Config) -> None:
    """The servers are gone, also after failures and Ctrl-C."""
    for folder in config.stash.get(_FOLDERS, []):
        postgres.stop(folder)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Each test has its marks before some are left out by them. Of the others, the long ones come first."""
    mark(items)
    yield
    told: dict[str, int] = getattr(config, "workerinput", {})
    items[:] = shared_out(items, told.get("workercount", 1))


def pytest_collection_finish() -> None:
    """Let the collector pass over what stays for the whole session: thousands of tests and all that they import."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The controller of xdist tells a worker where its server is to live, and whose exit ends it."""
    folder = postgres.new_folder()
    node.config.stash[_FOLDERS].append(folder)
    node.workerinput["postgres_folder"] = str(folder)
    node.workerinput["controller_pid"] = os.getpid()


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Every coroutine test is anyio's."""
    inner = getattr(getattr(obj, "hypothesis", None), "inner_test", obj)
    if collector.istestfunction(obj, name) and inspect.iscoroutinefunction(inner):
        pytest.mark.anyio(obj)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop the service runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_folder(pytestconfig: pytest.Config) -> Path:
    """Where the running PostgreSQL of this test process lives."""
    folder = pytestconfig.stash[_FOLDER]
    told: dict[str, int] = getattr(pytestconfig, "workerinput", {})
    postgres.start(folder, until_exit_of=told.get("controller_pid", os.getpid()))
    return folder


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, to be copied."""
    path = tmp_path_factory.mktemp("template") / "relay.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def shared_postgres(postgres_folder: Path) -> Iterator[SharedDatabase]:
    """The one database of this test process on PostgreSQL, emptied between tests."""
    with SharedDatabase.on(postgres_folder, postgres.unused_name("shared")) as shared:
        yield shared


@pytest.fixture(scope="session")
def own_databases(postgres_folder: Path) -> Iterator[OwnDatabases]:
    """What lends databases to tests that change the schema or start processes."""
    databases = OwnDatabases(postgres_folder)
    yield databases
    databases.close()


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a migrated, empty database on PostgreSQL: the process's own, or one as new where it is marked so.

    So is that of journeys. They start processes, which may outlive a failed test: what these still use is given up.
    """
    if request.node.get_closest_marker("own_database") or "journeys" in request.node.path.parts:
        databases: OwnDatabases = request.getfixturevalue("own_databases")
        with databases.lend(postgres.unused_name(request.node.name)) as address:
            yield address
    else:
        shared: SharedDatabase = request.getfixturevalue("shared_postgres")
        yield shared.url
        shared.empty()


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The address of this test's own migrated SQLite file: copying is quicker than emptying."""
    path = tmp_path / "relay.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The test runs twice: the address of a migrated database on SQLite, then on PostgreSQL."""
    wanted = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    address: str = request.getfixturevalue(wanted)
    return address


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database; the test runs twice, once on each engine."""
    opened = Database(database_url)
    yield opened
    opened.close()
