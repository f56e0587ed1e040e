"""What stands in the tables of several stores, in the shape of the model."""

from typing import Any
from uuid import UUID

from storecredit.postgres.pool import Connection
from tests.sql.books import Credits, Row

Books = dict[UUID, tuple[Credits, list[Row], dict[UUID, Any]]]


async def read_back(connection: Connection, store_ids: list[UUID]) -> Books:
    """Each store's credits, its movements in order, and its sessions by id."""
    books: Books = {}
    for row in await connection.fetch(
        """SELECT store_id, balance, total_purchased, total_spent, last_seq
           FROM store_credits WHERE store_id = ANY ($1)""",
        store_ids,
    ):
        store_id, *numbers = row
        books[store_id] = (Credits(*numbers), [], {})
    for row in await connection.fetch(
        """SELECT store_id, seq, type, amount, balance_after, request_id
           FROM store_credit_transactions WHERE store_id = ANY ($1) ORDER BY seq""",
        store_ids,
    ):
        store_id, *movement = row
        books[store_id][1].append(Row(*movement))
    for row in await connection.fetch(
        """SELECT store_id, session_id, request_id, status, attempts, result_key, error_code
           FROM store_generation_sessions WHERE store_id = ANY ($1)""",
        store_ids,
    ):
        store_id, session_id, *session = row
        books[store_id][2][session_id] = tuple(session)
    return books
