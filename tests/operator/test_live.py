"""What pages show live: who watches is told what is so, what changed, and when nobody knows."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.billing.catalogue import load_catalogue
from storecredit.billing.problems import Problems
from storecredit.operator import live as watching
from storecredit.operator.live import Live, TooManyWatch
from storecredit.operator.live_looks import COUNTED_MAX, SHOWN_MAX, TAIL_PAGES, look_at_one
from storecredit.operator.watches import Watch
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.webhooks.endpoints import Endpoints
from tests.running_listener import until

STORE, OTHER, USER = UUID(int=1), UUID(int=2), UUID(int=3)
WAIT_SECONDS_MAX = 60.0
LIVE = {"state": "live"}
LOST = {"state": "lost"}
OF_ALL = {"connection", "queue", "latest", "counts"}
OF_ONE = {"connection", "balance", "movements", "generations"}


@pytest.fixture
async def live(database: Database) -> AsyncIterator[Live]:
    opened = Live(database, Problems(database), Endpoints(database), load_catalogue())
    yield opened
    await opened.stop()


@pytest.fixture
async def account(admin: asyncpg.Connection) -> int:
    """Of a store with 100 credits, beside another one."""
    for store_id, name in ((OTHER, "Caps"), (STORE, "Hats")):
        await admin.execute(
            "SELECT FROM create_store($1, $2, 'a.example', 'default', 100, 'opening')",
            store_id,
            name,
        )
    account_id: int = await admin.fetchval(
        "SELECT account_id FROM accounts WHERE owner_id = $1", STORE
    )
    return account_id


async def spend(admin: asyncpg.Connection, account: int, amount: int, request_id: str) -> None:
    await admin.execute(
        """SELECT FROM spend_credits(ARRAY[$1::bigint], ARRAY[$2::int], ARRAY[$3],
               ARRAY[sha256('')], ARRAY['A report'], ARRAY[NULL::json])""",
        account,
        amount,
        request_id,
    )


class Reader:
    """What a watch was told: the newest of each name, and how often."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.seen: dict[str, Any] = {}
        self.ids: list[str] = []
        self.names: list[str] = []

    def take(self) -> None:
        for news in self.watch.take():
            self.seen[news.name] = json.loads(news.data)
            self.ids.append(news.id)
            self.names.append(news.name)

    async def until_known(self, names: set[str]) -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not names <= set(self.seen):
                await self.watch.told()
                self.take()

    async def until(self, name: str, state: object) -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while self.seen.get(name) != state:
                await self.watch.told()
                self.take()

    async def until_first(self, name: str, request_id: str) -> None:
        """Until this movement is the newest of a list."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not (shown := self.seen.get(name)) or shown[0]["request_id"] != request_id:
                await self.watch.told()
                self.take()

    async def until_balance(self, balance: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while self.seen.get("balance", {}).get("balance") != balance:
                await self.watch.told()
                self.take()


async def nobody_looks() -> None:
    """Until the poller has seen that nobody watches any more."""
    await until(lambda: "live" not in {each.get_name() for each in asyncio.all_tasks()})


async def test_who_watches_everything_is_told_how_the_service_is(
    live: Live, admin: asyncpg.Connection, account: int
) -> None:
    await admin.execute("SELECT ensure_user($1, 3)", USER)
    with live.watching(uuid4(), None, everything=True) as watch:
        reader = Reader(watch)
        await reader.until_known(OF_ALL)
        assert reader.seen["connection"] == LIVE
        assert reader.seen["queue"] == {"waiting": 0, "working": 0, "oldest_at": None}
        assert reader.seen["counts"] == {
            "problems": {"events": 0, "clawbacks": 0, "bills": 0},
            "webhooks": {"working": 0, "failing": 0, "given_up": 0},
        }
        assert {each["name"] for each in reader.seen["latest"]} == {"Hats", "Caps", None}

        await spend(admin, account, 30, "order-7")
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while reader.seen["latest"][0]["request_id"] != "order-7":
                await watch.told()
                reader.take()
        newest = reader.seen["latest"][0]
        assert newest.pop("created_at")
        assert newest == {
            "seq": 2,
            "type": "deduction",
            "amount": 30,
            "change": -30,
            "balance_after": 70,
            "request_id": "order-7",
            "session_id": None,
            "description": "A report",
            "what": "Spent",
            "note": "A report",
            "owner_kind": "store",
            "owner_id": str(STORE),
            "name": "Hats",
        }
        assert set(reader.names) == OF_ALL, "nothing of a single account"


async def test_who_watches_an_account_is_told_what_changes_there_and_no_more(
    live: Live, admin: asyncpg.Connection, account: int
) -> None:
    with live.watching(uuid4(), account, everything=False) as watch:
        reader = Reader(watch)
        await reader.until_known(OF_ONE)
        moved_at = reader.seen["balance"].pop("moved_at")
        assert moved_at == reader.seen["movements"][0]["created_at"]
        assert reader.seen["balance"] == {"balance": 100, "held": 0, "overage_used": 0}
        assert [each["change"] for each in reader.seen["movements"]] == [100]
        assert reader.seen["generations"] == []

        reader.names.clear()
        await spend(admin, account, 30, "order-7")
        await reader.until_balance(70)
        assert [each["change"] for each in reader.seen["movements"]] == [-30, 100]
        assert "actor" not in reader.seen["movements"][0], "that is for the operator alone"
        assert sorted(reader.names) == ["balance", "movements"], "what is as it was is not told"


async def test_generations_are_told_as_they_go_on(
    live: Live, admin: asyncpg.Connection, account: int
) -> None:
    session_id = UUID("0198a5f0-7d50-7cc3-98c5-c3d5a0a4b1e2")
    await admin.execute(
        """INSERT INTO sessions (account_id, session_id, credits, request_id, fingerprint)
           VALUES ($1, $2, 1, 'order-8', sha256(''))""",
        account,
        session_id,
    )
    with live.watching(uuid4(), account, everything=False) as watch:
        reader = Reader(watch)
        await reader.until_known({"generations"})
        [shown] = reader.seen["generations"]
        assert (shown["session_id"], shown["status"]) == (str(session_id), "queued")
        await admin.execute(
            """UPDATE sessions SET status = 'failed', error_code = 'GENERATION_FAILED',
                   completed_at = now()"""
        )
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while reader.seen["generations"][0]["status"] != "failed":
                await watch.told()
                reader.take()
        assert reader.seen["generations"][0]["error_code"] == "GENERATION_FAILED"


async def test_credits_that_have_ended_are_not_shown_as_there(
    live: Live, admin: asyncpg.Connection, account: int
) -> None:
    await admin.execute(
        """SELECT add_to_account($1, 50, 'grant', 'gift', '', now() + interval '1 hour')""", account
    )
    with live.watching(uuid4(), account, everything=False) as watch:
        reader = Reader(watch)
        await reader.until_balance(150)
        # Its moment is over, and nobody has written it.
        await admin.execute("UPDATE grants SET expires_at = now() WHERE expires_at IS NOT NULL")
        await admin.execute(
            "UPDATE accounts SET next_expiry = now() WHERE account_id = $1", account
        )
        await reader.until_balance(100)


async def test_who_is_slow_is_told_the_newest_and_holds_no_more(
    live: Live, admin: asyncpg.Connection, account: int
) -> None:
    with (
        live.watching(uuid4(), account, everything=False) as slow,
        live.watching(uuid4(), account, everything=False) as quick,
    ):
        reader = Reader(quick)
        for number in range(1, 4):
            await spend(admin, account, 10, f"order-{number}")
            await reader.until_balance(100 - 10 * number)
        assert reader.names.count("balance") >= 3
        late = Reader(slow)
        await slow.told()
        late.take()
        assert sorted(late.names) == sorted(OF_ONE), "one of each"
        assert late.seen == reader.seen
        assert late.ids == sorted(late.ids, key=lambda each: int(each.partition(".")[2]))
        assert not slow.told().done()


async def test_a_newcomer_is_told_what_is_known_at_once(live: Live, account: int) -> None:
    with live.watching(uuid4(), account, everything=True) as watch:
        reader = Reader(watch)
        await reader.until_known(OF_ALL | OF_ONE)
        with live.watching(uuid4(), account, everything=True) as second:
            assert second.told().done()
            late = Reader(second)
            late.take()
            assert late.seen == reader.seen


async def test_who_comes_again_is_told_what_they_have_not_had(
    live: Live, admin: asyncpg.Connection, account: int
) -> None:
    with live.watching(uuid4(), account, everything=False) as watch:
        reader = Reader(watch)
        await reader.until_known(OF_ONE)
        had = reader.ids[-1]
        await spend(admin, account, 30, "order-7")
        await reader.until_balance(70)

        def told(last_id: str | None) -> set[str]:
            with live.watching(uuid4(), account, everything=False, last_id=last_id) as again:
                late = Reader(again)
                late.take()
                return set(late.names)

        assert told(had) == {"connection", "balance", "movements"}
        assert told(reader.ids[-1]) == {"connection"}
        boot = had.partition(".")[0]
        for unknown in (None, "", "7", ".", f"{boot}.", f"{boot}.-1", f"{boot}.x", "another.999"):
            assert told(unknown) == OF_ONE
        assert told(f"{boot}.{'9' * 5000}") == {"connection"}, "no further than is known"


async def test_an_account_taken_up_again_is_shown_whole(
    live: Live, admin: asyncpg.Connection, account: int
) -> None:
    await spend(admin, account, 30, "order-7")
    # Somebody else watches, so that the looks go on.
    with live.watching(uuid4(), None, everything=True):
        for _ in range(2):
            with live.watching(uuid4(), account, everything=False) as watch:
                reader = Reader(watch)
                await reader.until_known(OF_ONE)
                assert len(reader.seen["movements"]) == 2


async def test_as_many_are_shown_as_fit_the_newest_first(
    live: Live, admin: asyncpg.Connection, account: int
) -> None:
    with live.watching(uuid4(), account, everything=True) as watch:
        reader = Reader(watch)
        await reader.until_known(OF_ONE)
        for number in range(SHOWN_MAX + 5):
            await spend(admin, account, 1, f"order-{number}")
        await reader.until_balance(100 - SHOWN_MAX - 5)
        for name in ("movements", "latest"):
            assert [each["request_id"] for each in reader.seen[name]] == [
                f"order-{number}" for number in reversed(range(5, SHOWN_MAX + 5))
            ]


async def test_nobody_is_asked_while_nobody_watches(live: Live, account: int) -> None:
    await nobody_looks()
    with live.watching(uuid4(), account, everything=True) as watch:
        await Reader(watch).until_known(OF_ALL | OF_ONE)
        assert live.watchers == 1
    assert live.watchers == 0
    await nobody_looks()
    with live.watching(uuid4(), account, everything=True) as watch:
        await Reader(watch).until_known(OF_ALL | OF_ONE)


async def test_so_many_may_watch_and_no_more(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "WATCHERS_MAX", 3)
    monkeypatch.setattr(watching, "WATCHERS_OF_ONE_MAX", 2)
    one = uuid4()
    first = live.watching(one, None, everything=True)
    first.__enter__()
    with live.watching(one, None, everything=True):
        with pytest.raises(TooManyWatch), live.watching(one, None, everything=True):
            pass
        with live.watching(uuid4(), None, everything=True):
            assert live.watchers == 3
            with pytest.raises(TooManyWatch), live.watching(uuid4(), None, everything=True):
                pass
    first.__exit__(None, None, None)
    assert live.watchers == 0
    with live.watching(one, None, everything=True):
        pass


async def test_a_stop_ends_all_watches(live: Live, account: int) -> None:
    with live.watching(uuid4(), account, everything=True) as watch:
        await Reader(watch).until_known(OF_ALL | OF_ONE)
        live.close()
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await watch.told()
        assert watch.is_over
        watch.take()
        assert watch.told().done(), "nobody waits for what will not come"
        with pytest.raises(TooManyWatch), live.watching(uuid4(), account, everything=True):
            pass


async def test_a_database_that_does_not_answer_is_told_and_so_is_its_return(
    live: Live, admin: asyncpg.Connection, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_MAX_SECONDS", 0.3)
    with live.watching(uuid4(), account, everything=True) as watch:
        reader = Reader(watch)
        await reader.until("connection", LIVE)
        async with admin.transaction():
            await admin.execute("LOCK accounts IN ACCESS EXCLUSIVE MODE")
            await reader.until("connection", LOST)
            with live.watching(uuid4(), account, everything=True) as late:
                reading = Reader(late)
                reading.take()
                assert reading.seen["connection"] == LOST
                assert reading.seen["balance"]["balance"] == 100, "what was known last"
        monkeypatch.setattr(watching, "LOOK_MAX_SECONDS", WAIT_SECONDS_MAX)
        await reader.until("connection", LIVE)
        await spend(admin, account, 30, "order-7")
        await reader.until_balance(70)


async def test_a_look_reads_the_end_of_the_ledger_and_what_is_watched_by_its_keys(
    database: Database, admin: asyncpg.Connection, account: int
) -> None:
    """However many rows there are: more pages of movements than are looked at, and a long queue."""
    await admin.execute(
        """INSERT INTO movements (account_id, seq, type, amount, balance_after, spent_after,
               request_id)
           SELECT $1, n, 'deduction', 1, 100, n, 'r' || n FROM generate_series(2, 20000) n""",
        account,
    )
    await admin.execute(
        """INSERT INTO pgqueuer (priority, status, entrypoint, dedupe_key)
           SELECT 0, 'queued', 'generation', n::text FROM generate_series(1, $1) n""",
        COUNTED_MAX + 5,
    )
    await admin.execute("ANALYZE")
    pages = await admin.fetchval(
        "SELECT pg_relation_size('movements') / current_setting('block_size')::int"
    )
    assert pages > 2 * TAIL_PAGES

    async with database.acquire() as connection:
        read_before = await _rows_read(connection)
        found = await look_at_one(
            connection, load_catalogue(), at_all=True, accounts={account: 19_990, 987_654: 0}
        )
        read = await _rows_read(connection) - read_before

    assert found.queue is not None
    assert found.queue.waiting == COUNTED_MAX + 1
    assert found.latest is not None
    assert len(found.latest) == SHOWN_MAX
    assert [each.account_id for each in found.accounts] == [account], "there is no such other"
    assert [each.seq for each in found.accounts[0].movements] == list(range(20_000, 19_990, -1))
    per_page = 20_000 / pages
    tail = TAIL_PAGES * per_page
    assert 0.5 * tail < read < 1.5 * tail, "the last pages, and a few rows by their keys"


async def _rows_read(connection: Connection) -> int:
    """Rows of the ledger that this session has read so far, and has not told the others yet."""
    count: int = await connection.fetchval(
        """SELECT pg_stat_get_xact_tuples_returned('movements'::regclass)
               + pg_stat_get_xact_tuples_fetched('movements'::regclass)"""
    )
    return count
