"""A store with every kind of movement and session, and free hands to tamper with it."""

from uuid import UUID

from uuid_utils.compat import uuid7

from storecredit.postgres.pool import Connection
from tests.sql.books import open_store
from tests.sql.generations import complete, fail, start

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
    10 purchase of 10 `bought`; the balance is 104. Then 11 clawback of it all, 12 and 13 overage of
    the generations `beyond` and `beyond failed`, 14 overage_refund of the latter, 15 overage of 3
    `beyond direct`, 16 overage of the generation `late`, 17 overage_bill of these 5, 18 overage of
    the generation `beyond queued`, 19 and 20 overage and overage_refund of 2 `beyond returned`,
    21 overage_credit of `late`, 22 subscription of 103 `period`; the balance is 104 again, and 1
    credit of overage is not billed yet.
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
    await go_beyond_the_balance(connection, store_id)
    return store_id


async def go_beyond_the_balance(connection: Connection, store_id: UUID) -> None:
    """Movements 11 to 22, of clawback and overage."""
    await connection.execute("SELECT claw_back_store_credits($1, 200, 'charged back')", store_id)
    await connection.execute("SELECT set_store_overage_limit($1, 10)", store_id)
    sessions = {}
    for request_id in ("beyond", "beyond failed"):
        sessions[request_id] = await create_generation(connection, store_id, request_id)
    await fail(connection, store_id, sessions["beyond failed"])
    await start(connection, store_id, sessions["beyond"])
    await complete(connection, store_id, sessions["beyond"])
    await connection.execute("SELECT deduct_store_credits($1, 3, 'beyond direct')", store_id)
    late = await create_generation(connection, store_id, "late")
    await connection.execute("SELECT close_store_overage($1, '2026-01-01', 16, 'USD')", store_id)
    await create_generation(connection, store_id, "beyond queued")
    await connection.execute("SELECT deduct_store_credits($1, 2, 'beyond returned')", store_id)
    await connection.execute("SELECT refund_store_credits($1, 2, 'beyond returned')", store_id)
    await fail(connection, store_id, late)
    await connection.execute(
        "SELECT add_store_credits($1, 103, 'subscription', 'period')", store_id
    )


async def allow_anything(admin: Connection) -> None:
    """Drop every check and put the foreign keys out of force, for this connection."""
    checks = await admin.fetch(
        "SELECT conrelid::regclass::text AS of, conname FROM pg_constraint WHERE contype = 'c'"
        " AND connamespace = 'public'::regnamespace"
    )
    for check in checks:
        await admin.execute(f"ALTER TABLE {check['of']} DROP CONSTRAINT {check['conname']}")
    await admin.execute("SET session_replication_role = replica")
