"""The overview's figures are those of its span, whatever has none; and what is wrong is in it."""

from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from storecredit.billing.problems import Problems
from storecredit.ledger import verification
from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.summing import Summing
from storecredit.ledger.verification import LastVerification
from storecredit.operator.overview import (
    CurrencyCourse,
    Overviews,
    Span,
    points_of,
)
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import connect
from storecredit.settings import Settings
from storecredit.webhooks.endpoints import Endpoints
from tests.sql.ledgers import open_account, open_store
from tests.sql.recounted import DAYS_ANEW
from tests.sql.statement_costs import Recorder, rows_read

NOW = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
HOURLY = """
    INSERT INTO storecredit.hourly_sums
        (hour, owner_kind, type, cause, movements, generations, credits)
    VALUES ($1, $2, $3, $4, $5, $5, $6)"""
# A year of one account, up to now.
LEDGER = """
    INSERT INTO storecredit.movements
        (account_id, seq, created_at, amount, balance_after, spent_after, type, request_id)
    SELECT $1, i, now() - interval '364 days' * ($2::int - i) / $2, 1, 1000000 - i, i,
        'deduction', 'r' || i
    FROM generate_series(1, $2::int) i"""
ROWS_MAX = 600
"""A year of days, and the look-ups of what a store has."""
MONEY = "INSERT INTO storecredit.daily_money VALUES ($1, $2, $3, $4)"


@pytest.fixture
def overviews(database: Database) -> Overviews:
    return Overviews(database, Problems(database), Endpoints(database))


def test_spans_end_with_the_hour_day_or_month_of_now() -> None:
    hours, days, months = (points_of(span, NOW) for span in Span)
    assert (hours[0], hours[-1]) == (
        datetime(2026, 2, 28, 1, tzinfo=UTC),
        datetime(2026, 3, 1, tzinfo=UTC),
    )
    assert (days[0], days[-1]) == (
        datetime(2026, 1, 31, tzinfo=UTC),
        datetime(2026, 3, 1, tzinfo=UTC),
    )
    assert (months[0], months[9], months[-1]) == (
        datetime(2025, 4, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 3, 1, tzinfo=UTC),
    )
    assert [len(points) for points in (hours, days, months)] == [24, 30, 12]
    assert points_of(Span.MONTHS, datetime(2026, 12, 31, tzinfo=UTC))[0].month == 1


@pytest.mark.parametrize("span", Span)
async def test_every_hour_day_or_month_of_the_span_is_told_and_none_beside_it(
    overviews: Overviews, admin: asyncpg.Connection, span: Span
) -> None:
    points = points_of(span, NOW)
    before = points[0] - timedelta(hours=1)
    rows = [
        (before, "store", "deduction", "", 1, 1000),
        (points[0], "store", "deduction", "", 5, 50),
        (points[0], "store", "refund", "GENERATOR_TIMEOUT", 1, 9),
        (points[0], "user", "deduction", "", 2, 7),
        (points[0], "user", "refund", "GENERATION_FAILED", 2, 3),
        (points[-1], "store", "purchase", "", 1, 400),
        (points[-1], "store", "refund", "GENERATION_FAILED", 3, 4),
    ]
    await admin.executemany(HOURLY, rows)
    await admin.execute(DAYS_ANEW)
    both = await overviews.look(span, now=NOW)
    assert [each.begins_at for each in both.periods] == list(points)
    assert [each.figures.spent for each in both.periods] == [57] + [0] * (len(points) - 1)
    assert both.periods[-1].figures.sold == 400
    total = both.total
    assert (total.figures.spent, total.figures.refunded, total.figures.sold) == (57, 16, 400)
    assert (total.generations, total.failed) == (7, 6)
    # The most frequent first.
    assert list(total.failures.items()) == [("GENERATION_FAILED", 5), ("GENERATOR_TIMEOUT", 1)]
    users = await overviews.look(span, OwnerKind.USER, now=NOW)
    assert (users.total.figures.spent, users.total.generations) == (7, 2)
    assert users.total.failures == {"GENERATION_FAILED": 2}


async def test_money_is_told_by_the_day_or_the_month_the_currency_of_most_first(
    overviews: Overviews, admin: asyncpg.Connection
) -> None:
    # As the table has them: day, paid, returned, currency.
    for row in (
        (date(2025, 3, 31), 1, 1, "USD"),
        (date(2025, 4, 1), 100, 0, "EUR"),
        (date(2026, 1, 30), 70, 0, "EUR"),
        (date(2026, 1, 31), 50, 30, "USD"),
        (date(2026, 3, 1), 25, 0, "EUR"),
    ):
        await admin.execute(MONEY, *row)
    for span in (Span.HOURS, Span.DAYS):
        days = await overviews.look(span, now=NOW)
        assert len(days.money_points) == 30
        assert days.money == (
            CurrencyCourse("USD", (50, *[0] * 29), (30, *[0] * 29)),
            CurrencyCourse("EUR", (*[0] * 29, 25), (0,) * 30),
        )
    months = await overviews.look(Span.MONTHS, now=NOW)
    assert months.money == (
        CurrencyCourse("EUR", (100, *[0] * 8, 70, 0, 25), (0,) * 12),
        CurrencyCourse("USD", (*[0] * 9, 50, 0, 0), (*[0] * 9, 30, 0, 0)),
    )


async def test_a_service_in_which_nothing_has_happened_has_an_overview(
    overviews: Overviews,
) -> None:
    found = await overviews.look(Span.DAYS)
    assert found.total.generations == 0
    assert found.money == ()
    assert found.counted_until is None
    health = found.health
    assert health.verification is None
    assert health.problems == {"events": 0, "clawbacks": 0, "bills": 0}
    assert health.endpoints == {"working": 0, "failing": 0, "given_up": 0}
    assert health.running_dry == []
    assert not health.has_stores


async def test_what_may_need_somebody_is_told(
    overviews: Overviews, database: Database, admin: asyncpg.Connection
) -> None:
    await open_store(admin)
    last = LastVerification(NOW, 3)
    await verification.record(database, last, None)
    health = (await overviews.look(Span.HOURS)).health
    assert health.verification == last
    assert health.has_stores


@pytest.mark.parametrize("movements", [1_000, 20_000])
async def test_an_overview_reads_as_many_rows_of_a_long_ledger_as_of_a_short_one(
    database_url: str, admin: asyncpg.Connection, movements: int
) -> None:
    account = await open_account(admin, OwnerKind.STORE)
    await admin.execute(LEDGER, account.id, movements)
    recorder = await Recorder.open(database_url)
    await Summing(recorder, Settings(sums_interval_seconds=1e-6)).sum_up()
    overviews = Overviews(recorder, Problems(recorder), Endpoints(recorder))
    connection = await connect(database_url)
    for span in Span:
        recorder.statements.clear()
        found = await overviews.look(span)
        assert found.total.figures.spent > 0
        read = [await rows_read(connection, text, *args) for text, args in recorder.statements]
        assert sum(read) <= ROWS_MAX, (span, read)
    await connection.close()
    await recorder.close()
