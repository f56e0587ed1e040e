"""Owners with every kind of movement and session, and free hands to tamper with them."""

from uuid import UUID

from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.pool import Connection
from tests.sql.books import open_store
from tests.sql.user_books import open_user

CREATE = "SELECT * FROM create_store_generations($1, $2, $3, $4, $5, $6)"


async def create_generation(connection: Connection, store_id: UUID, request_id: str) -> UUID:
    session_id = uuid7()
    await connection.execute(
        CREATE, store_id, [session_id], [request_id], [bytes(32)], ["{}"], [None]
    )
    return session_id


async def open_store_with_everything(connection: Connection) -> UUID:
    """A store with every kind of movement and session, made by the functions only.

    seq 1 grant 100, 2-5 deductions of the generations `done`, `failed`, `queued` and `working`,
    6 refund of `failed`, 7 deduction of 3 `direct`, 8 and 9 deduction and refund of 2 `returned`,
    10 purchase of 10 `bought`; the balance is 104.
    """
    store_id = await open_store(connection, 100)
    sessions = {}
    for request_id in ("done", "failed", "queued", "working"):
        sessions[request_id] = await create_generation(connection, store_id, request_id)
    for request_id in ("done", "failed", "working"):
        await connection.execute(
            "SELECT * FROM start_store_generations($1, $2)", store_id, [sessions[request_id]]
        )
    await connection.execute(
        "SELECT complete_store_generation($1, $2, 'key')", store_id, sessions["done"]
    )
    await connection.execute(
        "SELECT fail_store_generation($1, $2, 'GENERATION_FAILED', '')",
        store_id,
        sessions["failed"],
    )
    await connection.execute("SELECT deduct_store_credits($1, 3, 'direct')", store_id)
    await connection.execute("SELECT deduct_store_credits($1, 2, 'returned')", store_id)
    await connection.execute("SELECT refund_store_credits($1, 2, 'returned')", store_id)
    await connection.execute("SELECT add_store_credits($1, 10, 'purchase', 'bought')", store_id)
    return store_id


async def open_user_with_everything(connection: Connection) -> UUID:
    """An end user with every kind of movement and session, made by the functions only.

    The rows are those of a store with everything; the first one is the signup_bonus `signup`.
    """
    user_id = await open_user(connection, 100)
    sessions = {request_id: uuid7() for request_id in ("done", "failed", "queued", "working")}
    for request_id, session_id in sessions.items():
        await connection.execute(
            "SELECT * FROM create_generation($1, $2, $3, $4, '{}', NULL)",
            user_id,
            session_id,
            request_id,
            bytes(32),
        )
    for request_id in ("done", "failed", "working"):
        await connection.execute(
            "SELECT * FROM start_generation($1, $2)", user_id, sessions[request_id]
        )
    await connection.execute("SELECT complete_generation($1, $2, 'key')", user_id, sessions["done"])
    await connection.execute(
        "SELECT * FROM fail_generation($1, $2, 'GENERATION_FAILED', '')",
        user_id,
        sessions["failed"],
    )
    await connection.execute("SELECT deduct_credits($1, 3, 'direct')", user_id)
    await connection.execute("SELECT deduct_credits($1, 2, 'returned')", user_id)
    await connection.execute("SELECT refund_credits($1, 2, 'returned')", user_id)
    await connection.execute("SELECT add_credits($1, 10, 'purchase', 'bought')", user_id)
    return user_id


async def open_store_with_overage(connection: Connection) -> UUID:
    """A store with every kind of movement of overage, made by the functions only.

    seq 1 grant of 2, 2 deduction of 2 `paid`; 3 and 4 overage of the generations `done` and
    `failed`, 5 overage_refund of `failed`; 6 overage of 2 `direct`; 7 and 8 overage and
    overage_refund of 2 `returned`; 9 overage of the generation `late`, 10 overage of 2 `later`,
    11 overage_bill of 6, 12 and 13 overage_credit of both; 14 clawback of 2, 15 deduction of 1
    `rest`; 16 overage of 3 `open`, 17 overage of the generation `queued`. The balance is 0.
    """
    store_id = await open_store(connection, 2)

    async def call(function: str) -> None:
        await connection.execute(f"SELECT * FROM {function}", store_id)

    await call("set_store_overage_limit($1, 10)")
    await call("deduct_store_credits($1, 2, 'paid')")
    done = await create_generation(connection, store_id, "done")
    failed = await create_generation(connection, store_id, "failed")
    await call(f"start_store_generations($1, ARRAY['{done}', '{failed}']::uuid[])")
    await call(f"complete_store_generation($1, '{done}', 'key')")
    await call(f"fail_store_generation($1, '{failed}', 'GENERATION_FAILED', '')")
    await call("deduct_store_credits($1, 2, 'direct')")
    await call("deduct_store_credits($1, 2, 'returned')")
    await call("refund_store_credits($1, 2, 'returned')")
    late = await create_generation(connection, store_id, "late")
    await call("deduct_store_credits($1, 2, 'later')")
    await call("close_store_overage($1, '2026-10-01', 18, 'USD')")
    await call(f"fail_store_generation($1, '{late}', 'GENERATION_FAILED', '')")
    await call("refund_store_credits($1, 2, 'later')")
    await call("claw_back_store_credits($1, 2, 'returned goods')")
    await call("deduct_store_credits($1, 1, 'rest')")
    await call("deduct_store_credits($1, 3, 'open')")
    await create_generation(connection, store_id, "queued")
    return store_id


async def buy(connection: Connection, owner: Owner) -> str:
    """Sell 10 credits to a new owner and take 5 of them back; the adjustment's id.

    seq 2 purchase of 10 `order`, 3 clawback of 5.
    """
    transaction_id, adjustment_id = f"txn_{owner.id}", f"adj_{owner.id}"
    is_store = owner.kind is OwnerKind.STORE
    checkout_id = uuid7()
    await connection.execute(
        "SELECT * FROM open_checkout($1, $2, $3, 'credits', 'ten', 10, 180, 'USD', 'order')",
        checkout_id,
        owner.id if is_store else None,
        None if is_store else owner.id,
    )
    await connection.execute("SELECT attach_checkout($1, $2, 'url')", checkout_id, transaction_id)
    booked = await connection.fetchval(
        "SELECT book_checkout($1, NULL, NULL, 180, 'USD', now())", transaction_id
    )
    assert booked == "booked"
    taken = await connection.fetchval(
        "SELECT taken FROM book_adjustment($1, $2, 'refund', false, 90, 'USD')",
        adjustment_id,
        transaction_id,
    )
    assert taken == 5
    return adjustment_id


async def subscribe(connection: Connection, store_id: UUID) -> None:
    """Sell the store a subscription, and have it pay that, a further period and its overage."""
    checkout_id = uuid7()
    transaction_id, subscription_id = f"txn_first_{store_id}", f"sub_{store_id}"
    await connection.execute(
        """SELECT * FROM open_checkout(
               $1, $2, NULL, 'subscription', 'starter', 350, 4900, 'USD', 'subscribe')""",
        checkout_id,
        store_id,
    )
    await connection.execute("SELECT attach_checkout($1, $2, 'url')", checkout_id, transaction_id)
    await connection.execute(
        """SELECT apply_subscription_state(
               $1, $2, NULL, NULL, 'active', now(), '2026-10-05', '2026-11-05', '{starter}')""",
        subscription_id,
        transaction_id,
    )
    outcomes = [
        await connection.fetchval(
            "SELECT book_checkout($1, $2, '2026-10-05', 4900, 'USD', now())",
            transaction_id,
            subscription_id,
        ),
        await connection.fetchval(
            """SELECT book_subscription_payment(
                   $1, $2, '2026-11-05', 'starter', 350, 4900, 'USD', now())""",
            f"txn_second_{store_id}",
            subscription_id,
        ),
        await connection.fetchval(
            "SELECT book_overage_payment($1, $2, '2026-10-01', 108, 'USD', now())",
            f"txn_overage_{store_id}",
            subscription_id,
        ),
    ]
    assert outcomes == ["booked"] * 3


async def allow_anything(admin: Connection) -> None:
    """Drop every check and put the foreign keys out of force, for this connection."""
    checks = await admin.fetch(
        "SELECT conrelid::regclass::text AS of, conname FROM pg_constraint WHERE contype = 'c'"
        " AND connamespace = 'public'::regnamespace"
    )
    for check in checks:
        await admin.execute(f"ALTER TABLE {check['of']} DROP CONSTRAINT {check['conname']}")
    await admin.execute("SET session_replication_role = replica")
