"""What stands in the tables of several accounts, in the shape of the model."""

from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple
from uuid import UUID

from storecredit.postgres.servers import Connection


class MovementRow(NamedTuple):
    """One movement, with the account's state after it."""

    seq: int
    type: str
    amount: int
    request_id: str
    session_id: UUID | None
    balance_after: int = 0
    spent_after: int = 0
    clawed_back_after: int | None = None
    overage_used_after: int | None = None


class BillRow(NamedTuple):
    """A bill for what was used beyond the balance."""

    period: date
    seq: int
    credits: int
    amount: int
    currency: str
    request_id: str


class SessionRow(NamedTuple):
    """A generation session."""

    request_id: str
    credits: int
    status: str
    attempts: int
    result_key: str | None
    error_code: str | None


class Totals(NamedTuple):
    """What outside callers are told that an owner has."""

    balance: int
    added: int
    spent: int
    clawed_back: int
    last_seq: int


@dataclass(slots=True)
class Books:
    """One account: its limit, its movements in order, its bills, its sessions and jobs."""

    overage_limit: int
    totals: Totals
    rows: list[MovementRow] = field(default_factory=list)
    bills: list[BillRow] = field(default_factory=list)
    sessions: dict[UUID, SessionRow] = field(default_factory=dict)
    jobs: set[UUID] = field(default_factory=set)
    """The sessions that a job waits for."""


async def read_back(connection: Connection, account_ids: list[int]) -> dict[int, Books]:
    """What is written of each account."""
    books: dict[int, Books] = {}
    for account_id, limit, *totals in await connection.fetch(
        """SELECT a.account_id, a.overage_limit, c.* FROM accounts a JOIN (
               SELECT 'store' AS owner_kind, s.store_id AS owner_id, s.balance, s.total_purchased,
                   s.total_spent, s.total_clawed_back, s.last_seq FROM store_credits s
               UNION ALL
               SELECT 'user', u.user_id, u.balance, u.total_earned, u.total_spent,
                   u.total_clawed_back, u.last_seq FROM user_credits u
           ) c USING (owner_kind, owner_id)
           WHERE a.account_id = ANY ($1)""",
        account_ids,
    ):
        books[account_id] = Books(limit, Totals(*totals[2:]))
    for account_id, *movement in await connection.fetch(
        """SELECT account_id, seq, type, amount, request_id, session_id, balance_after,
               spent_after, clawed_back_after, overage_used_after
           FROM movements WHERE account_id = ANY ($1) ORDER BY seq""",
        account_ids,
    ):
        books[account_id].rows.append(MovementRow(*movement))
    for account_id, *bill in await connection.fetch(
        """SELECT account_id, period, seq, credits, amount, currency, request_id
           FROM subscription_charges WHERE account_id = ANY ($1) ORDER BY period""",
        account_ids,
    ):
        books[account_id].bills.append(BillRow(*bill))
    for account_id, session_id, has_job, *session in await connection.fetch(
        """SELECT s.account_id, s.session_id, EXISTS (
                   SELECT FROM pgqueuer j WHERE j.dedupe_key = s.session_id::text),
               s.request_id, s.credits, s.status, s.attempts, s.result_key, s.error_code
           FROM sessions s WHERE s.account_id = ANY ($1)""",
        account_ids,
    ):
        books[account_id].sessions[session_id] = SessionRow(*session)
        if has_job:
            books[account_id].jobs.add(session_id)
    return books
