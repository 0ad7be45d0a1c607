"""The version of what runs: the checkout's own word for it."""

import tomllib
from importlib import metadata
from pathlib import Path

_PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def version() -> str:
    """As `pyproject.toml` has it; as installed, where the package is not in a checkout."""
    if not _PROJECT.is_file():
        return metadata.version("verdict-relay")
    found: str = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["version"]
    return found
