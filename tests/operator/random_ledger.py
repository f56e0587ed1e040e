"""A ledger of drawn movements and payments, at drawn moments of ten days."""

import random
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg

from tests.passing_time import pass_time

FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 10
OWNERS = 6
"""Stores; as many end users bear the same ids."""
MOVES = 300
PAYMENTS = 40
ADDITIONS = [("_store", "purchase"), ("_store", "subscription"), ("_store", "grant")]
ADDITIONS += [("", "purchase")]
CLOSE = """
    SELECT close_overage(account_id, $2, 16, 'USD') FROM accounts
    WHERE owner_kind = 'store' AND owner_id = $1
"""


async def make_ledger(admin: asyncpg.Connection, draw: random.Random) -> None:
    """Stores on two plans and end users, and what they bought, spent and were given back."""
    for number in range(1, OWNERS + 1):
        tier = "growth" if number % 2 else "default"
        await admin.execute(
            "SELECT FROM create_store($1, $2, 'a.example', $3, $4, 'opening')",
            UUID(int=number),
            f"Store {number}",
            tier,
            # The first has nothing, and so goes beyond it.
            50 if number > 1 else 0,
        )
        await admin.execute("SELECT public.set_store_overage_limit($1, 99)", UUID(int=number))
        await admin.execute("SELECT ensure_user($1, 10)", UUID(int=number))
    taken: list[tuple[str, UUID, str]] = []
    for number in range(MOVES):
        await _move(admin, draw, f"r{number}", taken)
    accounts = [row[0] for row in await admin.fetch("SELECT account_id FROM accounts")]
    for number in range(PAYMENTS):
        await _pay(admin, draw, draw.choice(accounts), f"txn_{number}")
    await _end_grants_and_holds(admin)
    for table in ("movements", "payments", "clawbacks"):
        rows = await admin.fetch(f"SELECT ctid::text AS place FROM storecredit.{table}")
        await admin.executemany(
            f"UPDATE storecredit.{table} SET created_at = $2 WHERE ctid = $1::text::tid",
            [(row["place"], drawn_moment(draw)) for row in rows],
        )


def drawn_moment(draw: random.Random) -> datetime:
    """At any hour, at midnight, or a microsecond beside it."""
    day = FIRST_DAY + timedelta(days=draw.randrange(DAYS))
    after = draw.choice([0, 1, draw.randrange(86_400_000_000), 86_399_999_999])
    return day + timedelta(microseconds=after)


async def _move(
    admin: asyncpg.Connection,
    draw: random.Random,
    request_id: str,
    taken: list[tuple[str, UUID, str]],
) -> None:
    owner, amount = UUID(int=draw.randint(1, OWNERS)), draw.randint(1, 20)
    what = draw.choices(("take", "give back", "add", "claw back", "close"), (10, 4, 3, 1, 1))[0]
    if what == "take":
        kind = draw.choice(["_store", ""])
        call = f"public.deduct{kind}_credits($1, $2, $3)"
        if await admin.fetchval(f"SELECT {call}", owner, amount, request_id):
            taken.append((kind, owner, request_id))
    elif what == "give back" and taken:
        kind, owner, earlier = taken.pop(draw.randrange(len(taken)))
        await admin.fetchval(f"SELECT public.refund{kind}_credits($1, 1, $2)", owner, earlier)
    elif what == "add":
        kind, type_ = draw.choice(ADDITIONS)
        owner = max(owner, UUID(int=2))
        call = f"public.add{kind}_credits($1, $2, $4, $3)"
        await admin.fetchval(f"SELECT {call}", owner, amount, request_id, type_)
    elif what == "claw back":
        call = "public.claw_back_store_credits($1, $2, $3)"
        await admin.fetchval(f"SELECT {call}", owner, amount, request_id)
    elif what == "close":
        period = date(2026 + int(request_id[1:]), 1, 1)
        await admin.execute(CLOSE, owner, period)


async def _end_grants_and_holds(admin: asyncpg.Connection) -> None:
    """What draws too seldom: a hold with two ends, a grant that expires, what the operator does."""
    await admin.execute("""
        CREATE TEMP TABLE held AS SELECT account_id FROM accounts ORDER BY account_id OFFSET 2;
        SELECT add_to_account(account_id, 40, 'grant', 'promo', p_expires_at => now() + '1 second')
        FROM held;
        SELECT FROM held, hold_credits(ARRAY[account_id], ARRAY[md5('1')::uuid], ARRAY[9],
            ARRAY['hold 1'], ARRAY[sha256('')], ARRAY[600], NULL, NULL);
        SELECT FROM held, hold_credits(ARRAY[account_id], ARRAY[md5('2')::uuid], ARRAY[3],
            ARRAY['hold 2'], ARRAY[sha256('')], ARRAY[600], NULL, NULL);
        SELECT FROM held, end_holds(ARRAY[account_id], ARRAY[md5('1')::uuid], ARRAY['capture'],
            ARRAY[5]);
        SELECT FROM held, remove_from_account(account_id, 2, 'fix', 'Wrong', 'ann');
        SELECT FROM held h, held o, transfer_credits(h.account_id, o.account_id, 3,
            'move ' || h.account_id, 'Moved', 'ann') WHERE o.account_id = h.account_id + 1;
    """)
    await pass_time(admin, timedelta(days=1))
    await admin.execute("SELECT expire_credits(array_agg(account_id)) FROM held")


async def _pay(
    admin: asyncpg.Connection, draw: random.Random, account_id: int, transaction_id: str
) -> None:
    await admin.execute(
        """INSERT INTO storecredit.payments (provider, provider_transaction_id, account_id, paid_at,
               kind, credits, amount, currency, request_id)
           VALUES ('paddle', $1, $2, now(), 'purchase', 1, $3, $4, $1)""",
        transaction_id,
        account_id,
        draw.randrange(5000),
        draw.choice(["USD", "EUR", "JPY"]),
    )
    if draw.random() < 0.4:
        await admin.execute(
            """INSERT INTO storecredit.clawbacks (provider, adjustment_id, provider_transaction_id,
                   action, amount, credits, taken)
               VALUES ('paddle', 'adj_' || $1, $1, 'refund', $2, 0, 0)""",
            transaction_id,
            draw.randrange(2000),
        )
