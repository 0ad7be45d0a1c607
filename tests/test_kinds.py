"""The marks that tests get by where they stand and what they ask for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.kinds import mark


class Named:
    """All of an item that counts here."""

    def __init__(self, path: str, asked: Sequence[str], chosen: Mapping[str, str] | None) -> None:
        self.path, self.fixturenames, self.marks = Path(path), asked, set[str]()
        if chosen is not None:
            self.callspec = SimpleNamespace(params=chosen)

    def add_marker(self, mark: str | pytest.MarkDecorator) -> None:
        self.marks.add(mark if isinstance(mark, str) else mark.name)

    def get_closest_marker(self, name: str) -> None:
        """It says nothing of itself."""


@pytest.mark.parametrize(
    ("path", "asked", "chosen", "marks"),
    [
        ("tests/kit/test_a.py", ["tmp_path"], None, set()),
        ("tests/kit/test_a.py", ["database", "database_url"], {"database_url": "sqlite"}, set()),
        ("tests/kit/test_a.py", ["database", "database_url"], {"database_url": "postgresql"}, {"postgresql"}),
        ("tests/house/test_a.py", ["built", "opened"], {"opened": "postgresql"}, {"postgresql"}),
        ("tests/kit/test_a.py", ["scheme"], {"scheme": "postgresql"}, set()),
        ("tests/kit/test_a.py", ["postgres_url"], None, {"postgresql"}),
        ("tests/journeys/test_a.py", ["sqlite_url"], None, {"journey", "timeout"}),
        (
            "tests/journeys/test_a.py",
            ["both", "sqlite_url", "postgres_url"],
            None,
            {"journey", "timeout", "postgresql"},
        ),
    ],
)
def test_marks(path: str, asked: list[str], chosen: dict[str, str] | None, marks: set[str]) -> None:
    item: Any = Named(path, asked, chosen)
    mark([cast("pytest.Item", item)])
    assert item.marks == marks
