"""The same calls played twice: on owners of whom two bear one id, and on owners of their own.

The first play sends batches over all accounts; the second takes the accounts one by one. What comes
of it must be the same: then accounts never meet, neither in a batch nor by the ids of their owners.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.interface import INTERFACES
from tests.sql.ledgers import open_account

KINDS: Final = (OwnerKind.STORE, OwnerKind.USER, OwnerKind.STORE)
"""Of the accounts, in ascending order of their ids; the first two may be of one id."""
TYPES: Final = ("purchase", "grant", "subscription", "signup_bonus")
BATCHES: Final = {
    "create_generations": "$1, $2, $3, $4, $5, $6, $6, 'generate', $7",
    "deduct_from_accounts": "$1, $2, $3, $4",
    "refund_to_accounts": "$1, $2, $3, $4",
    "start_generations": "$1, $2",
    "complete_generations": "$1, $2, $3",
    "fail_generations": "$1, $2, $3, $3, $4",
}
SINGLES: Final = {
    "add_to_account": "$1, {amount}, '{type}', '{request}'",
    "claw_back_from_account": "$1, {amount}, '{request}'",
    "set_overage_limit": "$1, {amount}",
    "close_overage": "$1, '{month}', 16, 'USD'",
    "postpone_generation": "$1, '{session}', 'said {content}', {counts}",
    "forget_result": "$1, '{session}'",
    "forget_generator_message": "$1, '{session}'",
}
OUTSIDE: Final = {
    "deduct": "$1, {amount}, '{request}'",
    "refund": "$1, {amount}, '{request}'",
    "add": "$1, {amount}, '{type}', '{request}'",
    "claw_back": "$1, {amount}, '{request}'",
}
WRITTEN: Final = (
    "SELECT owner_kind, overage_limit FROM accounts WHERE account_id = $1",
    """SELECT seq, type, amount, balance_after, spent_after, clawed_back_after,
        overage_used_after, request_id, description, session_id
    FROM movements WHERE account_id = $1 ORDER BY seq""",
    """SELECT session_id, request_id, status, attempts, credits, fingerprint, error_code,
        error_message, result_key, generator_message
    FROM sessions WHERE account_id = $1 ORDER BY request_id""",
    """SELECT period, seq, credits, amount, currency, request_id
    FROM overage_bills WHERE account_id = $1 ORDER BY period""",
)


@dataclass(frozen=True)
class Item:
    """One call, or one item of a batch; each function takes of it what it needs."""

    account: int
    request: int
    content: int
    amount: int


@dataclass(frozen=True)
class Step:
    """A function, and the items it is called with: in one batch, or one by one."""

    function: str
    items: tuple[Item, ...]


Answer = tuple[object, ...]


class Play:
    """Some accounts, and what their sessions are called."""

    def __init__(self, connection: Connection, accounts: Sequence[Account]) -> None:
        self._connection = connection
        self.accounts = accounts
        self._requests: dict[UUID, tuple[int, str]] = {}

    @classmethod
    async def begin(
        cls,
        connection: Connection,
        openings: Sequence[tuple[int, int]],
        *,
        one_id: bool,
    ) -> "Play":
        """New accounts with so many credits and such overage limits (where their kind has any)."""
        ids = [uuid7() for _ in KINDS]
        if one_id:
            ids[1] = ids[0]
        accounts = []
        for kind, owner_id, (credits, limit) in zip(KINDS, ids, openings, strict=True):
            accounts.append(await open_account(connection, kind, credits, owner_id=owner_id))
            if kind is OwnerKind.STORE:
                await connection.execute("SELECT set_overage_limit($1, $2)", accounts[-1].id, limit)
        return cls(connection, accounts)

    async def together(self, step: Step) -> list[Answer]:
        """What each item comes to, in the items' order; a batch is one call."""
        if step.function in BATCHES:
            return await self._batch(step.function, step.items)
        return [await self._single(step.function, item) for item in step.items]

    async def apart(self, step: Step) -> list[Answer]:
        """The same, account by account."""
        answers: list[Answer] = []
        for place in range(len(KINDS)):
            own = Step(step.function, tuple(each for each in step.items if each.account == place))
            answers += await self.together(own) if own.items else []
        return answers

    async def written(self) -> list[list[Answer]]:
        """Every row of these accounts, but for ids and times, which differ from play to play."""
        return [
            [self._named(row) for row in await self._connection.fetch(query, account.id)]
            for account in self.accounts
            for query in WRITTEN
        ]

    async def _batch(self, function: str, items: Sequence[Item]) -> list[Answer]:
        arguments = [[self.accounts[item.account].id for item in items]]
        arguments += await self._arrays(function, items)
        rows = await self._connection.fetch(
            f"SELECT * FROM {function}({BATCHES[function]})", *arguments
        )
        if "outcomes" in rows[0]:
            # One row of arrays.
            return [self._named(answer) for answer in zip(*rows[0], strict=True)]
        return [self._named(row[1:]) for row in sorted(map(tuple, rows))]

    async def _arrays(self, function: str, items: Sequence[Item]) -> list[list[Any]]:
        """What a function of batches takes beside the accounts: one value per item."""
        request_ids = [f"r{item.request}" for item in items]
        marks = [f"mark {item.content}" for item in items]
        match function:
            case "create_generations":
                ids = [uuid7() for _ in items]
                for session_id, item in zip(ids, items, strict=True):
                    self._requests[session_id] = item.account, f"r{item.request}"
                prints = [hashlib.sha256(bytes([item.content])).digest() for item in items]
                nothing = [None] * len(items)
                amounts = [item.amount for item in items]
                payloads = [each.bytes for each in ids]
                return [ids, request_ids, amounts, prints, nothing, payloads]
            case "deduct_from_accounts" | "refund_to_accounts":
                return [[item.amount for item in items], request_ids, marks]
            case "start_generations":
                return [[await self._session(item) for item in items]]
            case "complete_generations":
                return [[await self._session(item) for item in items], marks]
            case _:
                return [[await self._session(item) for item in items], marks, marks]

    async def _single(self, function: str, item: Item) -> Answer:
        account = self.accounts[item.account]
        names: dict[str, Any] = {
            "amount": item.amount,
            "type": TYPES[item.request % len(TYPES)],
            "request": f"r{item.request}",
            "content": item.content,
            "counts": item.content == 0,
            "month": date(2026, 1 + item.request, 1),
            "session": await self._session(item),
        }
        if function in OUTSIDE:
            name = getattr(INTERFACES[account.owner.kind], function)
            call, subject = f"public.{name}({OUTSIDE[function]})", str(account.owner.id)
        else:
            call, subject = f"{function}({SINGLES[function]})", str(account.id)
        statement = f"SELECT * FROM {call.format(**names)}".replace("$1", f"'{subject}'")
        try:
            row = await self._connection.fetchrow(statement)
        except asyncpg.PostgresError as refused:
            return ("refused", refused.sqlstate)
        assert row is not None
        return self._named(row)

    async def _session(self, item: Item) -> UUID:
        """The session of the item's request; one that is not there if it has none."""
        session_id = await self._connection.fetchval(
            "SELECT session_id FROM sessions WHERE account_id = $1 AND request_id = $2",
            self.accounts[item.account].id,
            f"r{item.request}",
        )
        return session_id or UUID(int=item.request)

    def _named(self, row: Sequence[Any] | asyncpg.Record) -> Answer:
        """A row with its sessions named by their requests, and without times."""
        return tuple(
            self._requests.get(value, value) if isinstance(value, UUID) else value
            for value in tuple(row)
            if not isinstance(value, datetime | float)
        )
