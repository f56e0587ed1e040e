"""Sound books that are tampered with again and again, named by `verify`, and put back each time.

A module says by a fixture `opener` of whom its books are; `sound_books` opens them once.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Self

import asyncpg
import pytest

from storecredit.ledger import verify as module
from storecredit.ledger.discrepancies import DiscrepancyKind, Report
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import SCHEMA
from tests.sql.full_accounts import adjustment_of, allow_anything
from tests.sql.tampering import Named

ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
Opener = Callable[[asyncpg.Connection], Awaitable[Sequence[Account]]]

OWNERS = {OwnerKind.STORE: "stores", OwnerKind.USER: "users"}
FOREIGN_TYPES = {OwnerKind.STORE: "signup_bonus", OwnerKind.USER: "subscription"}
# Of no owner, or of none that is left.
OF_NOBODY = {DiscrepancyKind.MOVEMENTS_MISSING, DiscrepancyKind.MOVEMENTS_WITHOUT_ACCOUNT}
_TABLES = """
    SELECT c.relname AS name, string_agg(quote_ident(a.attname), ', ') AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r'
      AND a.attnum > 0 AND a.attgenerated = '' AND NOT a.attisdropped
    GROUP BY c.relname"""
# Only what differs is written: where every row is written each time, dead ones pile up.
_PUT_BACK = """
    DELETE FROM {name} t WHERE t::text NOT IN (SELECT o::text FROM original.{name} o);
    INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE
    SELECT {columns} FROM original.{name} o WHERE o::text NOT IN (SELECT t::text FROM {name} t);"""


class SoundBooks:
    """Every row of a database as it was when they were kept, for its superuser to tamper with."""

    def __init__(
        self,
        database: Database,
        superuser: asyncpg.Connection,
        accounts: Sequence[Account],
        statements: dict[str, str],
    ) -> None:
        self.database = database
        self.superuser = superuser
        self.accounts = accounts
        self._statements = statements

    @classmethod
    async def kept(
        cls, database: Database, superuser: asyncpg.Connection, accounts: Sequence[Account]
    ) -> Self:
        """Keep every row, and allow the superuser's connection anything from here on."""
        assert (await verify(database, every_row=True)).clean
        tables = await superuser.fetch(_TABLES, SCHEMA)
        await superuser.execute("CREATE SCHEMA original")
        for table in tables:
            await superuser.execute(
                f"CREATE TABLE original.{table['name']} AS SELECT * FROM {SCHEMA}.{table['name']}"
            )
        await allow_anything(superuser)
        statements = {table["name"]: _PUT_BACK.format(**table) for table in tables}
        return cls(database, superuser, accounts, statements)

    async def put_back(self, *tables: str) -> None:
        """Every row of these tables as it was; without any named, of all of them."""
        await self.superuser.execute(
            "".join(self._statements[table] for table in tables or self._statements)
        )


def filled_in(text: str, account: Account) -> str:
    """A statement, kind or request id, with the names of this account."""
    kind = account.owner.kind
    return text.format(
        account=f"account_id = {account.id}",
        account_id=account.id,
        owner=f"{kind}_id = '{account.owner.id}'",
        owners=OWNERS[kind],
        kind=kind,
        foreign_type=FOREIGN_TYPES[kind],
        adjustment=adjustment_of(account),
    )


def named(report: Report, account: Account) -> set[Named]:
    """What the report names, once each and all of it of this account's owner."""
    owner = account.owner
    at = (owner.id, None) if owner.kind is OwnerKind.STORE else (None, owner.id)
    assert len(set(report.discrepancies)) == len(report.discrepancies)
    for found in report.discrepancies:
        # What the sums know is told of the account, if there is one.
        nobody = [(None, None)] if found.kind in OF_NOBODY | {DiscrepancyKind.SUM_MISMATCH} else []
        whose = nobody if found.kind in OF_NOBODY else [at, *nobody]
        assert (found.store_id, found.user_id) in whose
        assert found.detail
    # Up to which movement the sums go is no part of what is wrong with them.
    return {
        (
            found.kind,
            None if found.kind is DiscrepancyKind.SUM_MISMATCH else found.seq,
            found.request_id,
        )
        for found in report.discrepancies
    }


async def assert_named(
    statement: str,
    expected: set[Named],
    account: Account,
    books: SoundBooks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tamper with sound books; the sums differ, and looking at the rows names it."""
    await books.superuser.execute(statement)

    report = await verify(books.database)

    assert named(report, account) == expected
    assert not report.clean
    for rows in (1, 3):
        monkeypatch.setattr(module, "FIND_ROWS", rows)
        assert set((await verify(books.database)).discrepancies) == set(report.discrepancies)
