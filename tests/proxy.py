"""A proxy before PostgreSQL that can stop forwarding: it stays connected, and acknowledges all it is sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import make_url

_PIECE = 65536


@dataclass
class Proxy:
    """Where the proxy listens; while `forwards` is clear nothing passes, in either direction."""

    url: str = ""
    forwards: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        """Nothing passes any more, on connections there are and on new ones; what is sent is swallowed."""
        self.forwards.clear()

    def go_on(self) -> None:
        """New connections are served again. Those from before stay dead, as behind a router that lost its table."""
        self.forwards.set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
        """One connection, until one side ends it."""
        upstream_writer: asyncio.StreamWriter | None = None
        try:
            if not self.forwards.is_set():
                await self._swallow(reader)
                return
            upstream_reader, upstream_writer = await asyncio.open_unix_connection(path)
            ways = [self._carry(reader, upstream_writer), self._carry(upstream_reader, writer)]
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        except (ConnectionError, asyncio.CancelledError):
            pass  # one side is gone, or the test is over
        finally:
            writer.close()
            if upstream_writer is not None:
                upstream_writer.close()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(_PIECE):
            if not self.forwards.is_set():
                await self._swallow(source)
                return
            sink.write(piece)
            await sink.drain()

    async def _swallow(self, source: asyncio.StreamReader) -> None:
        while await source.read(_PIECE):
            pass


@asynccontextmanager
async def proxy_to(database_url: str) -> AsyncIterator[Proxy]:
    """A proxy on loopback before the PostgreSQL behind the unix socket of `database_url`."""
    target = make_url(database_url)
    path = str(Path(str(target.query["host"])) / ".s.PGSQL.5432")
    proxy = Proxy()
    proxy.go_on()
    server = await asyncio.start_server(lambda reader, writer: proxy.handle(reader, writer, path), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    address = target.set(host="127.0.0.1", port=port, query={"sslmode": "disable"})
    proxy.url = address.render_as_string(hide_password=False)
    try:
        yield proxy
    finally:
        server.close()
