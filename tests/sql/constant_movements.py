"""Credits that move without a pause, in every way, so many times."""

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.full_accounts import buy, deduct, refund
from tests.sql.generations import complete, create_one, fail, start
from tests.sql.ledgers import open_account


async def move_credits(connection: Connection, account: Account, moves: int) -> None:
    """Every kind of movement, over and over, at least a few times."""
    for number in range(moves):
        await deduct(connection, account, 2, f"d{number}")
        await refund(connection, account, 1, f"d{number}")
        done = await create_one(connection, account, f"done {number}")
        failed = await create_one(connection, account, f"failed {number}")
        await start(connection, account, done, failed)
        await complete(connection, account, done)
        await fail(connection, account, failed)


async def move_overage(connection: Connection, account: Account, moves: int) -> None:
    """Overage that is given back before its bill and after it, month after month."""
    await connection.execute("SELECT set_overage_limit($1, 10)", account.id)
    for month in range(moves):
        for request_id in ("kept", "early", "late"):
            await deduct(connection, account, 1, f"{request_id} {month}")
        await refund(connection, account, 1, f"early {month}")
        closed = await connection.fetchval(
            """SELECT close_overage(
                   $1, ('2026-01-01'::date + $2 * interval '1 month')::date, 18, 'USD')""",
            account.id,
            month,
        )
        assert closed
        await refund(connection, account, 1, f"late {month}")
        await connection.execute(
            "SELECT claw_back_from_account($1, 1, $2)", account.id, f"late {month}"
        )


async def make_buyers(connection: Connection, moves: int) -> None:
    """New stores and end users that pay and get money back."""
    for _ in range(moves):
        for kind in OwnerKind:
            await buy(connection, await open_account(connection, kind, 1))
