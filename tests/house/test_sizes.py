"""What makes a codebase unpleasant is its few giants: long files, full folders, functions with many branches."""

import ast
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from tests.house.measures import complex_functions, full_folders

_ROOT = Path(__file__).resolve().parents[2]
_LONGEST_FILE = 350
MOST_FILES, MOST_COMPLEXITY = 15, 12


def _files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (_ROOT / folder).rglob("*.py"))


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _function_lengths(path: Path) -> list[int]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]


@pytest.mark.parametrize("folder", ["service", "tests", "migrations"])
def test_no_file_is_a_giant(folder: str) -> None:
    sizes = {str(path.relative_to(_ROOT)): _lines(path) for path in _files(folder)}
    assert sizes
    assert {name: size for name, size in sizes.items() if size > _LONGEST_FILE} == {}


def test_no_folder_is_full() -> None:
    assert full_folders(MOST_FILES) == {}


def test_no_function_has_too_many_branches() -> None:
    assert complex_functions(MOST_COMPLEXITY) == {}


def test_the_usual_sizes_are_on_record(record_property: Callable[[str, object], None]) -> None:
    """Reported with `--junit-xml`, not asserted: the aims are 90 lines a file and 10 a function at the median."""
    files = [path for path in _files("service") if path.name != "__init__.py"]
    functions = [length for path in files for length in _function_lengths(path)]
    assert files
    assert functions
    record_property("median lines of a file", median(_lines(path) for path in files))
    record_property("median lines of a function", median(functions))
    record_property("share of functions over 30 lines", sum(length > 30 for length in functions) / len(functions))
