"""Defects that are planted in a running database, in functions that hold what must hold.

What guards against such a defect a second time, a key of a table, is taken away where it would
hide it. The service is told that all of it is as it ought to be, or it would not begin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from storecredit import sql
from storecredit.postgres.schema.shape import right_to_act
from tests.torture.machines import Machines

SCHEMA: Final = "storecredit"
ONCE: Final = "ALTER TABLE movements DROP CONSTRAINT one_movement_of_a_type_per_request"
FUNCTION: Final = """
    SELECT pg_get_functiondef(oid) FROM pg_proc
    WHERE proname = $1 AND pronamespace = 'storecredit'::regnamespace"""


@dataclass(frozen=True, slots=True)
class Fault:
    """What functions say instead of something, and what keys there are no more."""

    replaced: Mapping[str, tuple[str, str]]
    """By function: what it said, and what it says now, everywhere in it."""
    undone: Sequence[str] = field(default_factory=tuple)

    async def plant(self, machines: Machines) -> None:
        """Into the database of the primary; the standby has it, too."""
        connection = await asyncpg.connect(machines.primary.url)
        try:
            await connection.execute(f"SET search_path = {SCHEMA}")
            for name, (said, says) in self.replaced.items():
                text = await connection.fetchval(FUNCTION, name)
                assert said in text, f"{name} does not say {said!r}"
                await connection.execute(text.replace(said, says))
            for statement in self.undone:
                await connection.execute(statement)
            await _call_it_right(connection)
        finally:
            await connection.close()


async def _call_it_right(connection: asyncpg.Connection) -> None:
    row = await connection.fetchrow(sql.text("shape.sql"), SCHEMA, right_to_act(connection))
    assert row is not None
    await connection.execute("UPDATE schema_version SET shape = $1", row["hash"])


LOST_LOCK: Final = Fault(
    {
        "lock_account": ("FOR NO KEY UPDATE", ""),
        "lock_accounts": ("FOR NO KEY UPDATE", ""),
    },
)
DROPPED_REPLAY_CHECK: Final = Fault(
    {"charge_accounts": ("are_fresh(p_account_ids, p_amounts, p_request_ids)", "true")},
    (ONCE, "ALTER TABLE spends DROP CONSTRAINT spends_pkey", "DROP INDEX one_hold_per_request"),
)
REFUND_TWICE: Final = Fault(
    {"refund_part": ("IF v_before.type IS NOT NULL THEN", "IF false THEN")}, (ONCE,)
)
