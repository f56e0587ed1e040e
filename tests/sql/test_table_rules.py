"""Every CHECK of every table lets through what it should to the edge, and nothing beyond it."""

from typing import Final

import asyncpg
import pytest

from storecredit.postgres.servers import Connection
from tests.sql.money_rules import BASES, MONEY_RULES
from tests.sql.other_rules import OTHER_RULES
from tests.sql.table_rules import Rule

RULES: Final = {**MONEY_RULES, **OTHER_RULES}
PAIRS: Final = [
    pytest.param(table, name, rule, id=f"{table}-{name}")
    for table, rules in RULES.items()
    for name, rule in rules.items()
]
CHECKS: Final = """
    SELECT conrelid::regclass::text AS table, conname AS name FROM pg_constraint
    WHERE connamespace = 'storecredit'::regnamespace AND contype = 'c' AND conparentid = 0"""
NOT_NULLS: Final = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = 'looked_at'::regclass AND attnum > 0 AND attnotnull"""


@pytest.mark.parametrize("table, name, rule", PAIRS)
async def test_a_check_refuses_what_is_beyond_its_edge(
    books: Connection, table: str, name: str, rule: Rule
) -> None:
    transaction = books.transaction()
    await transaction.start()
    # The same checks, on rows in which nothing else is.
    await books.execute(
        f"CREATE TEMP TABLE looked_at (LIKE storecredit.{table} INCLUDING CONSTRAINTS)"
    )
    for row in await books.fetch(NOT_NULLS):
        column = row["attname"]
        await books.execute(f'ALTER TABLE looked_at ALTER COLUMN "{column}" DROP NOT NULL')
    base = BASES.get(table, "DEFAULT VALUES")
    await books.execute(f"INSERT INTO looked_at {base}")

    for allowed in rule.allows:
        async with books.transaction():
            await books.execute(f"UPDATE looked_at SET {allowed}")
            await books.execute("DELETE FROM looked_at")
            await books.execute(f"INSERT INTO looked_at {base}")
    for refused in rule.refuses:
        with pytest.raises(asyncpg.CheckViolationError) as told:
            async with books.transaction():
                await books.execute(f"UPDATE looked_at SET {refused}")
        assert told.value.constraint_name == name, refused
    await transaction.rollback()


async def test_every_check_is_looked_at(books: Connection) -> None:
    there = {(row["table"].split(".")[-1], row["name"]) for row in await books.fetch(CHECKS)}

    assert there == {(table, name) for table, rules in RULES.items() for name in rules}
