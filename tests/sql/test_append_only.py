"""Movements are added and never changed: not by the application, not by our own functions."""

import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import APP_ROLE, Connection
from tests.sql.interface import deduct
from tests.sql.ledgers import ledger, open_account, sqlstate_of

WRITER = "storecredit_writer"
INSUFFICIENT_PRIVILEGE = "42501"
CHANGES = {
    "update": "UPDATE movements SET amount = amount",
    "update one column of": "UPDATE movements SET description = ''",
    "overwrite in": """INSERT INTO movements SELECT * FROM movements LIMIT 1
        ON CONFLICT (account_id, seq) DO UPDATE SET amount = excluded.amount""",
    "delete from": "DELETE FROM movements",
    "truncate": "TRUNCATE movements",
    "merge into": """MERGE INTO movements m USING movements n
        ON m.account_id = n.account_id AND m.seq = n.seq WHEN MATCHED THEN DELETE""",
    "lock the rows of": "SELECT FROM movements FOR UPDATE",
    "lock against readers": "LOCK TABLE movements IN ACCESS EXCLUSIVE MODE",
    "alter": "ALTER TABLE movements ALTER COLUMN amount TYPE int",
    "loosen": "ALTER TABLE movements DROP CONSTRAINT amount_is_positive",
    "disable the triggers of": "ALTER TABLE movements DISABLE TRIGGER ALL",
    "add a trigger to": """CREATE TRIGGER mine BEFORE INSERT ON movements
        EXECUTE FUNCTION suppress_redundant_updates_trigger()""",
    "add a rule to": "CREATE RULE mine AS ON INSERT TO movements DO INSTEAD NOTHING",
    "drop": "DROP TABLE movements CASCADE",
    "own": f"ALTER TABLE movements OWNER TO {APP_ROLE}",
    "hand on": f"GRANT UPDATE ON movements TO {APP_ROLE}",
}


@pytest.mark.parametrize("role", [WRITER, APP_ROLE])
@pytest.mark.parametrize("change", CHANGES)
async def test_nobody_who_works_here_can(
    app: Connection, books: Connection, change: str, role: str
) -> None:
    account = await open_account(app, OwnerKind.STORE, 10)
    await deduct(app, account, 1, "r1")
    before = await ledger(books, account)
    await books.execute(f"SET ROLE {role}")

    if change == "hand on":
        # A right that one has not got oneself is handed on with a warning, and to no effect.
        await books.execute(CHANGES[change])
    else:
        refused = await sqlstate_of(
            books.execute(f"SET search_path = storecredit; {CHANGES[change]}")
        )
        assert refused == INSUFFICIENT_PRIVILEGE

    await books.execute("RESET ROLE; SET search_path = public, storecredit")
    assert await ledger(books, account) == before
    assert not await books.fetchval(
        "SELECT has_table_privilege($1, 'storecredit.movements', 'UPDATE')", role
    )


@pytest.mark.parametrize("change", ["update", "overwrite in", "delete from", "truncate"])
@pytest.mark.parametrize("role", [WRITER, APP_ROLE])
async def test_nor_does_a_function_with_the_rights_of_the_role(
    app: Connection, books: Connection, change: str, role: str
) -> None:
    account = await open_account(app, OwnerKind.STORE, 10)
    before = await ledger(books, account)
    transaction = books.transaction()
    await transaction.start()
    await books.execute(
        f"""CREATE FUNCTION change_history() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = storecredit AS $$ BEGIN {CHANGES[change]}; END $$;
            ALTER FUNCTION change_history() OWNER TO {role}"""
    )

    assert await sqlstate_of(books.execute("SELECT change_history()")) == INSUFFICIENT_PRIVILEGE

    await transaction.rollback()
    assert await ledger(books, account) == before


async def test_the_application_cannot_even_add(app: Connection, books: Connection) -> None:
    account = await open_account(app, OwnerKind.STORE, 10)
    forged = app.execute(
        """INSERT INTO movements
               (account_id, seq, type, amount, balance_after, spent_after, request_id)
           VALUES ($1, 2, 'grant', 1, 11, 0, 'forged')""",
        account.id,
    )

    assert await sqlstate_of(forged) == INSUFFICIENT_PRIVILEGE

    assert len(await ledger(books, account)) == 1


@pytest.mark.parametrize("role, rights", [(WRITER, {"INSERT", "SELECT"}), (APP_ROLE, {"SELECT"})])
async def test_a_role_has_these_rights_and_no_others(
    books: Connection, role: str, rights: set[str]
) -> None:
    granted = await books.fetch(
        """SELECT a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
           WHERE c.oid = 'storecredit.movements'::regclass AND a.grantee = $1::text::regrole
           UNION
           SELECT a.privilege_type FROM pg_attribute k, aclexplode(k.attacl) a
           WHERE k.attrelid = 'storecredit.movements'::regclass
             AND a.grantee = $1::text::regrole""",
        role,
    )

    assert {row["privilege_type"] for row in granted} == rights
    memberships = """SELECT count(*) FROM pg_auth_members m
        WHERE m.member = $1::text::regrole"""
    assert await books.fetchval(memberships, role) == 0, "a role's rights are also its groups'"


@pytest.mark.parametrize("role", [WRITER, APP_ROLE])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_log SET reason = 'another'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "DROP TABLE audit_log",
    ],
)
async def test_nor_can_anybody_change_the_audit_log(
    app: Connection, books: Connection, change: str, role: str
) -> None:
    whole = "SELECT * FROM storecredit.audit_log ORDER BY entry_id"
    await app.fetchval(
        """SELECT record_action('ann', 'api', 'event.retry', '', 'r1', NULL, NULL, NULL, NULL, NULL,
               'evt_1', '{}', '{}')"""
    )
    before = await books.fetch(whole)
    await books.execute(f"SET ROLE {role}")
    refused = await sqlstate_of(books.execute(f"SET search_path = storecredit; {change}"))
    assert refused == INSUFFICIENT_PRIVILEGE
    await books.execute("RESET ROLE; SET search_path = public, storecredit")
    assert await books.fetch(whole) == before != []


async def test_nor_can_the_application_write_the_audit_log_but_through_its_function(
    app: Connection,
) -> None:
    forged = app.execute(
        "INSERT INTO audit_log (actor, door, action, request_id) VALUES ('ann', 'api', 'x', 'r1')"
    )
    assert await sqlstate_of(forged) == INSUFFICIENT_PRIVILEGE
