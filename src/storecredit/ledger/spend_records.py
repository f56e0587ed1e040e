"""Spends as they stand in the ledger: what was taken, and what of it was given back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from storecredit.ledger.outcomes import ChargedAs
from storecredit.postgres.pool import Database

REFUNDS_MAX: Final = 100
"""Refunds of a spend that are told one by one; the ledger has all."""
# `+ 0`: these indexes are named so, that no other look-up is planned by them. LIMIT 1: by the key,
# and not by a join that may be planned to read all that the account has.
# A charge without a session is no generation's; the hold of a capture knows what was sent with it.
_READ: Final = """
    SELECT c.type, c.amount, c.description, c.created_at,
        coalesce(s.metadata, h.metadata) AS metadata, sum(r.amount) OVER () AS refunded,
        r.request_id AS refund_request_id, r.amount AS refund_amount,
        r.created_at AS refund_created_at
    FROM (SELECT m.* FROM movements m JOIN movement_types t ON t.type = m.type
          WHERE m.account_id = $1 AND m.request_id = $2 AND t.role IN ('charge', 'capture')
            AND m.session_id IS NULL
          ORDER BY m.type LIMIT 1) c
    LEFT JOIN LATERAL (
        SELECT x.metadata FROM spends x
        WHERE x.account_id = c.account_id AND x.request_id = c.request_id LIMIT 1) s ON true
    LEFT JOIN LATERAL (
        SELECT x.metadata FROM holds x
        WHERE x.account_id + 0 = c.account_id AND x.request_id = c.request_id LIMIT 1) h ON true
    LEFT JOIN LATERAL (
        SELECT m.* FROM movements m JOIN movement_types t ON t.type = m.type
        WHERE m.account_id + 0 = c.account_id AND t.role = 'return' AND m.origin_seq = c.seq
        UNION ALL
        -- Given back whole, by a call of the function that knows no parts.
        SELECT m.* FROM movements m JOIN movement_types t ON t.type = m.type
        WHERE m.account_id = c.account_id AND t.role = 'return' AND m.origin_seq IS NULL
          AND m.request_id = c.request_id) r ON true
    ORDER BY r.seq DESC LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Refund:
    """A part of a spend that was given back."""

    request_id: str
    amount: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SpendRecord:
    """A spend and its refunds, of which `refunds` are the newest `REFUNDS_MAX`, newest first."""

    request_id: str
    amount: int
    charged_as: ChargedAs
    refunded: int
    description: str
    metadata: dict[str, str] | None
    created_at: datetime
    refunds: tuple[Refund, ...]

    @property
    def refundable(self) -> int:
        """What may still be given back."""
        return self.amount - self.refunded


async def read_spend(database: Database, account_id: int, request_id: str) -> SpendRecord | None:
    """A spend by its request id; None: the account has none. Raises DatabaseUnavailable."""
    rows = await database.fetch(_READ, account_id, request_id, REFUNDS_MAX)
    if not rows:
        return None
    first = rows[0]
    metadata = first["metadata"]
    return SpendRecord(
        request_id=request_id,
        amount=first["amount"],
        charged_as="overage" if first["type"] == "overage" else "balance",
        refunded=int(first["refunded"] or 0),
        description=first["description"],
        metadata=metadata and msgspec.json.decode(metadata, type=dict[str, str]),
        created_at=first["created_at"],
        refunds=tuple(
            Refund(row["refund_request_id"], row["refund_amount"], row["refund_created_at"])
            for row in rows
            if row["refund_request_id"] is not None
        ),
    )
