"""`docs/adding-a-detector.md` is followed to the letter, in a copy of the tree, and its vendor works like any other."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli.serve.sandbox import addresses
from service.kit.schema.migrate import upgrade
from service.sandbox.app import TWINS
from service.vendors import VENDORS
from tests.journeys import processes
from tests.journeys.customer import Customer, customer
from tests.journeys.processes import Deployment, deployment

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = _ROOT / "docs" / "adding-a-detector.md"
_STEP = re.compile(r"^`([\w/.-]+)`:[^\n]*\n((?:\n```\w+\n.*?^```\n)+)", flags=re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
_COPIED = ("service", "migrations", "tests", "docs", "README.md", "alembic.ini", "pyproject.toml")
_SECONDS = 110

pytestmark = pytest.mark.timeout(240)


def _steps() -> list[tuple[str, str, str]]:
    """Each block of the page that changes a file: which file, the block's language, the block."""
    steps = _STEP.findall(_PAGE.read_text(encoding="utf-8"))
    return [(name, language, text) for name, blocks in steps for language, text in _BLOCK.findall(blocks)]


def _follow(tree: Path) -> list[Path]:
    """Every step of the page is done in `tree`; the files that are new."""
    made = []
    for name, language, text in _steps():
        path = tree / name
        if language == "diff":
            path.write_text(_patched(path.read_text(encoding="utf-8"), text), encoding="utf-8")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            made.append(path)
    return made


def _patched(source: str, diff: str) -> str:
    """`source` with the lines that are marked `+`, behind those that are not; at the end where none stand before."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line.startswith(" "))
    added = "".join(line[1:] for line in lines if line.startswith("+"))
    if not before:
        return f"{source}\n{added}"
    assert source.count(before) == 1, f"the page says that this stands there, once:\n{before}"
    return source.replace(before, before + added)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout with the page's vendor in it."""
    tree = tmp_path_factory.mktemp("fifth")
    for name in _COPIED:
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name)  # with what is compiled: the times of the files stay
        else:
            shutil.copy2(source, tree / name)
    _follow(tree)
    return tree


def _run(tree: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH"))}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tree,
        env=own | environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def test_the_page_adds_one_adapter_one_test_and_one_twin_and_else_only_lines() -> None:
    made = {name for name, language, _ in _steps() if language == "python"}
    assert {name for name in made if not name.startswith("service/vendors/echo/")} == {
        "tests/vendors/test_echo.py",
        "service/sandbox/echo.py",
    }
    added = [name for name, language, _ in _steps() if language == "diff"]
    assert set(added) == {
        "service/vendors/__init__.py",
        "service/sandbox/app.py",
        "service/billing/prices.toml",
        "docs/settings.md",
    }
    lines = [line for _, language, text in _steps() if language == "diff" for line in text.splitlines()]
    assert not [line for line in lines if line.startswith("-")]


def test_every_vendor_has_a_twin_of_its_name_and_an_address_in_relay_sandbox() -> None:
    assert {twin.name for twin in TWINS} >= set(VENDORS)
    told = addresses("http://here").splitlines()
    assert [line.split()[0] for line in told] == [twin.name for twin in TWINS]
    assert "pex      http://here/sandbox/pex, client id sandbox" in told
    assert "asc      http://here/sandbox/asc/v1" in told


def test_the_pages_own_tests_pass_and_its_price_is_listed(tree: Path) -> None:
    told = _run(tree, "pytest", "tests/vendors/test_echo.py", "tests/billing/test_prices.py", "-p", "no:cacheprovider")
    assert told.returncode == 0, told.stdout[-3000:]


def test_its_settings_are_documented(tree: Path) -> None:
    documented = [line for line in (tree / "docs" / "settings.md").read_text().splitlines() if "`ECHO_" in line]
    named = {name for line in documented for name in re.findall(r"`ECHO_([A-Z_]+)`", line)}
    program = "from service.vendors import VENDORS; print(*VENDORS['echo'].settings.model_fields)"
    (tree / "fields.py").write_text(program)
    assert named == {name.upper() for name in _run(tree, "fields").stdout.split()}


def test_its_code_is_clean_and_keeps_to_the_floors(tree: Path) -> None:
    made = [str(tree / name) for name, language, _ in _steps() if language == "python"]
    for told in (
        _run(tree, "ruff", "check", "--no-cache", *made, "service/vendors", "service/sandbox/app.py"),
        _run(tree, "ruff", "format", "--no-cache", "--check", *made, "service/vendors", "service/sandbox/app.py"),
    ):
        assert told.returncode == 0, told.stdout + told.stderr
    (tree / "floors.py").write_text(
        "from importlinter.cli import lint_imports\nraise SystemExit(lint_imports(no_cache=True))\n"
    )
    told = _run(tree, "floors")
    assert told.returncode == 0, told.stdout[-3000:]


@pytest.fixture(scope="module")
def one(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run web and worker of the copy for all tests of this file that ask, on SQLite."""
    folder = tmp_path_factory.mktemp("running")
    url = f"sqlite:///{folder / 'relay.db'}"
    upgrade(url)
    with pytest.MonkeyPatch.context() as patch, deployment(url, folder) as one:
        patch.setattr(processes, "ROOT", tree)
        one.forked = False  # what could be copied has not loaded that tree
        one.process("web", "--with-worker").start()
        yield one


async def test_a_detection_asks_it_beside_the_others(one: Deployment, tmp_path: Path) -> None:
    await one.ready()
    async with customer(one.url, await one.key("test")) as client:
        by = Customer(client)
        asked = await by.ask(await by.upload(tmp_path, "song.ai.wav"))
        named = await by.ask(await by.upload(tmp_path, "song.human.wav"), detectors=["echo"])
        all_of_them, alone = await by.ended(asked), await by.ended(named)
        offered = (await client.get("/v1/detectors")).json()["data"]
    runs = {run["detector"]: run for run in all_of_them["detectors"]}
    assert {name.partition("/")[0] for name in runs} == {*VENDORS, "echo"}
    assert {run["verdict"] for run in runs.values()} == {"ai_generated"}
    assert all_of_them["verdict"] == "ai_generated"
    (run,) = alone["detectors"]
    assert (run["vendor"], run["verdict"], run["verdict_raw"]) == ("echo", "no_ai_detected", "person")
    (line,) = [line for line in offered if line["vendor"] == "echo"]
    assert (line["detector"], line["configured"], line["answers"]) == ("echo", True, "at_once")
    assert (line["formats"], line["limits"]["concurrency"]) == (["flac", "mp3", "wav"], 2)


async def test_the_doctor_knocks_with_the_key_of_the_environment(one: Deployment, tree: Path) -> None:
    await one.ready()
    given = {"ECHO_API_KEY": "a stranger's", "ECHO_BASE_URL": f"{one.url}/sandbox/echo"}
    told = _run(tree, "service", "doctor", "--json", **(one.environment | given))
    found = {line["name"]: line for line in json.loads(told.stdout)}
    assert "refuses ECHO_API_KEY (401)" in found["echo"]["sentence"]
    assert found["live vendors"]["sentence"] == "live keys ask echo"
    wrong = _run(tree, "service", "doctor", **(one.environment | {"ECHO_CONCURRENCY": "many"}))
    assert "ECHO_CONCURRENCY: " in wrong.stdout
