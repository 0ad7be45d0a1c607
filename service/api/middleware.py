"""What is around the operations: the end of an answer that a temporary fault broke off, and the short way to callbacks.

The short way is for the one route at which far more comes in than at all others. It goes past the router and its
wrappers, which cost more than the handler itself. It is the same route, and its answers are the same.
"""

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.context import Context
from service.api.problems import FAULTS, on_caller_error, on_disconnect
from service.kit.errors import CallerError
from service.kit.faults import Fault, fault_of


class PassingFaults:
    """Middleware in plain ASGI, around the handlers: for what they cannot tell any more, and for the end of it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. If a fault breaks an answer off in the middle, end it there: the server hangs up."""
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, note)
        except Exception as error:
            if not started or fault_of(error) is None:
                raise
            FAULTS.failed(error)
        end_of_fault(scope)


def end_of_fault(scope: Scope) -> None:
    """Note that a fault is over, if one was there and the database has answered since."""
    if not FAULTS.fails:
        return
    context: Context | None = getattr(scope["app"].state, "context", None)
    if context is None:
        return
    database = context.database
    good_at = database.good_at if FAULTS.fault is Fault.UNAVAILABLE else database.written_at
    if good_at > FAULTS.failed_at:
        FAULTS.well()


class Straight:
    """Middleware in plain ASGI: what fits `route` goes to its endpoint, everything else the usual way.

    The endpoint answers for its own failures; of what it raises, refusals are told here as everywhere.
    """

    def __init__(self, app: ASGIApp, route: Route) -> None:
        self.app = app
        self.route = route
        self._begins = route.path.partition("{")[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        if scope["type"] != "http" or not scope["path"].startswith(self._begins):
            await self.app(scope, receive, send)
            return
        match, child_scope = self.route.matches(scope)
        if match is not Match.FULL:
            await self.app(scope, receive, send)
            return
        scope.update(child_scope)
        scope["route"] = self.route
        request = Request(scope, receive, send)
        try:
            response = await self.route.endpoint(request)
        except CallerError as error:
            response = await on_caller_error(request, error)
        except ClientDisconnect as error:
            response = await on_disconnect(request, error)
        await response(scope, receive, send)
        end_of_fault(scope)
