"""`relay sandbox`: the vendors' twins alone, to write a client of theirs against."""

import asyncio
import os
import secrets
import sys

from starlette.applications import Starlette
from starlette.routing import Mount

from service.cli.serving import free_socket, serving, url_of
from service.sandbox.app import SandboxSettings, create


def run_sandbox(port: int) -> None:
    """The twins answer until interrupted. Key, secret and callback address are printed, or taken from SANDBOX_…."""
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
            aippim_webhook_secret=webhook_secret,
            aippim_callback_url=lambda: callback_url,
        )
    )
    bound = free_socket(port)
    async with serving(Starlette(routes=[Mount("/sandbox", app=twins.app)]), bound):
        sys.stdout.write(
            f"AIPPIM   {url_of(bound)}/sandbox/aippim\nASC      {url_of(bound)}/sandbox/asc/v1\n"
            f"API key  {key}\nAIPPIM callbacks are signed with {webhook_secret}\n"
            f"and go to {callback_url or 'nowhere: set SANDBOX_CALLBACK_URL'}\n"
        )
        sys.stdout.flush()
        try:
            await asyncio.Event().wait()
        finally:
            await twins.aclose()
