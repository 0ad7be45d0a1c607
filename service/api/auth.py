"""Authentication by the bearer key of every `/v1` request, and authorisation by its scopes. RFC 6750.

Each request counts against its key. Only an attempt without a valid key counts against the client address: so a valid
key is never refused because of a neighbour behind the same address.
"""

from datetime import datetime

import structlog
from starlette.requests import Request

from service.accounts.api_keys import Caller, authenticate, note_use
from service.api.context import Context, context_of
from service.api.limits import acquire, client_address, neighbourhood
from service.kit.errors import CallerError
from service.kit.faults import fault_of

_CHALLENGE = 'Bearer realm="verdict-relay"'
_INVALID = f'{_CHALLENGE}, error="invalid_token"'
_log = structlog.get_logger()


async def require(request: Request, scope: str) -> Caller:
    """Return the caller whose valid key carries `scope`.

    Raise `CallerError`: 401 without a valid key, 403 if the key lacks the scope, 429 after too many requests. The
    caller is also at `request.state.caller`.
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
    """Return the key's caller. An address with too many attempts gets `None`, and the database is not asked."""
    address = neighbourhood(client_address(request, context.trusted_proxy_hops))
    if not context.limits.may_look_up(key, address, now):
        return None
    caller = await context.database.read(authenticate, key, now)
    context.limits.note(key, good=caller is not None)
    return caller


async def _note_use(context: Context, caller: Caller, now: datetime) -> None:
    """Record when this key was used. If nothing can be written, go on without the record."""
    try:
        await context.database.write(note_use, caller.key_id, now)
    except Exception as error:
        fault = fault_of(error)
        if fault is None or not fault.of_writing:
            raise


def _bearer(request: Request) -> str:
    """Return the key that was sent; an empty text without the header, or with more than one."""
    given = request.headers.getlist("authorization")
    scheme, _, key = given[0].strip().partition(" ") if len(given) == 1 else ("", "", "")
    return key.strip() if scheme.lower() == "bearer" else ""


def _stranger(request: Request, context: Context, now: datetime, *, gave_key: bool) -> CallerError:
    """Return the 401, count it against the address and log it. Raise the 429 instead after too many."""
    address = client_address(request, context.trusted_proxy_hops)
    acquire(request, context.limits.strangers, neighbourhood(address), now)
    _log.info("auth.refused", client=address, gave_key=gave_key)
    if gave_key:
        return _unauthenticated("The API key is unknown, revoked or expired.", _INVALID)
    return _unauthenticated("Send exactly one header `Authorization: Bearer vr_…` with your API key.", _CHALLENGE)


def _unauthenticated(detail: str, challenge: str) -> CallerError:
    return CallerError("unauthenticated", detail, status=401, headers={"WWW-Authenticate": challenge})
