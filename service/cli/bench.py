"""`relay bench`: what the product costs on this machine."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from service.cli.serving import free_socket, serving, url_of


@asynccontextmanager
async def serve(make: Callable[[str], ASGIApp]) -> AsyncIterator[str]:
    """Serve on loopback, as every command does, the application that is made for the address."""
    bound = free_socket()
    url = url_of(bound)
    async with serving(make(url), bound):
        yield url
