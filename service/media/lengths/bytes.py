"""What all families share: bytes that can be sliced without being read whole, and a bound on patience."""

from mmap import mmap
from typing import Final, SupportsIndex, overload

MOST_STEPS: Final = 1_000_000  # about a second; an honest file of 100 MB has far fewer, or plays for six hours


class TooManyParts(ValueError):  # noqa: N818 - what is wrong with the file
    """The file claims or has more parts than an honest one."""


class Bytes:
    """A file's bytes, and how many steps may still be taken over it: one number for all loops of its reader.

    Each look at the bytes is a step, so that no loop that looks at them can go on for ever. A loop over what was
    unpacked at once takes its steps by itself. Beyond the last step `TooManyParts` is raised.
    """

    def __init__(self, data: bytes | mmap, steps: int = MOST_STEPS) -> None:
        self.left = steps
        self._data = data

    def take(self, steps: int) -> None:
        """Count `steps`. Raises `TooManyParts` where an honest file would have ended long ago."""
        self.left -= steps
        if self.left < 0:
            raise TooManyParts

    def find(self, wanted: bytes, begin: int = 0, end: int | None = None) -> int:
        """Return where `wanted` begins first, from `begin` on; -1 if it does not."""
        self.take(1)
        return self._data.find(wanted, begin, len(self._data) if end is None else end)

    def __len__(self) -> int:
        return len(self._data)

    @overload
    def __getitem__(self, place: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> bytes: ...
    def __getitem__(self, place: SupportsIndex | slice) -> int | bytes:
        self.take(1)
        return self._data[place]
