"""The doors of the ledger that take a batch: items of any accounts, in ascending order of them."""

from collections.abc import Sequence
from typing import NamedTuple

from storecredit.ledger.owners import Account
from storecredit.postgres.servers import Connection


class Item(NamedTuple):
    """One request for credits of an account, or to give them back."""

    account: Account | None
    amount: int | None
    request_id: str | None
    description: str | None = None


class Answer(NamedTuple):
    """What an item came to, and what its account had then."""

    outcome: str
    balance: int


DEDUCT = "deduct_from_accounts"
REFUND = "refund_to_accounts"


async def deduct_batch(connection: Connection, items: Sequence[Item]) -> list[Answer]:
    """Take credits; the answers in the items' order."""
    return await _call(connection, DEDUCT, items)


async def refund_batch(connection: Connection, items: Sequence[Item]) -> list[Answer]:
    """Give credits back; the answers in the items' order."""
    return await _call(connection, REFUND, items)


async def _call(connection: Connection, function: str, items: Sequence[Item]) -> list[Answer]:
    row = await connection.fetchrow(
        f"SELECT outcomes, balances FROM {function}($1, $2, $3, $4)",
        [item.account.id if item.account else None for item in items],
        [item.amount for item in items],
        [item.request_id for item in items],
        [item.description for item in items],
    )
    assert row is not None
    return [Answer(*answer) for answer in zip(row["outcomes"], row["balances"], strict=True)]
