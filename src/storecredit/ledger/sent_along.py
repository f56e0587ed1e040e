"""What was sent along with what moved credits: the metadata of generations, spends and holds.

It stands with them, not in the ledger, and goes when an end user is erased.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from storecredit.ledger.credits import Movement
from storecredit.ledger.outcomes import MovementType
from storecredit.postgres.buckets import Buckets

Metadata = dict[str, str]
OF_SPENDS: Final = frozenset({MovementType.DEDUCTION, MovementType.OVERAGE})
OF_HOLDS: Final = frozenset(
    {MovementType.HOLD, MovementType.CAPTURE, MovementType.RELEASE, MovementType.HOLD_EXPIRY}
)
"""Their movements have the hold's request id."""
# Each by its key, whatever the planner knows of the tables; `+ 0` names the index of holds.
_READ: Final = """
    SELECT 'session' AS kind, s.session_id::text AS id, s.metadata
    FROM unnest($2::uuid[]) w (id) CROSS JOIN LATERAL (
        SELECT x.session_id, x.metadata FROM sessions x
        WHERE x.account_id = $1 AND x.session_id = w.id AND x.metadata IS NOT NULL LIMIT 1) s
    UNION ALL
    SELECT 'spend', s.request_id, s.metadata
    FROM unnest($3::text[]) w (id) CROSS JOIN LATERAL (
        SELECT x.request_id, x.metadata FROM spends x
        WHERE x.account_id = $1 AND x.request_id = w.id AND x.metadata IS NOT NULL LIMIT 1) s
    UNION ALL
    SELECT 'hold', h.request_id, h.metadata
    FROM unnest($4::text[]) w (id) CROSS JOIN LATERAL (
        SELECT x.request_id, x.metadata FROM holds x
        WHERE x.account_id + 0 = $1 AND x.request_id = w.id AND x.metadata IS NOT NULL LIMIT 1) h
"""


_KINDS: Final = ("session", "spend", "hold")


class SentAlong:
    """Reads it, of one account at a time."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def of(self, account_id: int, movements: Sequence[Movement]) -> dict[int, Metadata]:
        """The metadata of what each of an account's movements is of, by its seq; most have none.

        By one statement, or none. Raises DatabaseUnavailable.
        """
        named = {each.seq: name for each in movements if (name := _name(each)) is not None}
        if not named:
            return {}
        wanted = [list({key for of, key in named.values() if of == kind}) for kind in _KINDS]
        rows = await self._buckets.of_account(account_id).fetch(_READ, account_id, *wanted)
        found = {
            (row["kind"], row["id"]): msgspec.json.decode(row["metadata"], type=Metadata)
            for row in rows
        }
        return {seq: found[name] for seq, name in named.items() if name in found}


def _name(movement: Movement) -> tuple[str, str] | None:
    """What it is of, and the key of that; None: of nothing that has metadata."""
    if movement.session_id is not None:
        return "session", str(movement.session_id)
    if movement.type in OF_HOLDS:
        return "hold", movement.request_id
    return ("spend", movement.request_id) if movement.type in OF_SPENDS else None
