"""The database's own door, for tests of what is told while it is away."""

import asyncpg


class DatabaseDoor:
    """Shut, it lets nobody in and puts out whoever is. `server`: a connection to another one."""

    def __init__(self, server: asyncpg.Connection, name: str) -> None:
        self._server = server
        self._name = name

    async def shut(self) -> None:
        await self._server.execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        await self._server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", self._name
        )

    async def open(self) -> None:
        await self._server.execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")
