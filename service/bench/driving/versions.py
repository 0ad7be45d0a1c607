"""Another version of the product to compare with: a commit's files in a temporary folder, with its own libraries."""

import io
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from service.bench.driving.generator import BenchError
from service.bench.driving.processes import Version

_ROOT = Path(__file__).parents[3]
_PINS = "requirements.txt"
_SECONDS = 900


@contextmanager
def checked_out(commit: str) -> Iterator[Version]:
    """Give the version of this commit. Raise `BenchError` where there is no such commit, or no git.

    Where its pins are those of this version, this version's libraries serve; else an environment is made for it.
    """
    name = _git("rev-parse", "--short", "--verify", f"{commit}^{{commit}}").decode().strip()
    with tempfile.TemporaryDirectory(prefix="relay-bench-version-") as place:
        folder = Path(place)
        with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", name))) as archive:
            archive.extractall(folder / "files", filter="data")
        files = folder / "files"
        same = (files / _PINS).read_bytes() == (_ROOT / _PINS).read_bytes()
        yield Version(name, sys.executable if same else _environment(folder / "environment", files), files)


def _environment(place: Path, files: Path) -> str:
    """Return the Python of a new environment with what the version pins."""
    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    install = ("-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check", "--no-input")
    _run([python, *install, "--require-hashes", "-r", str(files / _PINS)])
    return python


def _git(*words: str) -> bytes:
    return _run(["git", "-C", str(_ROOT), *words])


def _run(command: Sequence[str]) -> bytes:
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=_SECONDS)  # noqa: S603 - our own
    except FileNotFoundError as error:
        raise BenchError(f"{command[0]} is not installed") from error
    if done.returncode:
        raise BenchError(f"{' '.join(command[:4])}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
