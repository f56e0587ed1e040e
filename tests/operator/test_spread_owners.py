"""What is told of all owners is the same, whether they live in one bucket or are spread over three.

One history is told where it was made, and once more of a copy that is spread.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from storecredit.billing.catalogue import load_catalogue
from storecredit.billing.problems import Problems
from storecredit.ledger.owner_cursors import OwnerCursor, OwnerSort, read_cursor
from storecredit.ledger.owner_pages import OwnerFilter, OwnerPages
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.ledger.summing import Summing
from storecredit.operator.figures import By
from storecredit.operator.live import Live
from storecredit.operator.live_looks import SHOWN_MAX
from storecredit.operator.overview import Overviews, Span
from storecredit.operator.owner_names import OwnerNames
from storecredit.operator.report import Reports
from storecredit.operator.requests import Requests
from storecredit.operator.running_dry import RunningDry
from storecredit.operator.sums import Sums
from storecredit.postgres.buckets import Buckets, opened
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.settings import Settings
from storecredit.stores.stores import Stores
from storecredit.webhooks.endpoints import Endpoints
from tests.conftest import SEARCH_PATH, Databases, connect_as_superuser
from tests.operator.random_ledger import DAYS, FIRST_DAY, make_ledger
from tests.operator.spreading import spread

NUMBER = 3
PAGE = 2
EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
WEEK = timedelta(days=7)
ALWAYS = Settings(sums_interval_seconds=1e-6)
KINDS = (None, *OwnerKind)
SORTS = [(OwnerKind.STORE, sort) for sort in OwnerSort]
SORTS += [(OwnerKind.USER, OwnerSort.CREATED), (OwnerKind.USER, OwnerSort.BALANCE)]
FILTERS = [
    OwnerFilter(),
    OwnerFilter(below=40),
    OwnerFilter(status="active", search="00003"),
    OwnerFilter(search="STORE"),
]
Tell = Callable[[Buckets], Awaitable[Any]]
Compare = Callable[[Tell], Awaitable[Any]]


@pytest.fixture(scope="module")
def alone_url(books_url: str) -> str:
    """All that may happen to credits until now, and what was sold; some stores have one name."""
    asyncio.run(make_history(books_url))
    return books_url


async def make_history(url: str) -> None:
    admin = await connect_as_superuser(url)
    database = await Database.open(url)
    seed = random.randrange(2**32)
    print(f"drawn from {seed}")  # noqa: T201 - shown where a test fails
    await make_ledger(admin, random.Random(seed))
    for table in ("movements", "payments", "clawbacks"):
        await admin.execute(
            f"UPDATE storecredit.{table} SET created_at = created_at + (now() - $1)",
            FIRST_DAY + timedelta(days=DAYS),
        )
    await admin.execute(
        """UPDATE storecredit.stores SET name = CASE WHEN store_id < $1 THEN 'Åland' ELSE 'anna' END
           WHERE store_id NOT IN ($2, $3)""",
        *map(store, (4, 2, 6)),
    )
    # Whatever was drawn: with these spends three stores run dry within weeks.
    for number in (3, 4, 5):
        await admin.fetchval(
            "SELECT public.add_store_credits($1, 500, 'grant', 'a gift')", store(number)
        )
        taken = "SELECT public.deduct_store_credits($1, 400, 'a large one')"
        assert await admin.fetchval(taken, store(number))
    await event(admin, "evt_1", {"id": "txn_1"})
    await event(admin, "evt_2", {"id": "adj_9", "transaction_id": "txn_2"})
    await event(admin, "evt_3", {"id": "txn_of_nobody"})
    await admin.execute(
        """SELECT record_action('ann', 'api', 'problem.dismiss', 'Known', 'req-1', NULL, NULL, NULL,
               NULL, NULL, 'evt_1', '{}', '{}')"""
    )
    await Summing(database, ALWAYS).sum_up()
    await database.close()
    await admin.close()


def store(number: int) -> UUID:
    """The id of a store of the history, which an end user bears, too."""
    return UUID(int=number)


async def event(admin: asyncpg.Connection, event_id: str, content: dict[str, str]) -> None:
    """A webhook of the provider's, which came in at the first bucket."""
    await admin.execute(
        """INSERT INTO storecredit.provider_events (provider, event_id, event_type, occurred_at,
               content, status)
           VALUES ('paddle', $1, 'transaction.completed', now(), $2, 'received')""",
        event_id,
        json.dumps(content),
    )


@pytest.fixture(scope="module")
def spread_url(databases: Databases, alone_url: str) -> Iterator[str]:
    """The same, with its owners spread over three buckets."""
    with databases.copied(urlsplit(alone_url).path[1:], search_path=SEARCH_PATH) as url:
        asyncio.run(spread_out(url))
        yield url


async def spread_out(url: str) -> None:
    await migrate(url, buckets=NUMBER)
    admin = await connect_as_superuser(url)
    await spread(admin, NUMBER)
    await admin.close()
    home = await Database.open(url)
    async with opened(home) as buckets:
        for each in buckets.all:
            assert await each.fetchval("SELECT count(*) FROM movements") > 0
            await Summing(each, ALWAYS).sum_up()
    await home.close()


@pytest.fixture
async def compare(alone_url: str, spread_url: str) -> Compare:
    """Asks for what is told of either, which is the same."""

    async def comparing(tell: Tell) -> Any:
        alone, home = [await Database.open(url) for url in (alone_url, spread_url)]
        try:
            async with opened(home) as buckets:
                assert buckets.several
                told = await tell(alone)
                assert await tell(buckets) == told
        finally:
            for each in (alone, home):
                await each.close()
        return told

    return comparing


async def test_reports_and_sums(compare: Compare, alone_url: str) -> None:
    some = await two_moments(alone_url)
    wanted = [(*span, by) for span in (EVER, some) for by in (None, *By)]
    first, last = (moment.date() for moment in EVER)

    async def tell(buckets: Buckets) -> list[Any]:
        reports, sums = Reports(buckets), Sums(buckets)
        told: list[Any] = [await reports.make(*each) for each in wanted]
        for kind in KINDS:
            told.append(await sums.hours(*EVER, kind))
            told.append(await sums.days(first, last, kind))
            told.append(await sums.months(first, last, kind))
        assert await sums.counted_until() is not None
        return [*told, await sums.money_by_day(first, last)]

    told = await compare(tell)
    by_store = told[wanted.index((*EVER, By.STORE))]
    assert len(by_store.rows) == 7, "six stores, and all end users together"


async def two_moments(url: str) -> tuple[datetime, datetime]:
    """Of movements, so that those of one moment are on either side of it."""
    admin = await connect_as_superuser(url)
    rows = await admin.fetch("SELECT created_at FROM movements ORDER BY random() LIMIT 2")
    await admin.close()
    first, last = sorted(row["created_at"] for row in rows)
    return first, last


async def test_reports_of_more_stores_than_are_told(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storecredit.operator.report.ROWS_MAX", 3)
    told = await compare(lambda buckets: Reports(buckets).make(*EVER, By.STORE))
    assert told.truncated
    assert [row.store_id for row in told.rows] == [store(1), store(2), store(3)]


async def test_sums_are_as_old_as_the_oldest(spread_url: str) -> None:
    home = await Database.open(spread_url)
    admin = await connect_as_superuser(spread_url)
    async with opened(home) as buckets:
        sums = Sums(buckets)
        newest = await sums.counted_until()
        assert newest is not None
        await admin.execute("UPDATE storecredit_2.summing SET summed_at = $1", newest - WEEK)
        assert await sums.counted_until() == newest - WEEK
        await admin.execute("UPDATE storecredit_1.summing SET whole_at = NULL")
        assert await sums.counted_until() is None
        await admin.execute("UPDATE storecredit_1.summing SET whole_at = now()")
    await admin.close()
    await home.close()


async def test_the_overview_and_who_runs_dry(compare: Compare) -> None:
    now = datetime.now(UTC)

    async def tell(buckets: Buckets) -> list[Any]:
        overviews = Overviews(buckets, Problems(buckets.home), Endpoints(buckets.home))
        looks = [await overviews.look(span, kind, now=now) for span in Span for kind in KINDS]
        told: list[Any] = [
            (look.periods, look.total, look.money, look.health.has_stores) for look in looks
        ]
        return [*told, *[await RunningDry(buckets).list(limit) for limit in (1, 2, 10)]]

    told = await compare(tell)
    assert len(told[-1]) >= 3, "there are some to be told in order"


async def test_lists_of_owners(compare: Compare) -> None:
    async def tell(buckets: Buckets) -> list[Any]:
        names = OwnerNames(buckets, Stores(buckets))
        named = [await names.named(text) for text in ("ANNA", f"user:{store(5)}", "a.example")]
        lists = [
            await listed(OwnerPages(buckets), kind, sort, wanted)
            for kind, sort in SORTS
            for wanted in FILTERS
        ]
        return [named, lists]

    named, lists = await compare(tell)
    assert [len(owners) for owners in named] == [2, 1, 6]
    assert max(len(ids) for ids in lists) == 6
    assert all(len(set(ids)) == len(ids) for ids in lists)


async def listed(
    pages: OwnerPages, kind: OwnerKind, sort: OwnerSort, wanted: OwnerFilter
) -> list[UUID]:
    found: list[UUID] = []
    cursor: OwnerCursor | None = None
    while True:
        page = await pages.page(kind, wanted, sort=sort, limit=PAGE, cursor=cursor)
        found += page.owner_ids
        if page.next_cursor is None:
            return found
        cursor = read_cursor(page.next_cursor)


async def test_what_ids_name(compare: Compare) -> None:
    ids = ["opening", "hold 1", "promo", "r7", "r8", "r9", "txn_1", "txn_2", "adj_txn_3", "evt_1"]
    ids += ["evt_2", "evt_3", "txn_of_nobody", "req-1", str(store(3)), "nothing"]
    ids.append(str(UUID("c4ca4238a0b923820dcc509a6f75849b")))

    async def tell(buckets: Buckets) -> list[Any]:
        with closing(Requests(buckets)) as requests:
            found = [await requests.find(each) for each in ids]
            found += [
                await requests.find(each, owner)
                for each in ("2", "opening", "evt_1", "hold 1", "r7")
                for owner in (Owner.store(store(3)), Owner.user(store(4)))
            ]
        for each in found:
            # Bucket after bucket, by the account; which is no more than an order.
            each.requests.sort(key=lambda record: (str(record.owner), record.request_id))
            assert all(record.time_line for record in each.requests)
        return found

    told = await compare(tell)
    opening, hold = told[0], told[1]
    assert len(opening.requests) == 5
    assert len(hold.requests) == 10
    [paid] = told[ids.index("evt_1")].requests
    assert [each.event_id for each in paid.events] == ["evt_1"]
    assert [each.action for each in paid.actions] == ["problem.dismiss"]
    assert [each.event_id for each in told[ids.index("evt_3")].events] == ["evt_3"]
    assert [each.kind for each in told[ids.index(str(store(3)))].things] == ["store", "user"]


async def test_what_pages_show_live(compare: Compare) -> None:
    async def tell(buckets: Buckets) -> list[Any]:
        live = Live(buckets, Problems(buckets.home), Endpoints(buckets.home), load_catalogue())
        look = await live.now(everything=True)
        await live.stop()
        assert look.latest is not None
        assert len(look.latest) == SHOWN_MAX
        moments = [each.created_at for each in look.latest]
        # Of those of the last moment there may be more than are shown.
        certain = {each for each in look.latest if each.created_at > moments[-1]}
        return [look.queue, moments, certain]

    _, moments, _ = await compare(tell)
    assert moments == sorted(moments, reverse=True)
    assert isinstance(moments[0], datetime)
