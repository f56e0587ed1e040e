"""Archiving broken off at each step, done by two at once, and into places that fail.

What must hold each time: a session is in the database or in a file that is noted, never in neither;
and no file stands there twice.
"""

import asyncio
import csv
import gzip
import hashlib
import io
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
import structlog

from stand_ins.http_server import Answer
from stand_ins.s3 import BUCKET
from storecredit.generation.archive_names import ArchiveUnusable, file_name
from storecredit.generation.archive_places import ArchiveDirectory
from storecredit.generation.archived import ArchiveDamaged, Archives, read
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.s3_bucket import running_bucket
from tests.sql.ledgers import open_account
from tests.worker.archives import DAYS, Keeper, generation, rows_in

BEGIN = "SELECT * FROM begin_archive(gen_random_uuid(), '1 minute', '0', $1, '0', 100, 100)"
FINISH = "SELECT finish_archive($1, sha256(convert_to($2, 'UTF8')), 1, 'here', 'file')"


@pytest.fixture
async def store(admin: asyncpg.Connection) -> Account:
    return await open_account(admin, OwnerKind.STORE, 20)


@pytest.fixture
async def due(
    database: Database, admin: asyncpg.Connection, tmp_path: Path, store: Account
) -> tuple[Keeper, set[UUID]]:
    """Six sessions that are due."""
    keeper = Keeper(database, admin, tmp_path)
    made = {await generation(admin, store, f"r{number}", fails=number == 2) for number in range(6)}
    await keeper.years_pass()
    return keeper, made


async def lease_over(admin: asyncpg.Connection) -> None:
    """As if a minute had passed since somebody began."""
    await admin.execute("UPDATE archiving SET held_until = now() - interval '1 second'")


async def begun(keeper: Keeper) -> asyncpg.Record:
    """Somebody chooses what to archive, and is killed."""
    row = await keeper.database.fetchrow(BEGIN, timedelta(days=DAYS))
    assert row is not None
    await lease_over(keeper.admin)
    return row


async def assert_each_is_archived_once(keeper: Keeper, made: set[UUID]) -> None:
    assert await keeper.left() == set()
    assert sorted(row["session_id"] for row in keeper.rows()) == sorted(map(str, made))
    assert {str(file.relative_to(keeper.directory / "archive")) for file in keeper.files()} == {
        note["file"] for note in await keeper.noted()
    }
    report = await verify(keeper.database, every_row=True)
    assert (report.clean, report.archived_sessions) == (True, len(made))


async def test_who_takes_up_what_was_chosen_makes_the_same_file_of_it(
    due: tuple[Keeper, set[UUID]], store: Account
) -> None:
    keeper, made = due
    last = await keeper.admin.fetchval("SELECT session_id FROM sessions WHERE request_id = 'r5'")
    await keeper.admin.execute("UPDATE sessions SET result_key = 'k' WHERE session_id = $1", last)
    row = await begun(keeper)
    assert row["sessions"] == 5
    # More is due by now, and belongs into the next file.
    await keeper.admin.fetchval("SELECT forget_result($1, $2)", store.id, last)
    assert await keeper.archive() == len(made)
    first = keeper.files()[0]
    assert rows_in(first.read_bytes()) == rows_in_text(row["content"])
    await assert_each_is_archived_once(keeper, made)


def rows_in_text(content: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content, newline="")))


async def test_killed_while_or_after_it_wrote_the_file_the_next_one_replaces_it_by_the_same(
    due: tuple[Keeper, set[UUID]],
) -> None:
    keeper, made = due
    row = await begun(keeper)
    content = row["content"].encode()
    file = file_name(1, hashlib.sha256(content).digest())
    ArchiveDirectory(keeper.directory / "archive").put(file, gzip.compress(content, mtime=0))
    left = (keeper.directory / "archive" / file).parent / f".{Path(file).name}.00ff.draft"
    left.write_bytes(b"half a fi")
    assert len(await keeper.left()) == len(made)

    assert await keeper.archive() == len(made)

    assert not left.exists()
    await assert_each_is_archived_once(keeper, made)


async def test_who_learns_late_that_it_was_finished_removes_nothing_more(
    due: tuple[Keeper, set[UUID]], store: Account
) -> None:
    keeper, made = due
    row = await begun(keeper)
    await keeper.archive()
    made.add(await generation(keeper.admin, store, "later"))
    await keeper.years_pass()
    await begun(keeper)
    for number in (1, 2):
        assert await keeper.database.fetchval(FINISH, number, row["content"]) != "archived"
    await lease_over(keeper.admin)
    assert await keeper.archive() == 1
    await assert_each_is_archived_once(keeper, made)


async def test_of_two_at_once_one_archives_and_the_other_goes_home(
    due: tuple[Keeper, set[UUID]],
) -> None:
    keeper, made = due
    counts = await asyncio.gather(*(keeper.archive(keeper.job()) for _ in range(2)))
    assert sum(count or 0 for count in counts) == len(made)
    await assert_each_is_archived_once(keeper, made)


async def test_who_was_too_slow_and_who_took_over_archive_each_session_once_together(
    due: tuple[Keeper, set[UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, made = due
    monkeypatch.setattr("storecredit.generation.archiving.MOVEMENTS_MAX", 2)
    monkeypatch.setattr("storecredit.generation.archiving.LEASE", timedelta(0))
    monkeypatch.setattr("storecredit.generation.archiving.REST_SHARE", 0.0)
    counts = await asyncio.gather(*(keeper.archive(keeper.job()) for _ in range(4)))
    assert sum(count or 0 for count in counts) == len(made)
    await assert_each_is_archived_once(keeper, made)


async def test_a_session_that_is_no_longer_as_in_its_file_is_not_removed(
    due: tuple[Keeper, set[UUID]],
) -> None:
    keeper, made = due
    row = await begun(keeper)
    await keeper.admin.execute("UPDATE sessions SET attempts = 9")
    assert await keeper.database.fetchval(FINISH, 1, row["content"]) == "changed"
    assert await keeper.left() == made
    assert await keeper.noted() == []
    assert await keeper.archive() == len(made)
    assert {row["attempts"] for row in keeper.rows()} == {"9"}


async def test_a_session_that_somebody_writes_is_waited_for_by_nobody(
    due: tuple[Keeper, set[UUID]],
) -> None:
    keeper, made = due
    row = await begun(keeper)
    async with keeper.admin.transaction():
        await keeper.admin.execute("SELECT FROM sessions LIMIT 1 FOR UPDATE")
        assert await keeper.database.fetchval(FINISH, 1, row["content"]) == "busy"
    assert await keeper.left() == made
    assert await keeper.archive() == len(made)


async def test_the_application_has_no_other_way_to_remove_a_session(
    due: tuple[Keeper, set[UUID]],
) -> None:
    keeper, made = due
    await begun(keeper)
    assert await keeper.database.fetchval(FINISH, 1, "another content") == "changed"
    for statement in ("DELETE FROM sessions", "INSERT INTO session_archives DEFAULT VALUES"):
        with pytest.raises(Exception, match="permission denied"):
            await keeper.database.fetchval(statement)
    assert await keeper.left() == made


@contextmanager
def disk_full() -> Iterator[None]:
    """No file of this process may grow any longer: the kernel refuses to write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def failing(keeper: Keeper) -> float | None:
    return keeper.metrics.registry.get_sample_value("storecredit_archive_failing")


async def test_where_the_disk_is_full_nothing_is_removed_and_it_is_told(
    due: tuple[Keeper, set[UUID]],
) -> None:
    keeper, made = due
    job = keeper.job()
    with disk_full(), structlog.testing.capture_logs() as lines:
        assert await job.archive(asyncio.Event()) == 0
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["archive_failed"]
    assert failing(keeper) == 1
    assert await keeper.left() == made
    assert keeper.files() == []

    assert await job.archive(asyncio.Event()) == len(made)
    assert failing(keeper) == 0
    await assert_each_is_archived_once(keeper, made)


async def test_what_nobody_expected_is_told_and_tried_again(due: tuple[Keeper, set[UUID]]) -> None:
    keeper, made = due
    await keeper.admin.execute("ALTER TABLE archived_sessions RENAME TO away")
    job = keeper.job()
    with structlog.testing.capture_logs() as lines:
        assert await job.archive(asyncio.Event()) == 0
    assert lines[-1]["log_level"] in {"error", "warning"}
    assert await keeper.left() == made
    await keeper.admin.execute("ALTER TABLE away RENAME TO archived_sessions")
    assert await job.archive(asyncio.Event()) == len(made)
    await assert_each_is_archived_once(keeper, made)


async def test_into_a_bucket_it_goes_the_same_way_and_back(
    due: tuple[Keeper, set[UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, made = due
    settings = keeper.settings.model_copy(update={"archive": f"s3://{BUCKET}/shop/archive"})
    async with running_bucket(monkeypatch) as bucket:
        job = keeper.job(settings)
        bucket.answers(Answer(403))
        assert await job.archive(asyncio.Event()) == 0
        assert (await keeper.left(), failing(keeper)) == (made, 1)
        bucket.comes_back()
        assert await job.archive(asyncio.Event()) == len(made)
        assert (await keeper.left(), failing(keeper)) == (set(), 0)
        (noted,) = [each async for each in Archives(keeper.database).noted()]
        (name,) = bucket.s3.objects
        assert name == f"shop/archive/{noted.file}"
        assert await read(noted) == rows_in(bucket.s3.objects[name])
        bucket.s3.objects[name] = bucket.s3.objects[name][:-9]
        with pytest.raises(ArchiveDamaged):
            await read(noted)
        del bucket.s3.objects[name]
        with pytest.raises(ArchiveUnusable):
            await read(noted)
