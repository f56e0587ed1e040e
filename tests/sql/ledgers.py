"""Reading the books back: what stands in the tables, whatever a function has answered.

The tables are read, not the views for outside callers; test_interface_batches.py compares the two.
"""

import itertools
from collections.abc import Awaitable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Account, Owner, OwnerKind
from storecredit.postgres.servers import Connection

OPENING: Final = "opening"
"""The request id under which an account opens with credits."""

# Before the first movement there is nothing: 0 of everything.
_NEWEST: Final = """
    FROM storecredit.accounts a LEFT JOIN LATERAL (
        SELECT * FROM storecredit.movements n WHERE n.account_id = a.account_id
        ORDER BY n.seq DESC LIMIT 1) m ON true
    WHERE a.owner_kind = $1 AND a.owner_id = $2"""
_OF_OWNER: Final = """account_id = (
    SELECT account_id FROM storecredit.accounts WHERE owner_kind = $1 AND owner_id = $2)"""


class Row(NamedTuple):
    """One movement in the ledger."""

    seq: int
    type: str
    amount: int
    balance_after: int
    request_id: str


class Credits(NamedTuple):
    """What an account has, and in all had; its newest movement's seq, 0 before the first."""

    balance: int
    total_added: int
    total_spent: int
    last_seq: int


class Beyond(NamedTuple):
    """The rest of an account: what was clawed back, and what goes beyond the balance."""

    total_clawed_back: int
    overage_limit: int
    overage_used: int


class Bill(NamedTuple):
    """A bill for what was used beyond the balance."""

    period: date
    seq: int
    credits: int
    amount: int
    currency: str
    request_id: str


class Effect(NamedTuple):
    """What one credit of a type of movement does: to the balance, and to each total."""

    balance: int
    added: int
    spent: int
    clawed_back: int
    overage_used: int
    held: int = 0
    expired: int = 0
    removed: int = 0


# Making owners


async def open_store(connection: Connection, credits: int = 0) -> UUID:
    """Make a store; with credits, its ledger opens with a grant under the request id 'opening'."""
    store_id = uuid7()
    await connection.execute(
        "SELECT FROM create_store($1, 'Test', 'test.example', p_credits => $2, p_request_id => $3)",
        store_id,
        credits,
        OPENING,
    )
    return store_id


async def open_user(connection: Connection, credits: int = 0) -> UUID:
    """Make a user; with credits, its ledger opens with a signup_bonus under the id 'signup'."""
    user_id = uuid4()
    made = await connection.fetchval("SELECT outcome FROM ensure_user($1, $2)", user_id, credits)
    assert made == "made"
    return user_id


async def account_of(connection: Connection, owner: Owner) -> Account:
    """The account of an owner who is there."""
    account_id = await connection.fetchval(
        "SELECT storecredit.account_of($1, $2)", owner.kind.value, owner.id
    )
    return Account(int(account_id), owner)


async def open_account(
    connection: Connection, kind: OwnerKind, credits: int = 0, *, owner_id: UUID | None = None
) -> Account:
    """A new owner of either kind; with credits, it opens with a grant under the id 'opening'."""
    owner = Owner(kind, owner_id or uuid7())
    if kind is OwnerKind.STORE:
        await connection.execute("SELECT FROM create_store($1, 'Test', 'test.example')", owner.id)
    else:
        await connection.execute("SELECT FROM ensure_user($1, 0)", owner.id)
    account = await account_of(connection, owner)
    if credits:
        await connection.execute(
            "SELECT add_to_account($1, $2, 'grant', $3)", account.id, credits, OPENING
        )
    return account


async def open_some(connection: Connection, *credits: int) -> list[Account]:
    """Accounts of a store, a user, a store, a user …, in ascending order of their ids."""
    kinds = itertools.cycle([OwnerKind.STORE, OwnerKind.USER])
    return [
        await open_account(connection, kind, count)
        for kind, count in zip(kinds, credits, strict=False)
    ]


async def open_beyond(connection: Connection, credits: int = 0, *, limit: int) -> Account:
    """A store's account that may go `limit` credits beyond its balance."""
    account = await open_account(connection, OwnerKind.STORE, credits)
    await connection.execute("SELECT set_overage_limit($1, $2)", account.id, limit)
    return account


async def add_ending(
    connection: Connection, accounts: Sequence[Account], amount: int, *ahead: timedelta
) -> datetime:
    """Credits that end so long from now, for all of the accounts at once; when the last do."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    ends = [now + each for each in ahead]
    await connection.execute(
        """SELECT add_to_account(a.id, $3, 'purchase', 'ends ' || e.at, p_expires_at => e.at)
           FROM unnest($1::bigint[]) a (id), unnest($2::timestamptz[]) e (at)""",
        [account.id for account in accounts],
        ends,
        amount,
    )
    return max(ends)


# Reading


async def ledger(connection: Connection, account: Account) -> list[Row]:
    """Every movement of the account, oldest first."""
    rows = await connection.fetch(
        """SELECT seq, type, amount, balance_after, request_id FROM storecredit.movements
           WHERE account_id = $1 ORDER BY seq""",
        account.id,
    )
    return [Row(*row) for row in rows]


async def credits_of(connection: Connection, account: Account) -> Credits:
    """What the account's newest movement says it has."""
    row = await connection.fetchrow(
        f"""SELECT coalesce(m.balance_after, 0),
            coalesce(m.balance_after + m.spent_after + coalesce(m.clawed_back_after, 0)
                + coalesce(m.held_after, 0) + coalesce(m.expired_after, 0)
                + coalesce(m.removed_after, 0), 0),
            coalesce(m.spent_after, 0), coalesce(m.seq, 0) {_NEWEST}""",
        account.owner.kind.value,
        account.owner.id,
    )
    assert row is not None
    return Credits(*row)


async def beyond(connection: Connection, account: Account) -> Beyond:
    """The account's clawbacks and overage."""
    row = await connection.fetchrow(
        f"""SELECT coalesce(m.clawed_back_after, 0), a.overage_limit,
            coalesce(m.overage_used_after, 0) {_NEWEST}""",
        account.owner.kind.value,
        account.owner.id,
    )
    assert row is not None
    return Beyond(*row)


async def bills(connection: Connection, account: Account) -> list[Bill]:
    """Every overage bill of the account, oldest first."""
    rows = await connection.fetch(
        """SELECT period, seq, credits, amount, currency, request_id
           FROM storecredit.subscription_charges WHERE account_id = $1 ORDER BY period""",
        account.id,
    )
    return [Bill(*row) for row in rows]


async def snapshot(connection: Connection, owner: Owner) -> dict[str, list[Any]]:
    """Everything that is written of an owner: equal before and after, nothing was written.

    The tables are found by their columns, so that a new one is not forgotten.
    """
    tables = await connection.fetch(
        """SELECT a.attrelid::regclass::text AS name, a.attname AS key
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
           WHERE c.relkind = 'r' AND c.relnamespace = 'storecredit'::regnamespace
             AND a.attname = ANY ($1)
           ORDER BY 1""",
        ["account_id", owner.kind.id_name],
    )
    written = {}
    for name, key in tables:
        of_owner = _OF_OWNER if key == "account_id" else f"$1 <> '' AND {key} = $2"
        rows = await connection.fetch(
            f"SELECT to_jsonb(t) AS row FROM {name} t WHERE {of_owner} ORDER BY 1",
            owner.kind.value,
            owner.id,
        )
        written[name] = [row["row"] for row in rows]
    return written


async def effects(connection: Connection) -> Mapping[str, Effect]:
    """What each type of movement does, as the database says."""
    rows = await connection.fetch(
        """SELECT type, balance, added, spent, clawed_back, overage_used, held, expired, removed
           FROM storecredit.movement_types"""
    )
    return {type_: Effect(*numbers) for type_, *numbers in rows}


# Proving


async def assert_books_balance(connection: Connection, owner: Owner) -> None:
    """Recompute an owner's credits from its ledger, row by row."""
    account = await account_of(connection, owner)
    effect_of = await effects(connection)
    returned_by = await _returned_by(connection)
    sums = Effect(0, 0, 0, 0, 0)
    rows = await ledger(connection, account)
    taken = {(row.request_id, row.type): row for row in rows}
    returned: set[str] = set()
    for place, row in enumerate(rows, start=1):
        assert row.seq == place, "seq has a gap"
        assert row.amount >= 1
        if row.type in returned_by:
            origin = taken[row.request_id, returned_by[row.type]]
            assert origin.seq < row.seq
            assert row.amount <= origin.amount, "more came back than was taken"
            assert row.request_id not in returned, "it came back twice"
            returned.add(row.request_id)
        sums = Effect(
            *(
                so_far + sign * row.amount
                for so_far, sign in zip(sums, effect_of[row.type], strict=True)
            )
        )
        assert row.balance_after == sums.balance, f"seq {row.seq} does not follow"
        assert min(sums) >= 0
        if row.type == "overage_bill":
            assert sums.overage_used == 0, "a bill closes all that was used"
    assert await credits_of(connection, account) == (*sums[:3], len(rows))
    after = await beyond(connection, account)
    assert (after.total_clawed_back, after.overage_used) == sums[3:5]
    await _assert_bills_are_the_ledgers(connection, account, rows)


async def _returned_by(connection: Connection) -> dict[str, str]:
    """What each type of return gives back."""
    rows = await connection.fetch(
        "SELECT type, returns FROM storecredit.movement_types WHERE returns IS NOT NULL"
    )
    return {row["type"]: row["returns"] for row in rows}


async def _assert_bills_are_the_ledgers(
    connection: Connection, account: Account, rows: list[Row]
) -> None:
    billed = await bills(connection, account)
    closing = [(row.seq, row.amount, row.request_id) for row in rows if row.type == "overage_bill"]
    assert [(bill.seq, bill.credits, bill.request_id) for bill in billed] == closing
    for row in rows:
        if row.type in {"overage_refund", "overage_credit"}:
            (origin,) = (
                each.seq
                for each in rows
                if each.type == "overage" and each.request_id == row.request_id
            )
            billed_before = any(origin < bill.seq < row.seq for bill in billed)
            assert billed_before == (row.type == "overage_credit")


async def sqlstate_of(statement: Awaitable[object]) -> str:
    """The SQLSTATE a statement is refused with."""
    try:
        answer = await statement
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    raise AssertionError(f"not refused, answered {answer!r}")
