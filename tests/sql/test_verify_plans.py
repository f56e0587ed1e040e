"""How `storecredit verify` reads: each table once and in order, and nothing by a sort or a hash."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest
import pytest_asyncio

from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.verify import READ_RANGES_ONLY
from storecredit.postgres.servers import connect
from tests.conftest import connect_as_superuser
from tests.sql.ledgers import open_account
from tests.sql.test_verify import PROVISIONS, deduct_often

pytestmark = pytest.mark.asyncio(loop_scope="module")

Explain = Callable[[str], Awaitable[str]]

# Of a few rows, and without an index that a condition could use.
SMALL = {"last_verification", "movement_types"}

GENERATE = """
    SELECT count(*) FROM create_generations(array_fill($1::bigint, ARRAY[$2::int]),
        (SELECT array_agg(gen_random_uuid()) FROM generate_series(1, $2::int) n),
        (SELECT array_agg('generation ' || n) FROM generate_series(1, $2::int) n),
        array_fill(1, ARRAY[$2::int]), array_fill(sha256(''), ARRAY[$2::int]),
        array_fill('{}'::json, ARRAY[$2::int]), NULL, 'generate', NULL)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def explaining(books_url: str) -> AsyncIterator[Explain]:
    """Shows plans as verify gets them, with a ledger of some size and no statistics about it."""
    superuser = await connect_as_superuser(books_url)
    for _ in range(3):
        account = await open_account(superuser, OwnerKind.STORE, PROVISIONS)
        await deduct_often(superuser, account, 2000)
        await superuser.execute(GENERATE, account.id, 2000)
    await superuser.close()

    async def explain(statement: str) -> str:
        return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}"))

    connection = await connect(books_url)
    async with connection.transaction():
        await connection.execute(READ_RANGES_ONLY)
        yield explain
    await connection.close()


def read_whole(plan: str) -> set[str]:
    """The tables that a plan reads from end to end, but for the small ones."""
    return set(re.findall(r"Seq Scan on (\w+)", plan)) - SMALL


@pytest.mark.parametrize(
    "table",
    [
        "movements",
        "sessions",
        "accounts",
        "stores",
        "users",
        "subscription_charges",
        "payments",
        "clawbacks",
    ],
)
async def test_tables_are_summed_up_page_by_page(table: str, explaining: Explain) -> None:
    shown = await explaining(f"SELECT * FROM sum_{table}(1, '(0,0)', '(9,0)')")

    assert f"Tid Range Scan on {table} " in shown
    assert not read_whole(shown)
    assert shown.count("Tid Range Scan") == 1
    assert "Hash" not in shown
    assert "Function Scan" not in shown, "a function is not put into the statement"


MOVEMENTS = "({0}, 1, {0}, 2)"
FINDS = [
    (f"{function}{MOVEMENTS}", "movements_pkey")
    for function in (
        "find_chain_discrepancies",
        "find_impossible_movements",
        "find_return_discrepancies",
        "find_double_movements",
        "find_generation_discrepancies",
        "find_movements_without_bill",
        "find_movements_without_account",
    )
] + [
    ("find_session_discrepancies({0}, '{1}', {0}, '{1}')", "sessions_pkey"),
    ("find_account_discrepancies()", "accounts_pkey"),
    ("find_stores_without_account()", "stores_pkey"),
    ("find_users_without_account()", "users_pkey"),
    ("find_bill_discrepancies()", "one_bill_per_month"),
    ("find_payment_discrepancies()", "payments_pkey"),
    ("find_clawback_discrepancies()", "clawbacks_pkey"),
]


@pytest.mark.parametrize("call, index", FINDS)
async def test_rows_are_looked_at_by_key_without_sorting_the_ledger(
    call: str, index: str, explaining: Explain
) -> None:
    found = f"{call.format(1, UUID(int=1))} f"
    if "_without_account()" not in call:  # those name owners, the others accounts
        found += " LEFT JOIN accounts a ON a.account_id = f.account_id"

    shown = await explaining(f"SELECT * FROM {found} LIMIT 10")

    assert f"using {index}" in shown
    assert not read_whole(shown)
    assert "Sort" not in shown
    assert "Hash" not in shown
