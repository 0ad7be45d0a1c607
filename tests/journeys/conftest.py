"""What journeys may ask for beside what every test may."""

import pytest


@pytest.fixture
def both(sqlite_url: str, postgres_url: str) -> dict[str, str]:
    """The addresses of two migrated databases, by engine: for a journey that takes both ways at once."""
    return {"sqlite": sqlite_url, "postgresql": postgres_url}
