"""The documents say what is so: links lead somewhere, and what the code offers is written down, and nothing else.

How well they say it is not looked at here.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.core import TyperGroup

from service.cli.commands import COMMANDS, load
from service.events.types import EventType
from service.kit.security.signatures import new_secret, sign
from service.kit.system_clock import system_clock
from service.runs.state.lifecycle import RunState, RunTransition
from service.sandbox.script import WORDS
from service.settings import Settings
from service.vendors import VENDORS
from tests.house.draw_states import PAGE, RUN, redrawn
from tests.house.test_words import SAY_INSTEAD

_ROOT = Path(__file__).resolve().parents[2]
_DOCS = _ROOT / "docs"
_SERVICE = _ROOT / "service"
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_READ_TWICE = re.compile(
    r"\b(?:whoever|nobody|somebody|whom|(?:to|for|of|with|by) who|as it should be|(?<!there )(?:is|are|was|were) no)\b",
    flags=re.IGNORECASE,
)
_BETWEEN_OWN_PROCESSES = {"RELAY_WITH_WORKER"}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _pages() -> list[Path]:
    """Every Markdown file of the checkout."""
    found = (path for path in _ROOT.rglob("*.md") if not _is_made(path.relative_to(_ROOT)))
    return sorted(found)


def _is_made(path: Path) -> bool:
    return path.parts[0] in ("build", "data", "node_modules") or any(part.startswith(".") for part in path.parts)


def _prose(path: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", _read(path), flags=re.DOTALL | re.MULTILINE)


def _targets(path: Path) -> Iterator[tuple[str, Path, str]]:
    """Each relative link of the page: as written, the file it leads to, and the heading."""
    for link in _LINK.findall(_prose(path)):
        if not re.match(r"[a-z]+:", link):
            place, _, heading = link.partition("#")
            yield link, (path.parent / place).resolve() if place else path, heading


def _headings(path: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", _prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def _spans(text: str) -> set[str]:
    """What stands between single backticks."""
    return set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))


def _blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", _read(path), flags=re.DOTALL | re.MULTILINE)


def _cells(path: Path) -> list[list[str]]:
    """The rows of the page's tables."""
    rows = [line.strip().strip("|").split("|") for line in _read(path).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows]


@pytest.mark.parametrize("page", _pages(), ids=lambda path: str(path.relative_to(_ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    lost = [link for link, file, heading in _targets(page) if not file.exists() or not _has(file, heading)]
    assert lost == []


def _has(file: Path, heading: str) -> bool:
    return not heading or heading in _headings(file)


@pytest.mark.parametrize("page", _pages(), ids=lambda path: str(path.relative_to(_ROOT)))
def test_no_word_stands_in_the_prose_that_makes_a_sentence_hard_to_read(page: Path) -> None:
    assert _READ_TWICE.findall(_prose(page)) == []


def test_every_document_is_reached_from_the_readme() -> None:
    waiting, seen = [_ROOT / "README.md"], set[Path]()
    while waiting:
        page = waiting.pop()
        if page not in seen and page.suffix == ".md" and page.exists():
            seen.add(page)
            waiting += [file for _, file, _ in _targets(page)]
    assert seen >= set(_DOCS.rglob("*.md"))


def test_the_readme_is_one_screen() -> None:
    assert len(_read(_ROOT / "README.md").splitlines()) <= 70


def test_the_readme_sets_up_as_the_makefile_does() -> None:
    makefile = _read(_ROOT / "Makefile").replace("$(PIP) ", "pip ").replace("--quiet ", "")
    commands = _blocks(_ROOT / "README.md", "sh")[1]
    installs = re.findall(r"pip install [^\n]+", commands)
    assert len(installs) == 2
    assert [line for line in installs if line not in makefile] == []
    assert [line for line in ("relay demo", "pytest -n 4") if line not in commands or line not in makefile] == []


def _commands() -> Iterator[str]:
    for name in COMMANDS:
        command = load(name)
        inner = command.commands if isinstance(command, TyperGroup) else {"": command}
        yield from (f"relay {name} {each}".rstrip() for each, known in inner.items() if not known.hidden)


def test_every_command_is_mentioned() -> None:
    text = "\n".join(_read(page) for page in _pages())
    commands = list(_commands())
    assert "relay keys create" in commands
    # A list names `relay` once: "`relay demo`, `web`".
    assert [each for each in commands if each not in text and f"`{each.removeprefix('relay ')}`" not in text] == []


def test_every_event_type_is_described() -> None:
    assert {str(kind) for kind in EventType} - _spans(_read(_DOCS / "webhooks.md")) == set()


def test_event_types_that_nobody_records_are_marked_reserved() -> None:
    rooms = [path for path in _SERVICE.rglob("*.py") if path != _SERVICE / "events" / "types.py"]
    source = "\n".join(_read(path) for path in rooms)
    sent = {str(kind) for kind in EventType if f"EventType.{kind.name}" in source}
    rows = [row for row in _cells(_DOCS / "webhooks.md") if row[-1] in ("sent", "reserved")]
    said = {kind: row[-1] for row in rows for kind in _spans(row[0])}
    assert {kind for kind, word in said.items() if word == "sent"} == sent


def test_the_example_for_receivers_takes_ours_and_refuses_what_was_altered() -> None:
    names: dict[str, Callable[..., int]] = {}
    exec(_blocks(_DOCS / "webhooks.md", "python")[0], names)  # noqa: S102 - our own document
    kept: list[str] = []
    secret, body, now = new_secret(), b'{"type":"detection.completed"}', int(system_clock().timestamp())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, "evt_1", now, body),
    }

    def store_once(event_id: str, _event: object) -> None:
        kept.append(event_id)

    assert names["take"](secret, body, headers, store_once) == 204
    assert names["take"](secret, body.replace(b"completed", b"failed"), headers, store_once) == 400
    assert names["take"](secret, body, {**headers, "webhook-signature": "v1,é"}, store_once) == 400
    assert kept == ["evt_1"]


def test_every_word_of_the_sandbox_is_described_and_no_other() -> None:
    words = _read(_DOCS / "sandbox.md").split("## Words")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([^`]+)` \|", words, flags=re.MULTILINE)) == WORDS


def test_the_glossary_has_every_synonym_that_is_kept_out() -> None:
    kept_out = {word.strip() for row in _cells(_DOCS / "glossary.md") for word in row[-1].split(",")}
    assert set(SAY_INSTEAD) - kept_out == set()


def test_the_states_are_drawn_from_the_table() -> None:
    assert redrawn(_read(PAGE)) == _read(PAGE), "run: python -m tests.house.draw_states"


def test_another_table_gives_another_drawing() -> None:
    changed = {**RUN.table, (RunState.SOURCING, RunTransition.SOURCE_READY): RunState.WAITING}
    other = redrawn(_read(PAGE), [replace(RUN, table=changed)])
    assert "sourcing --> waiting: source_ready" in other
    assert "sourcing --> queued" not in other


def _settings() -> dict[str, str]:
    """Every name the settings are read from, with its default as the document writes it."""
    found = {name: field for name, field in Settings.model_fields.items() if name not in Settings.groups}
    for vendor in VENDORS.values():
        prefix = vendor.settings.model_config.get("env_prefix", "")
        found |= {f"{prefix}{name}": field for name, field in vendor.settings.model_fields.items()}
    return {name.upper(): _shown(field.default) for name, field in found.items()}


def _shown(default: object) -> str:
    match default:
        case None:
            return "none"
        case ():
            return "empty"
        case bool():
            return f"`{str(default).lower()}`"
        case tuple():
            return "`" + ",".join(str(value) for value in default) + "`"
    return f"`{default}`"


def _documented() -> dict[str, str]:
    rows = [row for row in _cells(_DOCS / "settings.md") if len(row) == 4]
    return {name: row[1] for row in rows for name in re.findall(r"`([A-Z_]+)`", row[0])}


def test_every_setting_is_documented_with_its_default_and_nothing_else_is() -> None:
    assert _documented() == _settings()


def _read_elsewhere() -> set[str]:
    """Names that some file takes from the environment without the settings."""
    found = set()
    for path in [*_SERVICE.rglob("*.py"), *(_ROOT / "migrations").rglob("*.py")]:
        for node in ast.walk(ast.parse(_read(path))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Attribute(attr="environ")), args=[ast.Constant(value=name), *_]
                ):
                    found.add(name)
                case ast.Subscript(value=ast.Attribute(attr="environ"), slice=ast.Constant(value=name)):
                    found.add(name)
    return {str(name) for name in found}


def test_names_read_without_the_settings_are_documented_too() -> None:
    elsewhere = _read_elsewhere() - _BETWEEN_OWN_PROCESSES
    assert "SANDBOX_API_KEY" in elsewhere
    assert elsewhere - _spans(_read(_DOCS / "settings.md")) == set()


@pytest.mark.parametrize("page", sorted(_DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(_DOCS)))
def test_files_that_documents_name_exist(page: Path) -> None:
    rooms = {path.name for path in _SERVICE.iterdir() if path.is_dir()}
    named = [span for span in _spans(_prose(page)) if re.fullmatch(r"[a-z_]+(/[a-z_]+)+", span)]
    ours = [span for span in named if span.split("/")[0] in rooms]
    gone = [span for span in ours if not (_SERVICE / f"{span}.py").exists() and not (_SERVICE / span).exists()]
    assert gone == []
