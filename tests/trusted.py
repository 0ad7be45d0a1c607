"""The roots that httpx trusts, read once a test process: each client and each exchange of a test would read them."""

import os
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

import httpx
import httpx._config
import httpx._transports.default

_KEPT: dict[tuple[bool, str | None, str | None], SSLContext] = {}


def share_trusted_roots() -> None:
    """Let all clients that trust whom httpx trusts do it by the same context, which nobody changes."""
    shared = _shared(httpx.create_ssl_context)
    for module in (httpx, httpx._config, httpx._transports.default):
        module.create_ssl_context = shared  # type: ignore[attr-defined]  # each has its own name for it


def _shared(create: Callable[..., SSLContext]) -> Callable[..., SSLContext]:
    def get(verify: Any = True, cert: Any = None, trust_env: bool = True) -> SSLContext:
        if verify is not True or cert is not None:
            return create(verify, cert, trust_env)
        place = (trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if place not in _KEPT:
            _KEPT[place] = create(verify, cert, trust_env)
        return _KEPT[place]

    return get
