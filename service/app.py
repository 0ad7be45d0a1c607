"""The web process: mounts the doors and the sandbox. That a worker may run beside them is the caller's to say."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from service.api.addresses import without_redirects
from service.api.context import Context
from service.api.from_vendors.callbacks import ROUTE as CALLBACKS
from service.api.headers import RequestIds, secured
from service.api.limits import RequestLimits
from service.api.middleware import PassingFaults, Straight
from service.api.operating.metrics import Measured
from service.api.problems import HANDLERS, handlers_beside_postgres
from service.api.routes import ROUTES
from service.kit.clock import Clock
from service.kit.system_clock import system_clock
from service.media.erase import drop_staged
from service.resources import Resources, open_resources
from service.sandbox.app import create as create_sandbox
from service.settings import Settings
from service.vendor_calls.media_link import open_link

Beside = Callable[[Resources], AbstractAsyncContextManager[object]]


def create(settings: Settings, *, beside: Beside | None = None, clock: Clock = system_clock) -> Starlette:
    """Build the application. Its resources open when it starts and close when it ends.

    `beside` is entered with the same resources and left before they close: a worker, where one process does both.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            resources = await stack.enter_async_context(
                open_resources(settings, clock, processes=settings.web_concurrency)
            )
            await asyncio.to_thread(drop_staged, None, clock())  # of a process that was killed here before
            sandbox = create_sandbox(resources.sandbox, clock)
            stack.push_async_callback(sandbox.aclose)
            sandbox_mount.app = sandbox.app
            app.state.context = context_from(resources)
            if beside is not None:
                await stack.enter_async_context(beside(resources))
            yield

    sandbox_mount = Mount("/sandbox", app=Starlette())
    app = Starlette(
        routes=[*ROUTES, sandbox_mount],
        exception_handlers=HANDLERS if settings.is_sqlite else handlers_beside_postgres(),
        middleware=[
            Middleware(Measured),
            Middleware(RequestIds),
            Middleware(Straight, CALLBACKS),
            Middleware(PassingFaults),
        ],
        lifespan=lifespan,
    )
    return secured(without_redirects(app), https=(settings.public_url or "").startswith("https://"))


def context_from(resources: Resources) -> Context:
    """Pick from the process's resources what the API's handlers need."""
    return Context(
        database=resources.database,
        clock=resources.clock,
        store=resources.store,
        tokens=resources.tokens,
        media_links=resources.links.media_links["live"],
        open_link=open_link,
        sealer=resources.sealer,
        guard=resources.guard,
        policy=resources.policy,
        intake=resources.intake,
        shutdown=resources.shutdown,
        rooms=resources.rooms,
        limits=RequestLimits(resources.settings.api_per_minute),
        trusted_proxy_hops=resources.settings.trusted_proxy_hops,
        sandbox_base=resources.settings.sandbox_base,
        metrics_token=resources.settings.metrics_token,
    )
