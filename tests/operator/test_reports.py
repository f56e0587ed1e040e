"""Reports agree with the ledger to the unit, by whatever, and wherever they begin and end."""

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from storecredit.operator import report
from storecredit.operator.figures import (
    By,
    Figures,
    Measure,
    ReportRow,
    UnknownMovementType,
    measure_of,
)
from storecredit.operator.report import Reports
from storecredit.postgres.pool import Database
from tests.operator.random_ledger import FIRST_DAY, drawn_moment, make_ledger

EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))

# What each type counts as, by its name: said here once more, for the comparison.
MEASURES = {
    "purchase": "sold",
    "subscription": "sold",
    "grant": "given",
    "signup_bonus": "given",
    "deduction": "spent",
    "refund": "refunded",
    "overage": "overage",
    "overage_refund": "overage_returned",
    "overage_credit": "overage_returned",
    "clawback": "clawed_back",
    "overage_bill": None,
    "hold": None,
    "capture": "spent",
    "release": None,
    "hold_expiry": None,
    "expiry": "expired",
    "rollover": None,
    "reissue": None,
    "removal": "removed",
    "transfer_out": "transferred_out",
    "transfer_in": "transferred_in",
}
COMES = {"purchase", "subscription", "grant", "signup_bonus", "refund", "overage_credit"}
COMES |= {"transfer_in", "release", "hold_expiry"}
GOES = {"deduction", "clawback", "hold", "expiry", "removal", "transfer_out"}


def recomputed(rows: Iterable[asyncpg.Record], money: Iterable[asyncpg.Record]) -> dict[str, Any]:
    """The figures of some rows, added up one by one."""
    figures: dict[str, Any] = dict.fromkeys([*Measure, "balance_change"], 0)
    for row in rows:
        measure = MEASURES[row["type"]]
        if measure is not None:
            figures[measure] += row["amount"]
        sign = (row["type"] in COMES) - (row["type"] in GOES)
        figures["balance_change"] += sign * row["amount"]
    paid: dict[str, list[int]] = {}
    for row in money:
        paid.setdefault(row["currency"], [0, 0])[row["returned"]] += row["amount"]
    figures["money"] = [
        (currency, paid_, returned, paid_ - returned)
        for currency, (paid_, returned) in sorted(paid.items())
    ]
    return figures


def shown(figures: Figures) -> dict[str, Any]:
    """The same of a report."""
    names = [*Measure, "balance_change"]
    money = [(each.currency, each.paid, each.returned, each.net) for each in figures.money]
    return {name: getattr(figures, name) for name in names} | {"money": money}


GROUPS: dict[By, tuple[Callable[[Any], Any], Callable[[ReportRow], Any]]] = {
    By.DAY: (
        lambda row: row["created_at"].astimezone(UTC).date(),
        lambda row: row.day,
    ),
    By.PLAN: (
        lambda row: row["tier"] or row["owner_kind"],
        lambda row: "user" if row.end_users else row.plan,
    ),
    By.STORE: (
        lambda row: row["store_id"] or row["owner_kind"],
        lambda row: "user" if row.end_users else row.store_id,
    ),
}
LEDGER = """
    SELECT m.created_at, m.type, m.amount, a.owner_kind, s.store_id, s.tier
    FROM movements m JOIN accounts a USING (account_id)
    LEFT JOIN storecredit.stores s ON a.owner_kind = 'store' AND s.store_id = a.owner_id
    ORDER BY random()
"""
MONEY = """
    SELECT x.*, a.owner_kind, s.store_id, s.tier
    FROM (
        SELECT account_id, created_at, currency, amount, false AS returned
        FROM storecredit.payments
        UNION ALL SELECT p.account_id, c.created_at, p.currency, c.amount, true
        FROM storecredit.clawbacks c
        JOIN storecredit.payments p USING (provider, provider_transaction_id)
    ) x JOIN accounts a USING (account_id)
    LEFT JOIN storecredit.stores s ON a.owner_kind = 'store' AND s.store_id = a.owner_id
    ORDER BY random()
"""


async def test_every_report_is_what_its_rows_add_up_to(
    database: Database, admin: asyncpg.Connection
) -> None:
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    await make_ledger(admin, draw)
    moved, money = await admin.fetch(LEDGER), await admin.fetch(MONEY)
    reports = Reports(database)
    begin, end = sorted((drawn_moment(draw), drawn_moment(draw)))
    for since, until in (
        EVER,
        (FIRST_DAY + timedelta(days=2), FIRST_DAY + timedelta(days=5)),
        (begin, end + timedelta(microseconds=1)),
    ):
        some = [row for row in moved if since <= row["created_at"] < until]
        paid = [row for row in money if since <= row["created_at"] < until]
        total = recomputed(some, paid)
        made = await reports.make(since, until)
        assert (shown(made.total), made.rows) == (total, []), seed
        for by, (of_row, of_report) in GROUPS.items():
            made = await reports.make(since, until, by)
            assert shown(made.total) == total, seed
            groups = {of_row(row) for row in (*some, *paid)}
            expected = {
                group: recomputed(
                    [row for row in some if of_row(row) == group],
                    [row for row in paid if of_row(row) == group],
                )
                for group in groups
            }
            assert {of_report(row): shown(row) for row in made.rows} == expected, seed
            assert len(made.rows) == len(expected)
            assert not made.truncated
    ever = await reports.make(*EVER)
    balances = await admin.fetchval(
        "SELECT (SELECT sum(balance) FROM store_credits) + (SELECT sum(balance) FROM user_credits)"
    )
    assert ever.total.balance_change == balances
    assert ever.total.transferred_in == ever.total.transferred_out
    assert 0 not in shown(ever.total).values(), "too little happens in this ledger"


def test_a_role_that_no_report_knows_is_an_error() -> None:
    with pytest.raises(UnknownMovementType):
        measure_of("present", "gift", 0, None)


async def test_rows_beyond_the_most_are_told_of_and_counted_in_the_total(
    database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "ROWS_MAX", 2)
    for number in range(4):
        await admin.execute(
            "SELECT storecredit.create_store($1, 'A', 'a.example', 'default', 50, 'opening')",
            UUID(int=number + 1),
        )
    made = await Reports(database).make(*EVER, By.STORE)
    assert [row.store_id for row in made.rows] == [UUID(int=1), UUID(int=2)]
    assert made.truncated
    assert made.total.given == 200
