"""An owner with every kind of grant, hold and spend, and with all that can come of them."""

import json
from datetime import timedelta
from uuid import uuid4

import asyncpg

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.passing_time import pass_time
from tests.sql.ledgers import open_account

ADD = """SELECT add_to_account($1, $2, 'purchase', $3, p_expires_at => now() + $4::interval,
    p_rollover_max => $5, p_rollover_until => now() + $6::interval)"""


async def spend(connection: Connection, account: Account, amount: int, request_id: str) -> None:
    """Take credits for work that is done elsewhere."""
    await connection.execute(
        """SELECT * FROM spend_credits(ARRAY[$1::bigint], ARRAY[$2::int], ARRAY[$3],
               ARRAY[''::bytea], ARRAY[''], ARRAY[$4::json])""",
        account.id,
        amount,
        request_id,
        json.dumps({"order": request_id}),
    )


async def give_back(
    connection: Connection, account: Account, spend_id: str, amount: int, request_id: str
) -> None:
    """Give back a part of a spend, or of a captured hold."""
    outcome = await connection.fetchval(
        """SELECT (refund_spends(
               ARRAY[$1::bigint], ARRAY[$2], ARRAY[$3], ARRAY[$4::int])).outcomes[1]""",
        account.id,
        spend_id,
        request_id,
        amount,
    )
    assert outcome == "refunded"


async def hold(
    connection: Connection, account: Account, amount: int, request_id: str, seconds: int = 600
) -> object:
    """Set credits aside; the hold's id."""
    return await connection.fetchval(
        """SELECT (hold_credits(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[$3::int], ARRAY[$4],
               ARRAY[''::bytea], ARRAY[$5::int], ARRAY[''], NULL)).hold_ids[1]""",
        account.id,
        uuid4(),
        amount,
        request_id,
        seconds,
    )


async def end(
    connection: Connection, account: Account, hold_id: object, action: str, amount: int | None
) -> None:
    """Capture a hold, or release it."""
    outcome = await connection.fetchval(
        """SELECT (end_holds(
               ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[$3], ARRAY[$4::int])).outcomes[1]""",
        account.id,
        hold_id,
        action,
        amount,
    )
    assert outcome == "ended"


async def open_with_grants(superuser: asyncpg.Connection, kind: OwnerKind) -> Account:
    """An owner whose credits come and go in every way, made by the functions only.

    seq 1 grant of 10 `opening` that never expires, 2 purchase of 20 `dated` and 3 of 12 `monthly`,
    which expire, `monthly` first and with a rollover of 3; 4 spend of 4 `work`, 5 refund of 1 of
    it `part`; 6 hold of 5 `captured`, 7 capture of 3, 8 release of 2; 9 hold of 4 `expired`, 10
    hold of 2 `released`, 11 release, 12 hold of 3 `open`. Two hours later: 13 hold_expiry, 14
    rollover of 3 and 15 expiry of 1 of `monthly`, 16 refund of 1 `late` of what was captured of
    it, 17 removal of 1, 18 reissue of 18 of `dated` with another expiry, 19 clawback of 2 `goods`,
    20 transfer_out of 2, 21 spend of 1 `last`. The balance is 27, of which 16 of 18, 1 of 16 and
    10 of 1; 3 are held.
    """
    account = await open_account(superuser, kind, 10)
    other = await open_account(superuser, OwnerKind.STORE, 5)
    await superuser.execute(ADD, account.id, 20, "dated", timedelta(hours=30), None, None)
    await superuser.execute(
        ADD, account.id, 12, "monthly", timedelta(hours=1), 3, timedelta(hours=40)
    )
    await spend(superuser, account, 4, "work")
    await give_back(superuser, account, "work", 1, "part")
    captured = await hold(superuser, account, 5, "captured")
    await end(superuser, account, captured, "capture", 3)
    await hold(superuser, account, 4, "expired")
    released = await hold(superuser, account, 2, "released")
    await end(superuser, account, released, "release", None)
    await hold(superuser, account, 3, "open", 86_400)
    await pass_time(superuser, timedelta(hours=2), account.id)
    await superuser.execute("SELECT expire_credits(ARRAY[$1::bigint])", account.id)
    await give_back(superuser, account, "captured", 1, "late")
    await superuser.execute(
        "SELECT remove_from_account($1, 1, 'error', 'by hand', 'somebody')", account.id
    )
    await superuser.execute(
        "SELECT set_grant_expiry($1, 2, now() + interval '5 days', 'longer', 'somebody')",
        account.id,
    )
    await superuser.execute(
        "SELECT claw_back_from_account($1, 2, 'goods', p_origin_request_id => 'dated')", account.id
    )
    await superuser.execute(
        "SELECT transfer_credits($1, $2, 2, 'moved', 'to another', 'somebody')",
        account.id,
        other.id,
    )
    await spend(superuser, account, 1, "last")
    return account
