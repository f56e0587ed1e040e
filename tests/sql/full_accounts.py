"""Owners with every kind of movement and session, and free hands to tamper with them."""

from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.generations import complete, create_one, fail, start
from tests.sql.ledgers import open_account, open_beyond

SCHEMA = "storecredit"


async def deduct(connection: Connection, account: Account, amount: int, request_id: str) -> None:
    """Take credits for a request that makes no generation."""
    await connection.execute(
        "SELECT * FROM deduct_from_accounts(ARRAY[$1::bigint], ARRAY[$2::int], ARRAY[$3], NULL)",
        account.id,
        amount,
        request_id,
    )


async def refund(connection: Connection, account: Account, amount: int, request_id: str) -> None:
    """Give back what a request had taken."""
    await connection.execute(
        "SELECT * FROM refund_to_accounts(ARRAY[$1::bigint], ARRAY[$2::int], ARRAY[$3], NULL)",
        account.id,
        amount,
        request_id,
    )


async def open_with_everything(connection: Connection, kind: OwnerKind) -> Account:
    """An owner with every kind of movement and session, made by the functions only.

    seq 1 grant 100 `opening`, 2-5 deductions of the generations `done`, `failed`, `queued` and
    `working`, 6 refund of `failed`, 7 deduction of 3 `direct`, 8 and 9 deduction and refund of 2
    `returned`, 10 purchase of 10 `bought`, 11 clawback of 4 `goods`. The balance is 100, spent 6.
    """
    account = await open_account(connection, kind, 100)
    sessions = {
        request_id: await create_one(connection, account, request_id)
        for request_id in ("done", "failed", "queued", "working")
    }
    for request_id in ("done", "failed", "working"):
        await start(connection, account, sessions[request_id])
    await complete(connection, account, sessions["done"])
    await fail(connection, account, sessions["failed"])
    await deduct(connection, account, 3, "direct")
    await deduct(connection, account, 2, "returned")
    await refund(connection, account, 2, "returned")
    await connection.execute("SELECT add_to_account($1, 10, 'purchase', 'bought')", account.id)
    await connection.execute("SELECT claw_back_from_account($1, 4, 'goods')", account.id)
    return account


async def open_with_overage(connection: Connection) -> Account:
    """A store with every kind of movement of overage, made by the functions only.

    seq 1 grant of 2, 2 deduction of 2 `paid`; 3 and 4 overage of the generations `done` and
    `failed`, 5 overage_refund of `failed`; 6 overage of 2 `direct`; 7 and 8 overage and
    overage_refund of 2 `returned`; 9 overage of the generation `late`, 10 overage of 2 `later`,
    11 overage_bill of 6, 12 and 13 overage_credit of both; 14 clawback of 2, 15 deduction of 1
    `rest`; 16 overage of 3 `open`, 17 overage of the generation `queued`. The balance is 0, spent
    3, overage used 4.
    """
    account = await open_beyond(connection, 2, limit=10)
    await deduct(connection, account, 2, "paid")
    done = await create_one(connection, account, "done")
    failed = await create_one(connection, account, "failed")
    await start(connection, account, done, failed)
    await complete(connection, account, done)
    await fail(connection, account, failed)
    await deduct(connection, account, 2, "direct")
    await deduct(connection, account, 2, "returned")
    await refund(connection, account, 2, "returned")
    late = await create_one(connection, account, "late")
    await deduct(connection, account, 2, "later")
    await connection.execute("SELECT close_overage($1, '2026-10-01', 18, 'USD')", account.id)
    await fail(connection, account, late)
    await refund(connection, account, 2, "later")
    await connection.execute("SELECT claw_back_from_account($1, 2, 'returned goods')", account.id)
    await deduct(connection, account, 1, "rest")
    await deduct(connection, account, 3, "open")
    await create_one(connection, account, "queued")
    return account


def adjustment_of(account: Account) -> str:
    """By which id the provider knows what `buy` takes back."""
    return f"adj_{account.owner.id}"


async def buy(connection: Connection, account: Account) -> str:
    """Sell 10 credits to a new owner and take 5 of them back; the adjustment's id.

    seq 2 purchase of 10 `order`, 3 clawback of 5.
    """
    transaction_id, adjustment_id = f"txn_{account.owner.id}", adjustment_of(account)
    checkout_id = uuid7()
    await connection.execute(
        """SELECT * FROM open_checkout(
               $1, $2, 'paddle', 'credits', 'ten', 10, 180, 'USD', 'order')""",
        checkout_id,
        account.id,
    )
    await connection.execute("SELECT attach_checkout($1, $2, 'url')", checkout_id, transaction_id)
    booked = await connection.fetchval(
        "SELECT book_checkout('paddle', $1, NULL, NULL, 180, 'USD', now())", transaction_id
    )
    assert booked == "booked"
    taken = await connection.fetchval(
        "SELECT taken FROM book_adjustment('paddle', $1, $2, 'refund', false, 90, 'USD')",
        adjustment_id,
        transaction_id,
    )
    assert taken == 5
    return adjustment_id


async def subscribe(connection: Connection, account: Account) -> None:
    """Sell the store a subscription, and have it pay that, a further period and its overage."""
    checkout_id, store_id = uuid7(), account.owner.id
    transaction_id, subscription_id = f"txn_first_{store_id}", f"sub_{store_id}"
    await connection.execute(
        """SELECT * FROM open_checkout(
               $1, $2, 'paddle', 'subscription', 'starter', 350, 4900, 'USD', 'subscribe')""",
        checkout_id,
        account.id,
    )
    await connection.execute("SELECT attach_checkout($1, $2, 'url')", checkout_id, transaction_id)
    await connection.execute(
        """SELECT apply_subscription_state('paddle', $1, $2, NULL, NULL, 'active', now(),
               '2026-10-05', '2026-11-05', '{starter}')""",
        subscription_id,
        transaction_id,
    )
    outcomes = [
        await connection.fetchval(
            "SELECT book_checkout('paddle', $1, $2, '2026-10-05', 4900, 'USD', now())",
            transaction_id,
            subscription_id,
        ),
        await connection.fetchval(
            """SELECT book_subscription_payment(
                   'paddle', $1, $2, '2026-11-05', 'starter', 350, 4900, 'USD', now())""",
            f"txn_second_{store_id}",
            subscription_id,
        ),
        await connection.fetchval(
            "SELECT book_charge_payment('paddle', $1, $2, 'overage-2026-10', 108, 'USD', now())",
            f"txn_overage_{store_id}",
            subscription_id,
        ),
    ]
    assert outcomes == ["booked"] * 3


async def allow_anything(admin: Connection) -> None:
    """Drop every check and put the foreign keys out of force, for this connection."""
    checks = await admin.fetch(
        "SELECT conrelid::regclass::text AS of, conname FROM pg_constraint WHERE contype = 'c'"
        " AND connamespace = $1::text::regnamespace",
        SCHEMA,
    )
    for check in checks:
        await admin.execute(f"ALTER TABLE {check['of']} DROP CONSTRAINT {check['conname']}")
    await admin.execute("ALTER TABLE storecredit.accounts ALTER account_id DROP IDENTITY")
    await admin.execute("SET session_replication_role = replica")
    # The tables are tampered with, not the views of the same names for outside callers.
    await admin.execute(f"SET search_path = {SCHEMA}, public")
