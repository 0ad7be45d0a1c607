"""Who calls, and whether they may: the bearer key of every `/v1` request. RFC 6750.

Each request counts against its key. Each try without a valid one counts against the address it came from, and only
such tries: whoever holds a valid key is never shut out by a neighbour behind the same address.
"""

from datetime import datetime

import structlog
from starlette.requests import Request

from service.accounts.api_keys import Caller, authenticate, note_use
from service.api.client_address import client_address, neighbourhood
from service.api.context import Context, context_of
from service.api.limits import acquire
from service.kit.errors import CallerError
from service.kit.faults import fault_of

_CHALLENGE = 'Bearer realm="verdict-relay"'
_INVALID = f'{_CHALLENGE}, error="invalid_token"'
_log = structlog.get_logger()


async def require(request: Request, scope: str) -> Caller:
    """Whoever sent this request, known by a valid key that carries `scope`.

    Raises `CallerError`: 401 where there is no key or none that is valid, 403 where it lacks the scope, 429 after too
    many requests. The caller is also at `request.state.caller`.
    """
    context, now = context_of(request), context_of(request).clock()
    key = _bearer(request)
    caller = await _known(request, context, key, now) if key else None
    if caller is None:
        raise _stranger(request, context, now, gave_key=bool(key))
    acquire(request, context.limits.keys, caller.key_id, now)
    if not caller.use_is_noted:
        await _note_use(context, caller, now)
    request.state.caller = caller
    if not caller.may(scope):
        raise CallerError(
            "missing_scope",
            f"This API key lacks the scope {scope}.",
            status=403,
            headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'},
        )
    return caller


async def _known(request: Request, context: Context, key: str, now: datetime) -> Caller | None:
    """Whose key it is. An address that has tried too often does not reach the database: `None` without a look."""
    address = neighbourhood(client_address(request, context.trusted_proxy_hops))
    if not context.limits.may_look_up(key, address, now):
        return None
    caller = await context.database.read(authenticate, key, now)
    context.limits.note(key, good=caller is not None)
    return caller


async def _note_use(context: Context, caller: Caller, now: datetime) -> None:
    """It is noted when this key was used; where nothing can be written, what only reads goes on without."""
    try:
        await context.database.write(note_use, caller.key_id, now)
    except Exception as error:
        fault = fault_of(error)
        if fault is None or not fault.of_writing:
            raise


def _bearer(request: Request) -> str:
    """The key that was sent; empty where there is no such header, or more than one."""
    given = request.headers.getlist("authorization")
    scheme, _, key = given[0].strip().partition(" ") if len(given) == 1 else ("", "", "")
    return key.strip() if scheme.lower() == "bearer" else ""


def _stranger(request: Request, context: Context, now: datetime, *, gave_key: bool) -> CallerError:
    """The 401, counted against the address and written to the log. Raises the 429 instead once there were too many."""
    address = client_address(request, context.trusted_proxy_hops)
    acquire(request, context.limits.strangers, neighbourhood(address), now)
    _log.info("auth.refused", client=address, gave_key=gave_key)
    if gave_key:
        return _unauthenticated("The API key is unknown, revoked or expired.", _INVALID)
    return _unauthenticated("Send one header `Authorization: Bearer vr_…` with your API key.", _CHALLENGE)


def _unauthenticated(detail: str, challenge: str) -> CallerError:
    return CallerError("unauthenticated", detail, status=401, headers={"WWW-Authenticate": challenge})
