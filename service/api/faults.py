"""Temporary faults of the service, in every operation: logged when they begin and when they end."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.context import Context
from service.api.problems import FAULTS
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
