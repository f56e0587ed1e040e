"""Long reads that are given up at once, however long the service would have waited for them."""

from collections.abc import Awaitable
from typing import Final

import asyncpg
import pytest

from storecredit.postgres.kept_connections import KeptSnapshots
from storecredit.postgres.pool import Database

SECONDS: Final = 0.05


def give_up_soon(patch: pytest.MonkeyPatch) -> None:
    """Have each read at length begin in a session of its own, whose statements may take so long."""
    connect = Database.connect_to_read

    def soon(database: Database, _seconds: float) -> Awaitable[asyncpg.Connection]:
        return connect(database, SECONDS)

    patch.setattr(Database, "connect_to_read", soon)
    patch.setattr(KeptSnapshots, "_taken", lambda _kept: None)
