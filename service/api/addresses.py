"""What the route table knows of an address that was asked in vain: its methods, and whether a slash is too many.

Nothing is redirected. A redirect would be made of the request's own Host and scheme, which are whatever a stranger or a
proxy says; and it would send the key and the audio there once more.
"""

from collections.abc import Iterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import BaseRoute, Match, Mount, Router


def without_redirects(app: Starlette) -> Starlette:
    """Return `app`, which answers 404 where a slash is missing or too many, in every mount of it as well."""
    app.router.redirect_slashes = False
    for route in app.routes:
        if isinstance(route, Mount):
            _silence(route)
    return app


def _silence(mount: Mount) -> None:
    inner = mount.app
    router = inner.router if isinstance(inner, Starlette) else inner
    if isinstance(router, Router):
        router.redirect_slashes = False
    for route in mount.routes:
        if isinstance(route, Mount):
            _silence(route)


def no_such_address(request: Request) -> str:
    """Return what to say of an address at which there is nothing."""
    path = request.scope["path"]
    if path.endswith("/") and any(_fitting(request, path.rstrip("/"))):
        return "Not found. The same path without the slash at its end exists."
    return "Not found: no operation has this path."


def allowed_methods(request: Request) -> list[str]:
    """Return every method that the address takes, by whichever of its routes."""
    found = (getattr(route, "methods", None) or () for route in _fitting(request, request.scope["path"]))
    return sorted({method for methods in found for method in methods})


def _fitting(request: Request, path: str) -> Iterator[BaseRoute]:
    scope = {**request.scope, "path": path}
    return (route for route in request.app.routes if route.matches(scope)[0] is not Match.NONE)
