"""Who calls, and whether they may: the bearer key of every `/v1` request. RFC 6750."""

from starlette.requests import Request

from service.accounts.api_keys import Caller, authenticate, note_use
from service.api.context import context_of
from service.kit.errors import CallerError

_CHALLENGE = 'Bearer realm="verdict-relay"'


async def require(request: Request, scope: str) -> Caller:
    """Whoever sent this request, known by a valid key that carries `scope`.

    Raises `CallerError`: 401 where there is no key or none that is valid, 403 where it lacks the scope.
    The caller is also at `request.state.caller`.
    """
    context, now = context_of(request), context_of(request).clock()
    caller = await context.database.read(authenticate, _bearer(request), now)
    if caller is None:
        raise _unauthenticated("The API key is unknown, revoked or expired.", f'{_CHALLENGE}, error="invalid_token"')
    if not caller.use_is_noted:
        await context.database.write(note_use, caller.key_id, now)
    request.state.caller = caller
    if not caller.may(scope):
        raise CallerError(
            "missing_scope",
            f"This API key lacks the scope {scope}.",
            status=403,
            headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'},
        )
    return caller


def _bearer(request: Request) -> str:
    given = request.headers.getlist("authorization")
    scheme, _, key = given[0].strip().partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not key.strip():
        raise _unauthenticated("Send one header `Authorization: Bearer vr_…` with your API key.", _CHALLENGE)
    return key.strip()


def _unauthenticated(detail: str, challenge: str) -> CallerError:
    return CallerError("unauthenticated", detail, status=401, headers={"WWW-Authenticate": challenge})
