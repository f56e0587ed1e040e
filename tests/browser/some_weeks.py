"""Five weeks of three stores that sell pictures, for pages to be seen with.

Written by a superuser in the past: every row follows from the one before, as the service writes it.
"""

import math
import random
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import asyncpg

from tests.web.doors import Operator

DAYS: Final = 35
STORES: Final = (("Hats & Co", 62), ("Lamp Atelier", 30), ("Nordic Rugs", 14))
"""Name, and how many generations on an ordinary day."""
PACK, PACK_CENTS = 400, 3_900
LOW: Final = 120
"""With fewer credits a store buys another pack."""
CAUSES: Final = (
    "MODERATION_BLOCKED",
    "MODERATION_BLOCKED",
    "GENERATION_FAILED",
    "GENERATOR_TIMEOUT",
)
MOVEMENTS: Final = (
    *("account_id", "seq", "created_at", "type", "amount", "balance_after", "spent_after"),
    *("request_id", "session_id", "description"),
)
SESSIONS: Final = (
    *("account_id", "session_id", "created_at", "started_at", "completed_at", "attempts"),
    *("credits", "status", "request_id", "fingerprint", "error_code"),
)
PAYMENTS: Final = (
    *("provider", "provider_transaction_id", "account_id", "paid_at", "created_at", "kind"),
    *("credits", "amount", "currency", "request_id"),
)
GRANTS: Final = ("account_id", "seq", "amount", "kind")
ACCOUNT: Final = "SELECT account_id FROM accounts WHERE owner_id = $1"


class _Store:
    """One store's books while its weeks are written."""

    def __init__(self, account_id: int, draw: random.Random) -> None:
        self.account_id = account_id
        self._draw = draw
        self._balance = self._spent = self._seq = 0
        self.movements: list[tuple[Any, ...]] = []
        self.sessions: list[tuple[Any, ...]] = []
        self.payments: list[tuple[Any, ...]] = []
        self.grants: list[tuple[Any, ...]] = []

    def buy(self, at: datetime) -> None:
        """A pack, paid."""
        number = f"txn_{self.account_id:02}{len(self.payments):04}"
        self._move(at, "purchase", PACK, number, None, "Credits bought")
        self.grants.append((self.account_id, self._seq, PACK, "paid"))
        whose = ("paddle", number, self.account_id, at, at, "purchase")
        self.payments.append((*whose, PACK, PACK_CENTS, "USD", number))

    def generate(self, at: datetime) -> None:
        """A picture, which one time in thirty comes to nothing."""
        if self._balance < LOW:
            self.buy(at - timedelta(minutes=5))
        drawn = (7 << 76) | (2 << 62) | self._draw.getrandbits(60)
        session_id = UUID(int=(int(at.timestamp() * 1000) << 80) | drawn)
        request_id = f"req_{session_id.hex[-12:]}"
        self._move(at, "deduction", 1, request_id, session_id, "Image generation")
        ended = at + timedelta(seconds=self._draw.randint(4, 20))
        cause = self._draw.choice(CAUSES) if self._draw.random() < 1 / 30 else None
        if cause:
            self._move(ended, "refund", 1, request_id, session_id, "Image generation failed")
        status, mark = "failed" if cause else "completed", sha256(request_id.encode()).digest()
        self.sessions.append(
            (*(self.account_id, session_id, at, at, ended, 1, 1), status, request_id, mark, cause)
        )

    def _move(
        self,
        at: datetime,
        type_: str,
        amount: int,
        request_id: str,
        session_id: UUID | None,
        what: str,
    ) -> None:
        sign = -1 if type_ == "deduction" else 1
        self._seq += 1
        self._balance += sign * amount
        self._spent -= sign * amount if type_ != "purchase" else 0
        totals = (self._balance, self._spent)
        self.movements.append(
            (self.account_id, self._seq, at, type_, amount, *totals, request_id, session_id, what)
        )


async def make_some_weeks(operator: Operator, admin: asyncpg.Connection) -> list[str]:
    """Makes the stores; their API keys, in the order of `STORES`."""
    draw, now, keys = random.Random(14), datetime.now(UTC), []
    for name, per_day in STORES:
        made = await operator.store(credits=0, name=name)
        keys.append(made.api_key)
        store = _Store(await admin.fetchval(ACCOUNT, UUID(made.store_id)), draw)
        moments = sorted(_moments(draw, now, per_day))
        store.buy(moments[0] - timedelta(hours=1))
        for at in moments:
            store.generate(at)
        # In one transaction, as the service does: whoever sums movements reads their sessions.
        async with admin.transaction():
            for table, columns, rows in (
                ("movements", MOVEMENTS, store.movements),
                ("sessions", SESSIONS, store.sessions),
                ("payments", PAYMENTS, store.payments),
                ("grants", GRANTS, store.grants),
            ):
                await admin.copy_records_to_table(
                    table, schema_name="storecredit", columns=columns, records=rows
                )
    # The service books payments today only, and so looks no further back than yesterday.
    await admin.execute("SET LOCAL search_path = storecredit; SELECT sum_money(NULL)")
    return keys


def _moments(draw: random.Random, now: datetime, per_day: int) -> list[datetime]:
    """More by day than by night, fewer at weekends, and a little more each week."""
    found = []
    for days in range(DAYS):
        for hour in range(24):
            at = now - timedelta(days=days, hours=hour)
            weekend = 0.55 if at.weekday() > 4 else 1.0
            daylight = 1 + 0.8 * math.sin((at.hour - 8) / 24 * 2 * math.pi)
            expected = per_day / 24 * weekend * daylight * (1.25 - days / 100)
            many = int(expected) + (draw.random() < expected % 1)
            found += [at - timedelta(minutes=draw.uniform(0, 59)) for _ in range(many)]
    return found
