"""Connections to the service that is measured: never one that the service may be closing this moment."""

import aiohttp

_KEPT_SECONDS = 2.0  # idle; the server closes one after five, and a request written just then is lost


def connector(limit: int = 100) -> aiohttp.TCPConnector:
    """Return a pool of at most so many connections at once; 0: any number."""
    return aiohttp.TCPConnector(limit=limit, keepalive_timeout=_KEPT_SECONDS)
