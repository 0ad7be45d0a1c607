"""What all families share: bytes that can be sliced without being read whole, and a bound on patience."""

from collections.abc import Iterator
from mmap import mmap

Bytes = bytes | mmap
MOST_STEPS = 200_000  # 100 MB of empty parts would keep a reader busy for many seconds; an honest file has far fewer


class TooManyParts(ValueError):  # noqa: N818 - what is wrong with the file
    """The file claims or has more parts than an honest one."""


def bounded() -> Iterator[int]:
    """Count the steps of a loop. Raises `TooManyParts` where an honest file would have ended long ago."""
    yield from range(MOST_STEPS)
    raise TooManyParts
