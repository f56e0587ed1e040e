"""The way to a server that can be cut through, with all connections over it, and mended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

from storecredit.postgres.database_url import PORT, DatabaseUrl

CHUNK_BYTES = 64 * 1024


class Severed:
    """A port on loopback before the server of `url`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._is_severed = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def url(self) -> str:
        """The same database, over this way."""
        parts = urlsplit(self._url)
        login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return urlunsplit(parts._replace(netloc=f"{login}127.0.0.1:{self._port}", query=""))

    def sever(self) -> None:
        """Cut all connections, and let no other be made."""
        self._is_severed = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Let connections be made again."""
        self._is_severed = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Severed"]:
        """The port, open until the context ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_severed:
            writer.transport.abort()
            return
        (place,) = DatabaseUrl.read(self._url).servers
        host, port = place["host"], place.get("port", PORT)
        if host.startswith("/"):
            behind = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            behind = await asyncio.open_connection(host, port)
        self._writers |= {writer, behind[1]}
        for source, sink in ((reader, behind[1]), (behind[0], writer)):
            self._pumps.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(CHUNK_BYTES):
                sink.write(chunk)
                await sink.drain()
        except OSError:
            pass  # either side may go at any moment
        finally:
            sink.close()
