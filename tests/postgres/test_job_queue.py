"""The job queue on real PostgreSQL: a job goes in with its data, and is seen to whatever dies."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from storecredit.generation.lifecycle import ENTRYPOINT, Created, GenerationInput
from storecredit.ledger.owners import Account, Owner
from storecredit.postgres import job_queue
from storecredit.postgres.job_queue import (
    Job,
    JobQueue,
    QueueDepth,
    TryAgainLater,
    enqueue,
    without_job,
)
from storecredit.postgres.pool import Database
from storecredit.service import assembled
from storecredit.settings import Settings
from tests.postgres.commits import until
from tests.postgres.queued_jobs import Handled, Held, add, die_over, keys, working


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return JobQueue(database, ENTRYPOINT)


async def test_a_job_is_there_when_its_transaction_was_committed_and_only_then(
    database: Database, admin: asyncpg.Connection
) -> None:
    async with database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await enqueue(connection, ENTRYPOINT, [Job("rolled back", b"1")])
        await transaction.rollback()
        transaction = connection.transaction()
        await transaction.start()
        await enqueue(connection, ENTRYPOINT, [Job("committed", b"2")])
        assert await keys(admin) == []
        await transaction.commit()
    assert await keys(admin) == ["committed"]


async def test_who_has_no_job_that_waits_or_is_worked_on_is_found_without_one(
    database: Database, queue: JobQueue, admin: asyncpg.Connection
) -> None:
    handled = Handled()
    await add(database, "done")
    async with working(queue, handled):
        await handled.times(1)
    await add(database, "waits", "is worked on")
    await die_over(admin, "is worked on", silent_for="1 hour")
    found = await database.fetch(
        f"SELECT o.key FROM unnest($1::text[]) o (key) WHERE {without_job('o.key')}",
        ["waits", "is worked on", "done", "never had one"],
    )
    assert [row["key"] for row in found] == ["done", "never had one"]


async def test_to_enqueue_nothing_is_no_mistake(
    database: Database, admin: asyncpg.Connection
) -> None:
    await add(database)
    assert await keys(admin) == []


async def test_while_a_job_lives_another_of_its_key_is_left_out_and_its_neighbours_are_not(
    database: Database, admin: asyncpg.Connection
) -> None:
    await add(database, "waits", "runs")
    await die_over(admin, "runs", silent_for="0 seconds")
    await add(database, "waits", "new", "runs", "new", "newer")
    assert await keys(admin) == ["waits", "runs", "new", "newer"]


async def test_once_a_job_has_ended_its_key_is_free_again(
    database: Database, queue: JobQueue, admin: asyncpg.Connection
) -> None:
    handled = Handled()
    async with working(queue, handled):
        await add(database, "a")
        await handled.times(1)
    assert await keys(admin) == []
    async with working(queue, handled):
        await add(database, "a")
        await handled.times(2)
    assert handled.keys == ["a", "a"]
    assert await keys(admin) == []


async def test_a_job_that_asks_for_it_runs_again_and_its_attempts_are_counted(
    database: Database, queue: JobQueue, admin: asyncpg.Connection
) -> None:
    attempts: list[int] = []

    async def third_time_lucky(key: str) -> None:
        attempts.append(await admin.fetchval("SELECT attempts FROM pgqueuer"))
        if len(attempts) < 3:
            raise TryAgainLater(0.01)

    handled = Handled(third_time_lucky)
    async with working(queue, handled):
        await add(database, "a")
        await handled.times(3)
    assert attempts == [0, 1, 2]
    assert handled.keys == ["a"] * 3
    assert await keys(admin) == []


async def test_a_job_that_is_to_run_again_waits_for_as_long_as_it_asked(
    database: Database, queue: JobQueue, admin: asyncpg.Connection
) -> None:
    async def in_an_hour(key: str) -> None:
        if key == "later" and handled.keys.count("later") == 1:
            raise TryAgainLater(3600)

    async def is_put_back() -> object:
        return await admin.fetchval("SELECT attempts FROM pgqueuer WHERE dedupe_key = 'later'")

    handled = Handled(in_an_hour)
    async with working(queue, handled):
        await add(database, "later")
        await until(is_put_back)
        wait = await admin.fetchval(
            "SELECT extract(epoch FROM execute_after - updated)::float8 FROM pgqueuer"
        )
        assert wait == pytest.approx(3600, abs=60)
        await add(database, "now")
        await handled.times(2)
        assert handled.keys == ["later", "now"]
        await admin.execute("UPDATE pgqueuer SET execute_after = now()")
        await handled.times(3)
    assert handled.keys == ["later", "now", "later"]


async def test_a_job_that_breaks_ends_and_the_others_go_on(
    database: Database, queue: JobQueue, admin: asyncpg.Connection
) -> None:
    async def break_over_one(key: str) -> None:
        if key == "broken":
            raise KeyError(key)

    handled = Handled(break_over_one)
    async with working(queue, handled):
        await add(database, "broken")
        await handled.times(1)
        await add(database, "whole")
        await handled.times(2)
    assert handled.keys == ["broken", "whole"]
    assert await keys(admin) == []


async def test_a_dead_workers_job_is_taken_over_and_a_living_ones_is_not(
    database: Database, queue: JobQueue, admin: asyncpg.Connection
) -> None:
    await add(database, "of the dead", "of the living")
    await die_over(admin, "of the dead", silent_for="1 hour")
    await die_over(admin, "of the living", silent_for="1 second")
    handled = Handled()
    async with working(queue, handled, heartbeat_timeout_seconds=600):
        await handled.times(1)
        await add(database, "last")
        await handled.times(2)
    assert handled.keys == ["of the dead", "last"]
    assert await keys(admin) == ["of the living"]


async def test_never_more_jobs_run_at_once_than_allowed(
    database: Database, queue: JobQueue, admin: asyncpg.Connection
) -> None:
    held = Held()
    handled = Handled(held)
    async with working(queue, handled, concurrency=2):
        await add(database, *(f"{number}" for number in range(6)))
        await handled.times(2)
        picked = await admin.fetchval("SELECT count(*) FROM pgqueuer WHERE status = 'picked'")
        assert (picked, handled.keys) == (2, ["0", "1"])
        held.go_on.set()
        await handled.times(6)
    assert sorted(handled.keys) == ["0", "1", "2", "3", "4", "5"]


async def test_a_worker_that_stops_finishes_what_it_has_begun_and_begins_nothing(
    database: Database,
    queue: JobQueue,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_queue, "CUT_OFF_WAIT_SECONDS", 0.01)
    held = Held()
    handled = Handled(held)
    async with working(queue, handled, concurrency=2) as stop:
        await add(database, *(f"{number}" for number in range(4)))
        await handled.times(2)
        stop.set()
        await asyncio.sleep(0.1)
        held.go_on.set()
    assert handled.keys == ["0", "1"]
    assert sorted(held.ended) == ["0", "1"]
    assert await keys(admin) == ["2", "3"]


async def test_a_job_that_is_cut_off_at_the_end_of_the_drain_is_found_by_the_sweep(
    database: Database, data_dir: Path, admin: asyncpg.Connection
) -> None:
    held = Held()
    cut_off, done = Handled(held), Handled()
    async with assembled(Settings(data_dir=data_dir), database) as service:
        store = await service.parts.stores.create(
            name="Shop", shop_domain="shop.example", credit_count=1, request_id="opening"
        )
        owner = Owner.store(store.store_id)
        made = await service.parts.lifecycle.create(
            Account(await service.parts.credits.account_id(owner), owner),
            "req-1",
            GenerationInput(("https://images.example/a.png",)),
            None,
            1,
        )
        assert isinstance(made, Created)
        async with working(service.queue, cut_off, drain_seconds=0):
            await cut_off.times(1)
        assert held.ended == []
        await service.sweep.sweep()
        assert await keys(admin) == [str(made.session_id)]
        async with working(service.queue, done):
            await done.times(1)
    assert done.keys == cut_off.keys


async def test_a_worker_survives_the_loss_of_all_its_connections_again_and_again(
    database: Database,
    queue: JobQueue,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_queue, "RESTART_WAIT_SECONDS", 0.05)

    async def lose_connections() -> object:
        return await admin.fetch(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'storecredit'"""
        )

    async def add_from_elsewhere(key: str) -> None:
        async with admin.transaction():
            await enqueue(admin, ENTRYPOINT, [Job(key, key.encode())])

    handled = Handled()
    async with working(queue, handled):
        for number in range(4):
            await until(lose_connections)
            await add_from_elsewhere(f"{number}")

            async def is_handled(key: str = f"{number}") -> bool:
                return key in handled.keys

            await until(is_handled)
    assert set(handled.keys) == {"0", "1", "2", "3"}


async def test_a_job_under_way_when_the_connections_are_lost_is_finished(
    database: Database,
    queue: JobQueue,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_queue, "RESTART_WAIT_SECONDS", 0.05)
    held = Held()
    handled = Handled(held)
    async with working(queue, handled, heartbeat_timeout_seconds=2):
        await add(database, "a")
        await handled.times(1)
        await admin.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'storecredit'"""
        )
        held.go_on.set()

        async def is_gone() -> bool:
            return await keys(admin) == []

        await until(is_gone)
    assert set(held.ended) == {"a"}


async def test_only_what_was_noted_long_ago_is_forgotten(
    database: Database, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        """INSERT INTO pgqueuer_log (job_id, status, priority, entrypoint, created)
           SELECT hours, 'successful', 0, 'generation', now() - make_interval(hours => hours)
           FROM unnest(ARRAY[1, 23, 25, 1000]) hours"""
    )
    await job_queue.forget_old_log(database)
    rows = await admin.fetch("SELECT job_id FROM pgqueuer_log ORDER BY job_id")
    assert [row["job_id"] for row in rows] == [1, 23]


async def test_the_depth_counts_the_jobs_that_are_due_and_tells_how_long_the_oldest_waits(
    database: Database, queue: JobQueue, admin: asyncpg.Connection
) -> None:
    assert await queue.depth() == QueueDepth(0, 0.0)
    await add(database, "now", "an hour ago", "in an hour", "picked")
    await admin.execute(
        """UPDATE pgqueuer SET execute_after = now() + CASE dedupe_key
               WHEN 'an hour ago' THEN interval '-1 hour' WHEN 'in an hour' THEN interval '1 hour'
               WHEN 'picked' THEN interval '-1 day' ELSE interval '0' END"""
    )
    await die_over(admin, "picked", silent_for="0 seconds")
    depth = await queue.depth()
    assert depth.waiting == 2
    assert depth.oldest_seconds == pytest.approx(3600, abs=600)
