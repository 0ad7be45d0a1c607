"""The short way to the one route at which far more comes in than at all others: past the router and its wrappers.

Those cost more than what the handler itself does. It is the same route, and its answers are the same.
"""

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.faults import end_of_fault
from service.api.problems import on_caller_error, on_disconnect
from service.kit.errors import CallerError


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
