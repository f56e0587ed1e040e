"""What is looked up with an id costs the same however much there is: no table is read through."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import asyncpg

from storecredit.ledger.owners import OwnerKind
from storecredit.operator import acted, told
from storecredit.operator.acted import acted_on
from storecredit.operator.things import things_named
from storecredit.operator.told import Told, told_about, told_by_id
from storecredit.postgres.servers import connect
from tests.sql.deliveries import make_endpoints
from tests.sql.ledgers import open_account
from tests.sql.statement_costs import Recorder, buffers_read, rows_read

EVENTS: Final = 20_000
SECONDS: Final = 20_000
"""Over which they have happened, evenly."""
PAGES_MAX: Final = 300
"""Of one table or index, and of one moment."""
NOW: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
FILL: Final = """
    INSERT INTO storecredit.events (account_id, type, data, created_at)
    SELECT $1::bigint, 'credits.low', json_build_object('request_id', 'r' || n),
        $2::timestamptz - make_interval(secs => $4::float8 * ($3::int - n) / $3)
    FROM generate_series(1, $3::int) n"""
DELIVER: Final = """
    INSERT INTO storecredit.deliveries (endpoint_id, seq)
    SELECT i.id, e.seq FROM storecredit.events e, unnest($1::uuid[]) i (id)"""
LOG: Final = """
    INSERT INTO storecredit.audit_log (actor, door, action, subject, request_id)
    SELECT 'ann', 'api', CASE WHEN n % 3 = 0 THEN 'event.retry' ELSE 'store.update' END,
        'evt_' || n, 'req-' || n
    FROM generate_series(1, 6000) n"""


async def filled(admin: asyncpg.Connection, recorder: Recorder) -> int:
    """An account with many events, which two endpoints were told."""
    account = await open_account(admin, OwnerKind.STORE)
    endpoints = await make_endpoints(admin, account.id, 2)
    await admin.execute(FILL, account.id, NOW, EVENTS, SECONDS)
    await admin.execute(DELIVER, endpoints)
    await recorder.fetch("SELECT 1")
    recorder.statements.clear()
    return account.id


async def costs(url: str, recorder: Recorder) -> dict[str, int]:
    """The most pages of each table and index that any statement has read, planned anew."""
    worst: dict[str, int] = {}
    connection = await connect(url)
    for query, arguments in recorder.statements:
        for name, pages in (await buffers_read(connection, query, *arguments)).items():
            worst[name] = max(worst.get(name, 0), pages)
    await connection.close()
    return worst


def at(number: int) -> datetime:
    """When the event of this number has happened."""
    return NOW - timedelta(seconds=SECONDS * (EVENTS - number) / EVENTS)


async def found(recorder: Recorder, account_id: int, *numbers: int) -> list[Told]:
    names = [f"r{number}" for number in numbers]
    return await told_about(recorder, [account_id], names, [at(number) for number in numbers])


async def test_webhooks_of_a_moment_are_found_among_many_and_few_are_read(
    admin: asyncpg.Connection, database_url: str
) -> None:
    recorder = await Recorder.open(database_url)
    account_id = await filled(admin, recorder)

    for number in (1, 2, EVENTS // 3, EVENTS - 1, EVENTS):
        [one] = await found(recorder, account_id, number)
        assert f"r{number}" in one.names
        assert [each.status for each in one.row.deliveries] == ["pending"] * 2
    assert len(await found(recorder, account_id, 7, EVENTS // 2, EVENTS - 7)) == 3
    assert await found(recorder, account_id + 1, 7) == []
    assert await told_about(recorder, [account_id], ["r7"], [at(EVENTS)]) == []
    event_id = await admin.fetchval("SELECT event_id FROM storecredit.events WHERE seq = 77")
    [one] = await told_by_id(recorder, event_id, account_id)
    assert one.names == {"r77"}
    assert await told_by_id(recorder, event_id, account_id + 1) == []

    await admin.execute("ANALYZE")
    many = {name: n for name, n in (await costs(database_url, recorder)).items() if n > PAGES_MAX}
    # Three moments are looked at by one statement.
    assert {name: n for name, n in many.items() if n > 3 * PAGES_MAX} == {}
    async with recorder.acquire() as connection:
        query, arguments = recorder.statements[0]
        read = await rows_read(connection, query, *arguments)
    assert read <= told.LOOKED_AT_MAX + 100
    await recorder.close()


async def test_of_many_moments_the_first_and_the_last_are_looked_at(
    admin: asyncpg.Connection, database_url: str
) -> None:
    recorder = await Recorder.open(database_url)
    account_id = await filled(admin, recorder)
    numbers = range(500, EVENTS, 500)
    assert len(numbers) > told.MOMENTS_MAX
    names = {name for each in await found(recorder, account_id, *numbers) for name in each.names}
    assert {"r500", "r19500"} <= names
    await recorder.close()


async def test_what_operators_did_and_what_bears_an_id_are_found_by_indexes(
    admin: asyncpg.Connection, database_url: str
) -> None:
    recorder = await Recorder.open(database_url)
    await admin.execute(LOG)
    found_by = [each.row.request_id for each in await acted_on(recorder, ["req-5"], ["evt_5997"])]
    assert found_by == ["req-5", "req-5997"]
    assert await acted_on(recorder, ["req-0"], ["evt_5999", "evt_3"]) == []
    assert await things_named(recorder, uuid4(), None) == []
    for analysed in (False, True):
        if analysed:
            await admin.execute("ANALYZE")
        read = await costs(database_url, recorder)
        log = {name: pages for name, pages in read.items() if "audit" in name}
        assert log["audit_log"] <= acted.LOOKED_AT_MAX + 50
        assert max(read.values()) <= PAGES_MAX + 50
    await recorder.close()


async def test_a_key_is_found_by_its_id_among_those_of_many_stores(
    admin: asyncpg.Connection, database_url: str
) -> None:
    account = await open_account(admin, OwnerKind.STORE)
    await admin.execute(
        """INSERT INTO storecredit.store_api_keys (store_id, key_id, key_hash, key_start, label)
           SELECT $1, md5(n::text)::uuid, sha256(n::text::bytea), 'sc_live_0000', n::text
           FROM generate_series(1, 5000) n""",
        account.owner.id,
    )
    await admin.execute("ANALYZE storecredit.store_api_keys")
    recorder = await Recorder.open(database_url)
    key_id: UUID = await admin.fetchval("SELECT md5('77')::uuid")
    [thing] = await things_named(recorder, key_id, account.owner)
    assert (thing.kind, thing.store_id, thing.name) == (
        "api_key",
        account.owner.id,
        "sc_live_0000… 77",
    )
    read = await costs(database_url, recorder)
    assert read["store_api_keys"] <= 2
    await recorder.close()
