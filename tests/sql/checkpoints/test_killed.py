"""Real processes that chain, killed again and again: what they leave is gone on with, once."""

import asyncio
import os
import signal
import sys

from storecredit.ledger.checkpoints.checkpoint import page
from storecredit.ledger.owners import OwnerKind
from tests.sql.checkpoints.conftest import Signed
from tests.sql.ledgers import open_account

MOVEMENTS = 40_000
KILLS = 5
MAKE = (sys.executable, "-m", "storecredit", "checkpoint", "make")
LINKS = "SELECT count(*) FROM storecredit.chain_links"


async def test_each_kill_loses_a_piece_and_nothing_else(signed: Signed, database_url: str) -> None:
    account = await open_account(signed.superuser, OwnerKind.STORE, MOVEMENTS)
    await signed.superuser.execute(
        """SELECT count(*) FROM deduct_from_accounts(array_fill($1::bigint, ARRAY[$2::int]),
               array_fill(1, ARRAY[$2::int]),
               (SELECT array_agg('r' || n) FROM generate_series(1, $2::int) n), NULL)""",
        account.id,
        MOVEMENTS - 1,
    )
    environment = os.environ | {
        "STORECREDIT_DATA_DIR": str(signed.settings.data_dir),
        "STORECREDIT_DATABASE_URL": database_url,
    }
    for _ in range(KILLS):
        before = await signed.superuser.fetchval(LINKS)
        making = await asyncio.create_subprocess_exec(*MAKE, env=environment)
        async with asyncio.timeout(60):
            while await signed.superuser.fetchval(LINKS) == before:
                pass
        making.send_signal(signal.SIGKILL)
        assert await making.wait() == -signal.SIGKILL, "it was killed while it chained"
        assert await page(signed.database, limit=1) == []
        assert (await signed.look()).found == ()
        # The turn of whoever was killed ends by itself, in a minute.
        await signed.superuser.execute("UPDATE storecredit.proving SET held_until = now()")

    assert await signed.superuser.fetchval(LINKS) >= KILLS
    made = await signed.sign()
    assert (made.number, made.movements) == (1, MOVEMENTS)
    assert (await signed.look()).found == ()
