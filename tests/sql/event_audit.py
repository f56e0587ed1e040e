"""What must have been told of a ledger: worked out anew from its movements, one after the other.

Knows nothing of how events are written. A line is crossed by the movement before which the account
stood on the one side and after which it stands on the other.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import asyncpg

from tests.sql.listening import OPERATOR, listen, told

ADDITIONS: Final = {"purchase", "subscription", "grant", "signup_bonus", "transfer_in"}
TOLD_OF_TYPE: Final = {
    **dict.fromkeys(ADDITIONS, "credits.added"),
    "clawback": "credits.clawed_back",
    "overage_bill": "overage.billed",
    "hold_expiry": "hold.expired",
}
LINES: Final = ("credits.low", "credits.depleted", "overage.started", "overage.limit_reached")
OF_GENERATIONS: Final = ("generation.completed", "generation.failed")
TYPES: Final = (*sorted(set(TOLD_OF_TYPE.values())), *LINES, *OF_GENERATIONS)

Crossing = tuple[str, str, int | None]
"""An event of a movement: its type, its request, the balance that it tells (if it does)."""


@dataclass(frozen=True, slots=True)
class EventAudit:
    """An endpoint of the operator's that hears it all, and where each account stood before."""

    endpoint_id: UUID
    last_seqs: dict[int, int] = field(default_factory=dict)
    ended: frozenset[UUID] = frozenset()

    @classmethod
    async def begin(cls, books: asyncpg.Connection) -> "EventAudit":
        """Listen from now on; nothing may move meanwhile."""
        rows = await books.fetch(
            "SELECT account_id, max(seq) AS seq FROM storecredit.movements GROUP BY account_id"
        )
        ended = await _ended_sessions(books)
        endpoint_id = await listen(books, OPERATOR, *TYPES)
        return cls(
            endpoint_id,
            {row["account_id"]: row["seq"] for row in rows},
            frozenset(session_id for session_id, _ in ended),
        )

    async def assert_told(self, books: asyncpg.Connection) -> Counter[str]:
        """Exactly what follows from the ledger was told, in its order; how much of each type."""
        events = await books.fetch(
            """SELECT e.account_id, e.type, e.data->>'request_id' AS request_id,
                   (e.data->>'balance')::bigint AS balance, e.data->>'session_id' AS session_id
               FROM storecredit.deliveries d JOIN storecredit.events e USING (seq)
               WHERE d.endpoint_id = $1 ORDER BY seq""",
            self.endpoint_id,
        )
        of_movements: dict[int, list[Crossing]] = {}
        for row in events:
            if row["type"] not in OF_GENERATIONS:
                crossing = (row["type"], row["request_id"], row["balance"])
                of_movements.setdefault(row["account_id"], []).append(crossing)
        for account in await books.fetch("SELECT * FROM storecredit.accounts"):
            expected = [
                crossing
                for seq, crossing in await _follow(books, account)
                if seq > self.last_seqs.get(account["account_id"], 0)
            ]
            found = of_movements.pop(account["account_id"], [])
            assert found == expected, f"account {account['account_id']}"
        assert of_movements == {}
        told_ends = sorted(
            (UUID(row["session_id"]), row["type"].partition(".")[2])
            for row in events
            if row["type"] in OF_GENERATIONS
        )
        ended = [each for each in await _ended_sessions(books) if each[0] not in self.ended]
        assert told_ends == sorted(ended)
        return Counter(each.type for each in await told(books, self.endpoint_id))


async def _ended_sessions(books: asyncpg.Connection) -> Sequence[tuple[UUID, str]]:
    rows = await books.fetch(
        """SELECT session_id, status FROM storecredit.sessions
           WHERE status IN ('completed', 'failed')"""
    )
    return [(row["session_id"], row["status"]) for row in rows]


async def _follow(
    books: asyncpg.Connection, account: asyncpg.Record
) -> Sequence[tuple[int, Crossing]]:
    """The events of all movements of an account, by their seqs."""
    movements = await books.fetch(
        """SELECT seq, type, amount, request_id, balance_after AS balance,
               coalesce(overage_used_after, 0) AS used
           FROM storecredit.movements WHERE account_id = $1 ORDER BY seq""",
        account["account_id"],
    )
    balance = used = last_added = 0
    crossings = []
    for movement in movements:
        if movement["type"] in ADDITIONS:
            last_added = movement["amount"]
        own = account["low_threshold"]
        threshold = -(-last_added // 10) if own is None else own
        before, after = (balance, used), (movement["balance"], movement["used"])
        for event in _events(movement["type"], before, after, threshold, account["overage_limit"]):
            tells = event.startswith(("credits.", "hold."))
            crossing = (event, movement["request_id"], movement["balance"] if tells else None)
            crossings.append((movement["seq"], crossing))
        balance, used = after
    return crossings


def _events(
    type_: str, before: tuple[int, int], after: tuple[int, int], threshold: int, limit: int
) -> Iterator[str]:
    if type_ in TOLD_OF_TYPE:
        yield TOLD_OF_TYPE[type_]
    if after[0] <= threshold < before[0] and threshold > 0:
        yield "credits.low"
    if after[0] == 0 < before[0]:
        yield "credits.depleted"
    if before[1] == 0 < after[1]:
        yield "overage.started"
    if before[1] < limit <= after[1]:
        yield "overage.limit_reached"
