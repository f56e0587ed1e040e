"""A database of the build before that is not sound, or not ours alone, stays as it is."""

import asyncpg
import pytest
from pydantic import SecretStr

from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.opening import open_database
from storecredit.postgres.schema.migrate import migrate
from storecredit.settings import Settings
from tests.sql.catalog import catalog, rows_of


async def test_the_service_refuses_the_earlier_tables_and_says_what_to_do(
    earlier_url: str, earlier: asyncpg.Connection
) -> None:
    before = await catalog(earlier)
    with pytest.raises(DatabaseMisconfigured, match="older storecredit: run `storecredit migrate`"):
        async with open_database(Settings(database_url=SecretStr(earlier_url))):
            raise AssertionError("it was opened")
    assert await catalog(earlier) == before


STORE = "(SELECT store_id FROM public.store_credits WHERE balance = 103)"
USER = "(SELECT user_id FROM public.user_credits WHERE balance = 2)"
TAMPERED = [
    f"UPDATE public.store_credits SET balance = 104 WHERE store_id = {STORE}",
    f"""UPDATE public.store_credits SET balance = 104, total_purchased = total_purchased + 1
        WHERE store_id = {STORE}""",
    f"UPDATE public.store_credits SET overage_used = 1 WHERE store_id = {STORE}",
    f"UPDATE public.store_credits SET last_seq = last_seq + 1 WHERE store_id = {STORE}",
    f"""UPDATE public.store_credit_transactions SET balance_after = balance_after + 1
        WHERE store_id = {STORE} AND seq = 3""",
    f"UPDATE public.store_credit_transactions SET amount = 2 WHERE store_id = {STORE} AND seq = 3",
    f"DELETE FROM public.store_credit_transactions WHERE store_id = {STORE} AND seq = 3",
    f"DELETE FROM public.store_credit_transactions WHERE store_id = {STORE} AND seq = 11",
    f"UPDATE public.store_credit_transactions SET seq = 12 WHERE store_id = {STORE} AND seq = 11",
    f"""UPDATE public.store_credit_transactions SET type = 'signup_bonus'
        WHERE store_id = {STORE} AND seq = 1""",
    f"DELETE FROM public.stores WHERE store_id = {STORE}",
    f"DELETE FROM public.store_credits WHERE store_id = {STORE}",
    f"UPDATE public.user_credits SET balance = balance + 1 WHERE user_id = {USER}",
    f"DELETE FROM public.credit_transactions WHERE user_id = {USER} AND seq = 1",
    f"DELETE FROM public.users WHERE user_id = {USER}",
]


CONSTRAINTS = """
    SELECT conrelid::regclass::text AS of, conname FROM pg_constraint
    WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace"""


@pytest.mark.parametrize("tampering", TAMPERED)
async def test_a_ledger_that_does_not_follow_is_refused_with_its_owner(
    earlier_url: str, earlier: asyncpg.Connection, tampering: str
) -> None:
    for row in await earlier.fetch(CONSTRAINTS):
        await earlier.execute(f"ALTER TABLE {row['of']} DROP CONSTRAINT {row['conname']}")
    owner = await earlier.fetchval(f"SELECT {STORE if 'store_id' in tampering else USER}")
    assert owner is not None
    await earlier.execute(tampering)
    before, rows = await catalog(earlier), await rows_of(earlier, "public")

    with pytest.raises(DatabaseMisconfigured) as raised:
        await migrate(earlier_url)

    assert str(owner) in str(raised.value)
    assert "nothing was changed" in str(raised.value)
    assert await catalog(earlier) == before
    assert await rows_of(earlier, "public") == rows


@pytest.mark.parametrize(
    "change, said",
    [
        ("UPDATE storecredit_schema SET migration = '0007_billing'", "one of its builds"),
        ("UPDATE storecredit_schema SET migration = '0015_of_a_fork'", "one of its builds"),
        ("DELETE FROM storecredit_schema", "one of its builds"),
        ("ALTER TABLE stores ADD COLUMN notes text", "one of its builds"),
        ("ALTER TABLE users ALTER COLUMN created_at TYPE timestamp", "one of its builds"),
        ("DROP TABLE clawbacks", "one of its builds"),
        ("CREATE VIEW rich AS SELECT * FROM store_credits WHERE balance > 100", "public.rich"),
        ("CREATE TABLE shops (store_id uuid REFERENCES stores)", "shops"),
        ("CREATE VIEW spent AS SELECT balance_change('deduction', 1)", "public.spent"),
    ],
)
async def test_what_is_not_exactly_ours_is_refused(
    earlier_url: str, earlier: asyncpg.Connection, change: str, said: str
) -> None:
    await earlier.execute(f"SET search_path = public; {change}")
    before, rows = await catalog(earlier), await rows_of(earlier, "public")

    with pytest.raises(DatabaseMisconfigured) as raised:
        await migrate(earlier_url)

    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert await catalog(earlier) == before
    assert await rows_of(earlier, "public") == rows
