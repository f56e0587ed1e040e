"""Sales as the functions know them: checkouts opened and attached, and what the tables say then."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MONTH = timedelta(days=30)


class Movement(NamedTuple):
    """One row of a ledger, of either kind."""

    type: str
    amount: int
    balance_after: int
    request_id: str


async def open_owner(database: Database, kind: OwnerKind, credits: int = 0) -> Owner:
    """A store with credits under the request id 'opening', or a user with them as 'signup'."""
    return await _made(database, Owner(kind, uuid7()), credits)


async def open_owner_anywhere(buckets: Buckets, kind: OwnerKind, credits: int = 0) -> Owner:
    """The same in any bucket."""
    owner = Owner(kind, uuid7())
    is_store = kind is OwnerKind.STORE
    place = buckets.of_new_store if is_store else buckets.of_new_user
    return await _made(await place(owner.id), owner, credits)


async def _made(database: Database, owner: Owner, credits: int) -> Owner:
    if owner.kind is OwnerKind.STORE:
        # Of what it returns, a row of a table, the driver would have to be told each column's type.
        await database.fetch(
            "SELECT FROM create_store($1, 'Test', 'test.example', 'default', $2, 'opening')",
            owner.id,
            credits,
        )
    else:
        await database.fetch("SELECT FROM ensure_user($1, $2)", owner.id, credits)
    return owner


async def account_of(connection: Connection | Database, owner: Owner) -> int | None:
    """The id of the owner's account; None: there is no such owner."""
    account_id: int | None = await connection.fetchval(
        "SELECT account_id FROM accounts WHERE owner_kind = $1 AND owner_id = $2",
        owner.kind.value,
        owner.id,
    )
    return account_id


async def open_checkout(
    database: Database,
    owner: Owner,
    request_id: str = "order",
    *,
    purchase_type: str = "credits",
    plan: str = "pack",
    credits: int = 100,
    amount: int = 1800,
) -> Any:
    """What open_checkout answers: outcome, and the checkout's columns."""
    return await database.fetchrow(
        """SELECT o.outcome, (o.checkout).*
           FROM open_checkout($1, $2, 'paddle', $3, $4, $5, $6, 'USD', $7) o""",
        uuid7(),
        await account_of(database, owner),
        purchase_type,
        plan,
        credits,
        amount,
        request_id,
    )


async def sell(database: Database, owner: Owner, transaction_id: str, **terms: Any) -> UUID:
    """A checkout that waits to be paid by the transaction."""
    checkout = await open_checkout(database, owner, transaction_id, **terms)
    assert checkout["outcome"] == "opened"
    await database.fetchval(
        "SELECT attach_checkout($1, $2, 'https://pay.example')",
        checkout["checkout_id"],
        transaction_id,
    )
    checkout_id: UUID = checkout["checkout_id"]
    return checkout_id


async def subscribe(
    database: Database, owner: Owner, transaction_id: str, plan: str = "growth", **terms: Any
) -> UUID:
    """A subscription's checkout that waits to be paid by the transaction."""
    sold = {"credits": 800, "amount": 9900} | terms
    return await sell(
        database, owner, transaction_id, purchase_type="subscription", plan=plan, **sold
    )


async def ledger_of(connection: Connection | Database, owner: Owner) -> list[Movement]:
    """Every movement of the owner, oldest first."""
    rows = await connection.fetch(
        "SELECT type, amount, balance_after, request_id FROM movements"
        " WHERE account_id = $1 ORDER BY seq",
        await account_of(connection, owner),
    )
    return [Movement(*row) for row in rows]


async def balance_of(connection: Connection | Database, owner: Owner) -> int:
    ledger = await ledger_of(connection, owner)
    return ledger[-1].balance_after if ledger else 0


NOT_BOOKED: Final = (
    "provider_buckets",  # where something is to be booked
    *("summing", "hourly_sums", "daily_sums", "summed_accounts", "daily_money"),  # counted later
    *("proving", "chained_accounts", "chain_links", "checkpoints"),  # signed later
    *("expiry_notices", "archiving", "session_archives", "archived_sessions", "archived_accounts"),
)
"""Tables that a service writes in its own time, whatever is asked of it meanwhile."""


async def everything(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Whatever stands in any table of ours: equal before and after, nothing was written."""
    tables = await connection.fetch(
        """SELECT tablename FROM pg_tables
           WHERE schemaname = 'storecredit' AND tablename !~ '^pgqueuer'
             AND tablename <> ALL ($1)""",
        NOT_BOOKED,
    )
    found = {}
    for (table,) in tables:
        rows = await connection.fetch(f"SELECT to_jsonb(t)::text AS r FROM {table} t ORDER BY 1")
        found[table] = [dict(row) for row in rows]
    assert "movements" in found
    return found
