"""Generations that ended long ago, and what becomes of them, for tests of the archive."""

import asyncio
import csv
import gzip
import io
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg

from storecredit import telemetry
from storecredit.generation.archiving import Archiving
from storecredit.ledger.owners import Account
from storecredit.ledger.summing import Summing
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.passing_time import pass_time
from tests.sql.generations import CONTENT, complete, create_one, fail_batch, start

DAYS: Final = 90
COLUMNS: Final = [
    *("owner_kind", "owner_id", "session_id", "request_id", "status", "credits", "charged_seq"),
    *("returned_seq", "attempts", "created_at", "started_at", "completed_at", "error_code"),
    *("error_message", "metadata", "failed_attempts"),
]


async def generation(
    admin: asyncpg.Connection,
    account: Account,
    request_id: str,
    *,
    fails: bool = False,
    content: bytes = CONTENT,
) -> UUID:
    """One that has ended now, and whose result, if it has one, is gone."""
    session_id = await create_one(admin, account, request_id, content)
    await start(admin, account, session_id)
    if fails:
        assert await fail_batch(admin, [(account, session_id)], ["MODERATION_BLOCKED"]) == [
            "failed"
        ]
    else:
        assert await complete(admin, account, session_id) == "completed"
        await admin.fetchval("SELECT forget_result($1, $2)", account.id, session_id)
    return session_id


@dataclass
class Keeper:
    """Archives into a directory of the test's."""

    database: Database
    admin: asyncpg.Connection
    directory: Path
    metrics: telemetry.Metrics = field(default_factory=telemetry.Metrics)

    @property
    def settings(self) -> Settings:
        return Settings(
            data_dir=self.directory,
            sessions_kept_days=DAYS,
            archive=str(self.directory / "archive"),
        )

    def job(self, settings: Settings | None = None) -> Archiving:
        """As a process has it."""
        return Archiving(self.database, settings or self.settings, self.metrics)

    async def years_pass(self) -> None:
        """All that has happened so far is old, and counted in the sums."""
        await pass_time(self.admin, timedelta(days=2 * DAYS))
        await self.sum_up()

    async def sum_up(self) -> None:
        await Summing(self.database, Settings()).sum_up()

    async def archive(self, job: Archiving | None = None) -> int | None:
        """What the job does once; how many sessions."""
        return await (job or self.job()).archive_now(asyncio.Event())

    async def left(self) -> set[UUID]:
        """The sessions that the database has."""
        return {row["session_id"] for row in await self.admin.fetch("SELECT * FROM sessions")}

    def files(self) -> list[Path]:
        return sorted((self.directory / "archive").rglob("*.csv.gz"))

    def rows(self) -> list[dict[str, str]]:
        """All that stands in the files."""
        return [row for file in self.files() for row in rows_in(file.read_bytes())]

    async def noted(self) -> list[asyncpg.Record]:
        return await self.admin.fetch("SELECT * FROM session_archives ORDER BY number")


def rows_in(packed: bytes) -> list[dict[str, str]]:
    """The rows of a file, read without any code of ours."""
    reader = csv.DictReader(io.StringIO(gzip.decompress(packed).decode(), newline=""), strict=True)
    rows = list(reader)
    assert reader.fieldnames == COLUMNS
    return rows
