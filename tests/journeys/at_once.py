"""A journey on both databases at once: nearly all of its time is waiting, for leases, plans and deadlines."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

Place = TypeVar("Place")


async def on_both(
    journey: Callable[[Place, Path], Awaitable[None]], addresses: Mapping[str, Place], folder: Path
) -> None:
    """The journey came to its end on each database, in a folder of its own. What it raised says on which it did not."""
    for engine in addresses:
        (folder / engine).mkdir()
    ended = await asyncio.gather(
        *(_on(engine, journey, address, folder / engine) for engine, address in addresses.items()),
        return_exceptions=True,  # one that fails does not break the other off: which of them fail is the news
    )
    failed = [each for each in ended if each is not None]
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise BaseExceptionGroup("on several databases", failed)


async def _on(engine: str, journey: Callable[[Place, Path], Awaitable[None]], address: Place, folder: Path) -> None:
    try:
        await journey(address, folder)
    except BaseException as error:  # `pytest.fail` raises no `Exception`
        error.add_note(f"on {engine}")
        raise
