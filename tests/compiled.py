"""One cache of compiled statements a test process: each test opens engines of its own, which would compile anew."""

from sqlalchemy import Connection, Engine, event

_KEPT: dict[str, Engine] = {}


def share_compiled_statements() -> None:
    """Let all engines of one database system use the dialect and the cache of the first that was connected."""
    event.listen(Engine, "engine_connect", _adopt)


def _adopt(connection: Connection) -> None:
    first = _KEPT.setdefault(connection.dialect.name, connection.engine)
    if connection.dialect is not first.dialect:  # the dialect is part of the cache's keys
        for each in (connection, connection.engine):
            each.dialect = first.dialect
        connection.engine._compiled_cache = first._compiled_cache
