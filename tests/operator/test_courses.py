"""An account's course is what its movements add up to, wherever its days and hours have borders."""

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from storecredit.ledger.courses import (
    STRETCHES_MAX,
    Course,
    Courses,
    Stretch,
    days_until,
    hours_until,
)
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.pool import Database
from tests.operator.random_ledger import DAYS, FIRST_DAY, OWNERS, make_ledger
from tests.passing_time import pass_time
from tests.sql.full_grants import hold, spend
from tests.sql.ledgers import open_account, open_beyond
from tests.sql.statement_costs import Recorder, rows_read

LAST_DAY = FIRST_DAY + timedelta(days=DAYS)
AHEAD = ZoneInfo("Asia/Kathmandu")
"""5:45 hours ahead of UTC."""

# What one credit of each type adds to what a stretch says of it: said here once more.
ADDED = {"purchase", "subscription", "grant", "signup_bonus", "transfer_in", "overage_credit"}
SPENT = {"deduction": 1, "capture": 1, "refund": -1}
HELD = {"hold": 1, "capture": -1, "release": -1, "hold_expiry": -1}
EXPIRED = {"expiry": 1}
CLAWED_BACK = {"clawback": 1}
REMOVED = {"removal": 1, "transfer_out": 1}
OVERAGE = {"overage": 1, "overage_refund": -1}

# Moments in the order of the movements, as they are where nobody draws them.
IN_ORDER = """
    UPDATE storecredit.movements m SET created_at = o.created_at
    FROM (SELECT account_id, row_number() OVER (PARTITION BY account_id ORDER BY seq) AS place, ctid
          FROM storecredit.movements) p
    JOIN (SELECT account_id, row_number() OVER (PARTITION BY account_id ORDER BY created_at)
              AS place, created_at FROM storecredit.movements) o USING (account_id, place)
    WHERE m.ctid = p.ctid"""
OF_OWNER = """
    SELECT m.* FROM storecredit.movements m JOIN storecredit.accounts a USING (account_id)
    WHERE a.owner_kind = $1 AND a.owner_id = $2 ORDER BY m.seq"""
EVENLY = """
    INSERT INTO storecredit.movements
        (account_id, seq, created_at, amount, balance_after, spent_after, type, request_id)
    SELECT $1, i, $2::timestamptz + i * interval '90 days' / $3::int, 1, 1000000 - i, i,
        'deduction', 'r' || i
    FROM generate_series(1, $3::int) i"""
START = datetime(2026, 1, 1, tzinfo=UTC)


def recomputed(rows: Sequence[asyncpg.Record], moments: Sequence[datetime]) -> list[Stretch]:
    """The stretches of a ledger, added up one by one."""

    def total(some: Sequence[asyncpg.Record], effects: dict[str, int]) -> int:
        return sum(effects.get(row["type"], 0) * row["amount"] for row in some)

    made = []
    for begins_at, ends_at in pairwise(moments):
        until = [row for row in rows if row["created_at"] < ends_at]
        within = [row for row in until if row["created_at"] >= begins_at]
        made.append(
            Stretch(
                begins_at,
                ends_at,
                balance=until[-1]["balance_after"] if until else 0,
                held=total(until, HELD),
                added=total(within, dict.fromkeys(ADDED, 1)),
                spent=total(within, SPENT),
                expired=total(within, EXPIRED),
                clawed_back=total(within, CLAWED_BACK),
                removed=total(within, REMOVED),
                overage=total(within, OVERAGE),
            )
        )
    return made


async def test_every_course_is_what_its_rows_add_up_to(
    database: Database, admin: asyncpg.Connection
) -> None:
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    await make_ledger(admin, draw)
    await admin.execute(IN_ORDER)
    courses = Courses(database)
    told: list[Stretch] = []
    for number in range(1, OWNERS + 1):
        for kind in OwnerKind:
            owner = Owner(kind, UUID(int=number))
            rows = await admin.fetch(OF_OWNER, kind, owner.id)
            hour = FIRST_DAY + timedelta(hours=draw.randrange(24 * DAYS))
            for moments in (
                days_until(LAST_DAY, DAYS + 3),
                days_until(LAST_DAY, DAYS + 3, AHEAD),
                hours_until(hour, 48),
                [FIRST_DAY, LAST_DAY],
            ):
                course = await courses.of(owner, moments)
                assert course is not None
                assert list(course.stretches) == recomputed(rows, moments), (seed, owner)
                before = [row for row in rows if row["created_at"] < moments[0]]
                assert course.balance_before == (before[-1]["balance_after"] if before else 0)
                told += course.stretches
    for name in ("held", "added", "spent", "expired", "clawed_back", "removed", "overage"):
        assert any(getattr(stretch, name) for stretch in told), f"nothing was {name}: {seed}"


async def test_what_had_ended_counts_as_ended_whenever_it_is_written(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.STORE, 10)
    for hours, kept in ((1, None), (2, 3), (30, None)):
        await admin.execute(
            """SELECT add_to_account($1, 5, 'purchase', 'r' || $2::int, p_expires_at =>
                   now() + make_interval(hours => $2), p_rollover_max => $3::int,
                   p_rollover_until => now() + make_interval(hours => 10 * $3::int))""",
            account.id,
            hours,
            kept,
        )
    await hold(admin, account, 2, "until 2:30", 9000)
    await pass_time(admin, timedelta(hours=4), account.id)
    started_at = await admin.fetchval(
        "SELECT min(created_at) FROM storecredit.movements WHERE account_id = $1", account.id
    )
    moments = [started_at + timedelta(hours=hours) for hours in (-0.1, 0.1, 1.5, 2.2, 3, 40)]
    totals = [(23, 2, 0), (20, 2, 3), (18, 2, 2), (20, 0, 0), (20, 0, 0)]

    async def told() -> list[tuple[int, int, int]]:
        course = await Courses(database).of(account.owner, moments)
        assert course is not None
        return [(each.balance, each.held, each.expired) for each in course.stretches]

    before = await told()
    assert before == totals
    await admin.execute("SELECT expire_credits(ARRAY[$1::bigint])", account.id)
    assert await told() == before
    await spend(admin, account, 1, "work")
    assert await told() == [*before[:-1], (19, 0, 0)]


async def test_what_ends_on_a_border_ends_in_what_begins_there(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.USER, 10)
    now = await admin.fetchval("SELECT clock_timestamp()")
    await admin.execute(
        "SELECT add_to_account($1, 5, 'purchase', 'r', p_expires_at => $2)",
        account.id,
        now + timedelta(hours=1),
    )
    await pass_time(admin, timedelta(hours=4), account.id)
    ended_at = now - timedelta(hours=3)
    moments = [ended_at - timedelta(minutes=1), ended_at, ended_at + timedelta(minutes=1)]
    for _ in range(2):
        course = await Courses(database).of(account.owner, moments)
        assert course is not None
        assert [(each.balance, each.expired) for each in course.stretches] == [(15, 0), (10, 5)]
        await admin.execute("SELECT expire_credits(ARRAY[$1::bigint])", account.id)


async def test_overage_is_that_of_its_day_whenever_it_is_billed(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_beyond(admin, limit=100)
    use = "SELECT deduct_store_credits($1, $2, $3)"
    close = "SELECT close_overage($1, $2, 16, 'USD')"
    await admin.fetchval(use, account.owner.id, 7, "first")
    await pass_time(admin, timedelta(hours=1), account.id)
    await admin.execute(close, account.id, date(2020, 1, 1))
    await pass_time(admin, timedelta(hours=1), account.id)
    await admin.fetchval(use, account.owner.id, 4, "second")
    await admin.execute(close, account.id, date(2020, 2, 1))
    await pass_time(admin, timedelta(hours=1), account.id)
    now = await admin.fetchval("SELECT clock_timestamp()")
    course = await Courses(database).of(
        account.owner, [now - timedelta(minutes=minutes) for minutes in (190, 150, 90, 30)]
    )
    assert course is not None
    assert [each.overage for each in course.stretches] == [7, 0, 4]


async def test_who_has_moved_nothing_has_a_course_of_nothing_and_who_is_not_has_none(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.STORE)
    now = datetime.now(UTC)
    moments = [now - timedelta(days=1), now, now + timedelta(days=1)]
    course = await Courses(database).of(account.owner, moments)
    nothing = [
        Stretch(begins_at, ends_at, 0, 0, 0, 0, 0, 0, 0, 0)
        for begins_at, ends_at in pairwise(moments)
    ]
    assert course == Course(0, tuple(nothing))
    assert await Courses(database).of(Owner.user(account.owner.id), moments) is None


@pytest.mark.parametrize(
    "moments",
    [[], [START], [START, START], [START, START - timedelta(1)], days_until(START, 91)],
    ids=["none", "one", "the same", "descending", "too many"],
)
async def test_moments_that_make_no_course_are_refused(
    database: Database, moments: list[datetime]
) -> None:
    with pytest.raises(ValueError, match="course"):
        await Courses(database).of(Owner.store(UUID(int=1)), moments)


@pytest.mark.parametrize("movements", [2_000, 40_000])
async def test_a_course_reads_a_few_rows_for_each_of_its_days(
    database_url: str, admin: asyncpg.Connection, movements: int
) -> None:
    account = await open_account(admin, OwnerKind.STORE)
    await admin.execute(EVENLY, account.id, START, movements)
    recorder = await Recorder.open(database_url)
    course = await Courses(recorder).of(
        account.owner, days_until(START + timedelta(days=90), STRETCHES_MAX)
    )
    await recorder.close()
    assert course is not None
    assert {each.spent for each in course.stretches[1:-1]} <= {movements // 90, movements // 90 + 1}
    statement, arguments = recorder.sent
    assert await rows_read(admin, statement, *arguments) <= 9 * STRETCHES_MAX


async def test_a_course_of_movements_that_came_all_at_once_reads_few_rows_too(
    database_url: str, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.STORE)
    await admin.execute(EVENLY, account.id, START, 16_000)
    # Those of a day within its last second: no guess by the clock is of use.
    await admin.execute(
        """UPDATE storecredit.movements SET created_at = date_trunc('day', created_at, 'UTC')
               + interval '86399 seconds' + seq * interval '10 microseconds'
           WHERE account_id = $1""",
        account.id,
    )
    recorder = await Recorder.open(database_url)
    await Courses(recorder).of(account.owner, days_until(START + timedelta(days=90), STRETCHES_MAX))
    await recorder.close()
    statement, arguments = recorder.sent
    # 14 halves, at most as many guesses, and four look-ups of what was found.
    assert await rows_read(admin, statement, *arguments) <= (2 * 14 + 4) * STRETCHES_MAX


def test_days_are_those_of_the_clocks_that_are_asked_for() -> None:
    moment = datetime(2026, 10, 25, 23, 30, tzinfo=UTC)
    assert days_until(moment, 2) == [datetime(2026, 10, day, tzinfo=UTC) for day in (24, 25, 26)]
    # It is the 26th there, and on the 25th clocks were put back.
    berlin = days_until(moment, 2, ZoneInfo("Europe/Berlin"))
    assert berlin == [
        datetime(2026, 10, 24, 22, tzinfo=UTC),
        datetime(2026, 10, 25, 23, tzinfo=UTC),
        datetime(2026, 10, 26, 23, tzinfo=UTC),
    ]
    west = days_until(moment, 1, timezone(timedelta(hours=-8)))
    assert west == [datetime(2026, 10, day, 8, tzinfo=UTC) for day in (25, 26)]


def test_hours_begin_where_clocks_show_it() -> None:
    moment = datetime(2026, 10, 25, 23, 31, 5, 7, tzinfo=UTC)
    assert hours_until(moment, 2) == [
        datetime(2026, 10, 25, 22, tzinfo=UTC),
        datetime(2026, 10, 25, 23, tzinfo=UTC),
        datetime(2026, 10, 26, 0, tzinfo=UTC),
    ]
    assert hours_until(moment, 1, AHEAD) == [
        datetime(2026, 10, 25, 23, 15, tzinfo=UTC),
        datetime(2026, 10, 26, 0, 15, tzinfo=UTC),
    ]
