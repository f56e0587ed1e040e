"""What stands in the tables of several stores, in the shape of the model."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from storecredit.postgres.pool import Connection
from tests.sql.books import Beyond, Bill, Credits, Row


@dataclass(frozen=True, slots=True)
class Books:
    """One store: its credits, its movements in order, its bills, and its sessions by id."""

    credits: Credits
    beyond: Beyond
    rows: list[Row] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)
    sessions: dict[UUID, Any] = field(default_factory=dict)


async def read_back(connection: Connection, store_ids: list[UUID]) -> dict[UUID, Books]:
    """What is written of each store."""
    books: dict[UUID, Books] = {}
    for row in await connection.fetch(
        """SELECT store_id, balance, total_purchased, total_spent, last_seq, total_clawed_back,
               overage_limit, overage_used
           FROM store_credits WHERE store_id = ANY ($1)""",
        store_ids,
    ):
        store_id, *numbers = row
        books[store_id] = Books(Credits(*numbers[:4]), Beyond(*numbers[4:]))
    for row in await connection.fetch(
        """SELECT store_id, seq, type, amount, balance_after, request_id
           FROM store_credit_transactions WHERE store_id = ANY ($1) ORDER BY seq""",
        store_ids,
    ):
        store_id, *movement = row
        books[store_id].rows.append(Row(*movement))
    for row in await connection.fetch(
        """SELECT store_id, period, seq, credits, amount, currency, request_id
           FROM store_overage_bills WHERE store_id = ANY ($1) ORDER BY period""",
        store_ids,
    ):
        store_id, *bill = row
        books[store_id].bills.append(Bill(*bill))
    for row in await connection.fetch(
        """SELECT store_id, session_id, request_id, status, attempts, result_key, error_code
           FROM store_generation_sessions WHERE store_id = ANY ($1)""",
        store_ids,
    ):
        store_id, session_id, *session = row
        books[store_id].sessions[session_id] = tuple(session)
    return books
