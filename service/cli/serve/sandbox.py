"""`relay sandbox`: the vendors' twins alone, to write a client of theirs against."""

import asyncio
import os
import secrets
import sys
from typing import Annotated

import typer
from starlette.applications import Starlette
from starlette.routing import Mount

from service.api.addresses import without_redirects
from service.cli.http.serving import free_socket, serving, url_of
from service.sandbox.app import TWINS, SandboxSettings, create


def command(port: Annotated[int, typer.Option(help="Port on loopback.")] = 8010) -> None:
    """Serve the twins until interrupted. Print key, secret and callback address, which SANDBOX_… may set."""
    try:
        asyncio.run(_serve(port))
    except KeyboardInterrupt:
        sys.stdout.write("\n")


async def _serve(port: int) -> None:
    key = os.environ.get("SANDBOX_API_KEY") or f"sandbox_{secrets.token_hex(8)}"
    webhook_secret = os.environ.get("SANDBOX_WEBHOOK_SECRET") or secrets.token_hex(16)
    callback_url = os.environ.get("SANDBOX_CALLBACK_URL")
    twins = create(
        SandboxSettings(
            secret=secrets.token_hex(16),
            api_key=key,
            webhook_secret=lambda _: webhook_secret,
            callback_url=lambda _: callback_url,
        )
    )
    bound = free_socket(port)
    async with serving(without_redirects(Starlette(routes=[Mount("/sandbox", app=twins.app)])), bound):
        sys.stdout.write(
            f"{addresses(url_of(bound))}API key  {key}\nCallbacks, where signed, are signed with {webhook_secret}\n"
            f"and go to {callback_url or 'nowhere: set SANDBOX_CALLBACK_URL'}\n"
        )
        sys.stdout.flush()
        try:
            await asyncio.Event().wait()
        finally:
            await twins.aclose()


def addresses(url: str) -> str:
    """Return a line for each twin."""
    return "".join(
        f"{twin.name:<8} {url}/sandbox/{twin.name}{twin.base}{twin.note and f', {twin.note}'}\n" for twin in TWINS
    )
