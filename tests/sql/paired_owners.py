"""The same calls played twice: on owners of whom two bear one id, and on owners of their own.

The first play sends batches over all accounts; the second takes the accounts one by one. What comes
of it must be the same: then accounts never meet, neither in a batch nor by the ids of their owners.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.passing_time import pass_time
from tests.sql.interface import INTERFACES
from tests.sql.ledgers import open_account

KINDS: Final = (OwnerKind.STORE, OwnerKind.USER, OwnerKind.STORE)
"""Of the accounts, in ascending order of their ids; the first two may be of one id."""
CENTURIES: Final = timedelta(days=200 * 365)
"""So long that all is over which ends at all."""
TYPES: Final = ("purchase", "grant", "subscription", "signup_bonus")
BATCHES: Final = {
    "create_generations": "$1, $2, $3, $4, $5, $6, $6, 'generate', $7",
    "deduct_from_accounts": "$1, $2, $3, $4",
    "refund_to_accounts": "$1, $2, $3, $4",
    "start_generations": "$1, $2",
    "complete_generations": "$1, $2, $3",
    "fail_generations": "$1, $2, $3, $3, $4",
    "spend_credits": "$1, $2, $3, $4, $5, $6",
    "refund_spends": "$1, $2, $3, $4",
    "hold_credits": "$1, $2, $3, $4, $5, $6, $7, $8",
    "end_holds": "$1, $2, $3, $4",
    "expire_credits": "$1",
}
SINGLES: Final = {
    "add_to_account": "$1, {amount}, '{type}', '{request}', p_expires_at => {end}",
    "claw_back_from_account": "$1, {amount}, '{request}'",
    "set_overage_limit": "$1, {amount}",
    "set_low_threshold": "$1, {amount}",
    "close_overage": "$1, '{month}', 16, 'USD'",
    "postpone_generation": "$1, '{session}', 'said {content}', {counts}",
    "forget_result": "$1, '{session}'",
    "forget_generator_message": "$1, '{session}'",
    "extend_hold": "$1, '{hold}', {longer}, 'longer'",
    "remove_from_account": "$1, {amount}, '{request}', 'taken out', 'operator'",
    "transfer_credits": "$1, {other}, {amount}, '{request}', 'handed on', 'operator'",
    "set_grant_expiry": "$1, {grant}, {other_end}, 'another end', 'operator'",
}
STORIES: Final = (
    ("spend_credits", "refund_spends"),
    ("hold_credits", "end_holds"),
    ("hold_credits", "extend_hold"),
    ("hold_credits", "expire_credits"),
    ("add_to_account", "expire_credits"),
    ("add_to_account", "set_grant_expiry"),
    ("add_to_account", "transfer_credits"),
    ("add_to_account", "remove_from_account"),
)
"""Doors that come to something only after another one, with the same items."""
OUTSIDE: Final = {
    "deduct": "$1, {amount}, '{request}'",
    "refund": "$1, {amount}, '{request}'",
    "add": "$1, {amount}, '{type}', '{request}'",
    "claw_back": "$1, {amount}, '{request}'",
}
WRITTEN: Final = (
    "SELECT owner_kind, overage_limit, low_threshold FROM accounts WHERE account_id = $1",
    """SELECT seq, type, amount, balance_after, spent_after, clawed_back_after,
        overage_used_after, held_after, expired_after, removed_after, grants_after, origin_seq,
        actor, request_id, description, session_id
    FROM movements WHERE account_id = $1 ORDER BY seq""",
    """SELECT session_id, request_id, status, attempts, credits, fingerprint, error_code,
        error_message, result_key, generator_message
    FROM sessions WHERE account_id = $1 ORDER BY request_id""",
    """SELECT period, seq, credits, amount, currency, request_id
    FROM subscription_charges WHERE account_id = $1 ORDER BY period""",
    # Of its end the century: it may be counted from now on.
    """SELECT seq, amount, priority, kind, extract(century FROM expires_at)::int
    FROM grants WHERE account_id = $1 ORDER BY seq""",
    """SELECT request_id, fingerprint FROM spends WHERE account_id = $1 ORDER BY request_id""",
    """SELECT hold_id, seq, amount, captured, status, request_id, fingerprint, description,
        extract(century FROM expires_at)::int
    FROM holds WHERE account_id = $1 ORDER BY request_id""",
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
    """Some accounts, and what their sessions and holds are called."""

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
        if function == "expire_credits":
            return await self._expire(items)
        arguments = [[self.accounts[item.account].id for item in items]]
        arguments += await self._arrays(function, items)
        rows = await self._connection.fetch(
            f"SELECT * FROM {function}({BATCHES[function]})", *arguments
        )
        if "outcomes" in rows[0]:
            # One row of arrays.
            return [self._named(answer) for answer in zip(*rows[0], strict=True)]
        return [self._named(row[1:]) for row in sorted(map(tuple, rows))]

    async def _expire(self, items: Sequence[Item]) -> list[Answer]:
        """Time passes for the accounts; of some, what has ended is left to the next call."""
        account_ids = {self.accounts[item.account].id for item in items}
        await pass_time(self._connection, CENTURIES, *account_ids)
        ended = await self._connection.fetchval(
            f"SELECT expire_credits({BATCHES['expire_credits']})",
            [self.accounts[item.account].id for item in items if item.content == 0],
        )
        # One number for the batch: as many answers, so that it compares with those of its accounts.
        return [("ended",)] * ended

    async def _arrays(self, function: str, items: Sequence[Item]) -> list[list[Any]]:
        """What a function of batches takes beside the accounts: one value per item."""
        request_ids = [f"r{item.request}" for item in items]
        marks = [f"mark {item.content}" for item in items]
        amounts = [item.amount for item in items]
        prints = [hashlib.sha256(bytes([item.content])).digest() for item in items]
        nothing = [None] * len(items)
        match function:
            case "create_generations":
                ids = self._new_ids(items)
                payloads = [each.bytes for each in ids]
                return [ids, request_ids, amounts, prints, nothing, payloads]
            case "deduct_from_accounts" | "refund_to_accounts":
                return [amounts, request_ids, marks]
            case "spend_credits":
                return [amounts, request_ids, prints, marks, nothing]
            case "refund_spends":
                backs = [f"back {item.amount} {item.content}" for item in items]
                parts = [item.amount if item.content == 0 else None for item in items]
                return [request_ids, backs, parts]
            case "hold_credits":
                ids = self._new_ids(items)
                seconds = [_seconds(item) for item in items]
                return [ids, amounts, request_ids, prints, seconds, marks, nothing]
            case "end_holds":
                actions = ["release" if item.content else "capture" for item in items]
                return [[await self._hold(item) for item in items], actions, amounts]
            case _:
                said = {"start_generations": 0, "complete_generations": 1, "fail_generations": 2}
                return [[await self._session(item) for item in items], *[marks] * said[function]]

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
            "hold": await self._hold(item),
            "longer": 3600 + _seconds(item),
            "other": self.accounts[(item.account + 1) % len(KINDS)].id,
            "grant": 1 + item.request // 2,
            "end": "NULL" if item.content else "'2100-01-01'",
            "other_end": "NULL" if item.content else "'2101-01-01'",
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

    async def _hold(self, item: Item) -> UUID:
        """The hold of the item's request; one that is not there if it has none."""
        hold_id = await self._connection.fetchval(
            "SELECT hold_id FROM holds WHERE account_id + 0 = $1 AND request_id = $2",
            self.accounts[item.account].id,
            f"r{item.request}",
        )
        return hold_id or UUID(int=item.request)

    def _new_ids(self, items: Sequence[Item]) -> list[UUID]:
        """Of what the items' requests are to make, which is told by them."""
        ids = [uuid7() for _ in items]
        for id_, item in zip(ids, items, strict=True):
            self._requests[id_] = item.account, f"r{item.request}"
        return ids

    def _named(self, row: Sequence[Any] | asyncpg.Record) -> Answer:
        """A row with its sessions and holds named by their requests, and without times."""
        return tuple(
            self._requests.get(value, value) if isinstance(value, UUID) else value
            for value in tuple(row)
            if not isinstance(value, datetime | float)
        )


def _seconds(item: Item) -> int:
    """How long a hold lasts: of an account's holds none ends when another does."""
    return 3600 + 60 * item.request
