"""The order in which tests begin."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from tests.order import shared_out

LONG = ["journeys/a.py", "journeys/a.py", "journeys/b.py", "cli/test_dev.py", "journeys/c.py"]
SHORT = [f"{folder}/test_{n}.py" for folder in ("api", "kit") for n in range(20)]


@dataclass(frozen=True)
class Named:
    """All of an item that counts here."""

    path: Path


def shared(processes: int) -> list[str]:
    names = [*SHORT[:20], *LONG, *SHORT[20:]]
    items = [cast("pytest.Item", Named(Path(name))) for name in names]
    return [str(item.path) for item in shared_out(items, processes)]


def test_all_but_the_last_share_begin_with_long_files() -> None:
    found = shared(3)
    assert found[:3] == ["journeys/a.py", "journeys/a.py", "cli/test_dev.py"]
    assert found[15:17] == ["journeys/b.py", "journeys/c.py"]
    assert [name for name in found if name not in LONG] == SHORT


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 30, 100])
def test_no_test_is_left_out_or_doubled(processes: int) -> None:
    assert sorted(shared(processes)) == sorted(LONG + SHORT)


def test_one_process_keeps_the_order() -> None:
    assert shared(1) == [*SHORT[:20], *LONG, *SHORT[20:]]
