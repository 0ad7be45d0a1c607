"""What kind a test is, so that `-m` can leave it out: `make test-fast` leaves out journeys and PostgreSQL."""

from collections.abc import Iterable

import pytest

_OF_POSTGRESQL = {"postgres_url", "postgres_folder"}
_JOURNEY_SECONDS = 300  # processes start slowly on a busy machine
_OF_BOTH = ("database_url", "opened")  # fixtures that are `postgresql` the second time


def mark(items: Iterable[pytest.Item]) -> None:
    """Mark journeys, and what needs PostgreSQL, by where they stand and what they ask for: nobody has to remember.

    A journey has more time than other tests, unless it says how much it has.
    """
    for item in items:
        if "journeys" in item.path.parts:
            item.add_marker("journey")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_JOURNEY_SECONDS))
        if _needs_postgresql(item):
            item.add_marker("postgresql")


def _needs_postgresql(item: pytest.Item) -> bool:
    chosen = item.callspec.params if hasattr(item, "callspec") else {}
    asked = getattr(item, "fixturenames", ())
    return "postgresql" in map(chosen.get, _OF_BOTH) or not _OF_POSTGRESQL.isdisjoint(asked)
