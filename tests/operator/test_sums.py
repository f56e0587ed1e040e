"""The sums that pages read are those of the ledger's rows, by hour and day, and of money by day."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.summing import Summing
from storecredit.operator.figures import UnknownMovementType
from storecredit.operator.report import Reports
from storecredit.operator.sums import Period, Sums
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.operator.random_ledger import DAYS, FIRST_DAY, drawn_moment, make_ledger
from tests.operator.test_reports import LEDGER, MONEY, recomputed, shown
from tests.sql.generations import create_one, fail_batch
from tests.sql.ledgers import open_account

EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# As often as anybody asks.
ALWAYS = Settings(sums_interval_seconds=1e-6)


def credits_of(rows: list[Any]) -> dict[str, Any]:
    return recomputed(rows, [])


def without_empty(periods: list[Period]) -> dict[datetime, dict[str, Any]]:
    return {each.begins_at: shown(each.figures) for each in periods}


@pytest.mark.parametrize("kind", [None, *OwnerKind])
async def test_hours_days_and_months_are_what_their_rows_add_up_to(
    database: Database, admin: asyncpg.Connection, kind: OwnerKind | None
) -> None:
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    await make_ledger(admin, draw)
    await Summing(database, ALWAYS).sum_up()
    sums = Sums(database)
    moved = [row for row in await admin.fetch(LEDGER) if kind in {None, row["owner_kind"]}]
    since, until = sorted(
        drawn_moment(draw).replace(minute=0, second=0, microsecond=0) for _ in "ab"
    )
    for begin, end in (EVER, (since, until), (since, since + HOUR)):
        some = [row for row in moved if begin <= row["created_at"] < end]
        read = await sums.hours(begin, end, kind)
        assert_sums(read, some, lambda at: at.replace(minute=0, second=0, microsecond=0), seed)
    for first, last in (EVER, (since, until), (since, since + DAY)):
        day, end_day = first.date(), last.date()
        some = [row for row in moved if day <= row["created_at"].astimezone(UTC).date() < end_day]
        days = await sums.days(day, end_day, kind)
        assert_sums(days, some, lambda at: datetime(at.year, at.month, at.day, tzinfo=UTC), seed)
        months = await sums.months(day, end_day, kind)
        assert_sums(months, some, lambda at: datetime(at.year, at.month, 1, tzinfo=UTC), seed)


def assert_sums(
    read: list[Period], rows: list[Any], begun: Callable[[datetime], datetime], seed: int
) -> None:
    """What was read is what these rows come to by the time that `begun` gives, in its order."""
    of_period: dict[datetime, list[Any]] = {}
    for row in rows:
        of_period.setdefault(begun(row["created_at"].astimezone(UTC)), []).append(row)
    expected = {begins_at: credits_of(some) for begins_at, some in sorted(of_period.items())}
    assert without_empty(read) == expected, seed
    assert [each.begins_at for each in read] == list(expected)


async def test_the_days_are_those_of_a_report_and_the_money_too(
    database: Database, admin: asyncpg.Connection
) -> None:
    seed = random.randrange(2**32)
    await make_ledger(admin, random.Random(seed))
    await Summing(database, ALWAYS).sum_up()
    sums, total = Sums(database), (await Reports(database).make(*EVER)).total

    days = await sums.days(EVER[0].date(), EVER[1].date())
    added = Counter[str]()
    for day in days:
        added.update({k: v for k, v in shown(day.figures).items() if k != "money"})
    assert added == Counter({k: v for k, v in shown(total).items() if k != "money"}), seed

    money = await admin.fetch(MONEY)
    expected = {
        day: recomputed(
            [], [row for row in money if row["created_at"].astimezone(UTC).date() == day]
        )
        for day in sorted({row["created_at"].astimezone(UTC).date() for row in money})
    }
    read = await sums.money_by_day(EVER[0].date(), EVER[1].date())
    told = [
        (each.day, [(m.currency, m.paid, m.returned, m.net) for m in each.money]) for each in read
    ]
    assert told == [(day, figures["money"]) for day, figures in expected.items()], seed
    third = FIRST_DAY.date() + timedelta(days=3)
    assert [each.day for each in await sums.money_by_day(third, third + DAY)] == [third]
    assert len(days) <= DAYS + 2


async def test_generations_and_their_failures_are_told(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.STORE, 10)
    sessions = [await create_one(admin, account, f"r{number}") for number in range(5)]
    failed = [(account, each) for each in sessions[:3]]
    codes = ["CONTENT_BLOCKED", "GENERATION_FAILED", "GENERATION_FAILED"]
    await fail_batch(admin, failed, codes)
    await Summing(database, ALWAYS).sum_up()

    # All within an hour, or on both sides of its end.
    hours = await Sums(database).hours(*EVER)
    assert sum(hour.generations for hour in hours) == 5
    failures = sum((Counter(hour.failures) for hour in hours), Counter[str]())
    assert failures == {"CONTENT_BLOCKED": 1, "GENERATION_FAILED": 2}
    assert sum(hour.failed for hour in hours) == 3
    assert sum(hour.figures.refunded for hour in hours) == 3
    assert await Sums(database).hours(*EVER, OwnerKind.USER) == []


async def test_how_far_is_counted_is_told_once_all_is(
    database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = Sums(database)
    assert await sums.counted_until() is None
    await make_ledger(admin, random.Random(1))
    await admin.fetch("SELECT * FROM sum_up('0', 2, 10)")
    assert await sums.counted_until() is None
    before = await admin.fetchval("SELECT clock_timestamp()")
    await Summing(database, ALWAYS).sum_up()
    counted = await sums.counted_until()
    assert counted is not None
    assert counted >= before


async def test_money_that_comes_in_later_is_told_on_its_day(
    database: Database, admin: asyncpg.Connection
) -> None:
    await make_ledger(admin, random.Random(1))
    await Summing(database, ALWAYS).sum_up()
    account_id = await admin.fetchval("SELECT min(account_id) FROM accounts")
    # Their transactions began today and yesterday.
    for number, ago in enumerate((0, 0, 1)):
        await admin.execute(
            """INSERT INTO storecredit.payments (provider, provider_transaction_id, account_id,
                   paid_at, kind, credits, amount, currency, request_id, created_at)
               VALUES ('paddle', $1, $2, now(), 'purchase', 1, 50, 'GBP', $1,
                   now() - make_interval(days => $3))""",
            f"new {number}",
            account_id,
            ago,
        )
    await Summing(database, ALWAYS).sum_up()

    today = (await admin.fetchval("SELECT now()")).astimezone(UTC).date()
    recent = await Sums(database).money_by_day(today - 3 * DAY, today + DAY)
    told = {each.day: [(m.currency, m.paid) for m in each.money] for each in recent}
    assert told == {today - DAY: [("GBP", 50)], today: [("GBP", 100)]}


async def test_a_type_that_there_is_not_is_an_error(
    database: Database, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        "INSERT INTO storecredit.hourly_sums VALUES (now(), 1, 0, 1, 'store', 'gift')"
    )
    with pytest.raises(UnknownMovementType):
        await Sums(database).hours(*EVER)
