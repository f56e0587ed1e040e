"""The interface for other programs: names, arguments, outcomes and errors, for both owners."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from uuid_utils.compat import uuid7

from tests.sql.ledgers import open_store, sqlstate_of

NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Interface:
    """The functions and views of one kind of owner, called by name as another program would."""

    connection: asyncpg.Connection
    prefix: str
    owner_id: UUID

    @property
    def id_name(self) -> str:
        return "store_id" if self.prefix else "user_id"

    async def call(
        self, verb: str, *args: object, owner: UUID | None = None, **named: object
    ) -> Any:
        """The function of this verb for the owner; `named` are arguments by name."""
        places = [f"${n}" for n in range(2, len(args) + 2)]
        places += [f"p_{name} => ${n}" for n, name in enumerate(named, len(args) + 2)]
        function = f"public.{verb}_{self.prefix}credits"
        return await self.connection.fetchval(
            f"SELECT {function}({', '.join(['$1', *places])})",
            owner or self.owner_id,
            *args,
            *named.values(),
        )

    async def error_of(self, verb: str, *args: object, **named: Any) -> str:
        return await sqlstate_of(self.call(verb, *args, **named))

    async def balance(self) -> int:
        view = f"public.{self.prefix or 'user_'}credits"
        balance: int = await self.connection.fetchval(
            f"SELECT balance FROM {view} WHERE {self.id_name} = $1", self.owner_id
        )
        return balance

    async def movements(self) -> list[tuple[object, ...]]:
        rows = await self.connection.fetch(
            f"""SELECT seq, type, amount, balance_after, request_id, description
                FROM public.{self.prefix}credit_transactions
                WHERE {self.id_name} = $1 ORDER BY seq""",
            self.owner_id,
        )
        return [tuple(row) for row in rows]


@pytest_asyncio.fixture(params=["store_", ""], ids=["store", "user"], loop_scope="module")
async def interface(app: asyncpg.Connection, request: pytest.FixtureRequest) -> Interface:
    """An owner with 10 credits."""
    if request.param:
        return Interface(app, request.param, await open_store(app, 10))
    user_id = uuid7()
    await app.execute("SELECT ensure_user($1, 10)", user_id)
    return Interface(app, request.param, user_id)


async def test_the_ledger_tells_which_operator_made_a_movement(interface: Interface) -> None:
    kind = "store" if interface.prefix else "user"
    await interface.call("deduct", 1, "r1")
    await interface.connection.execute(
        f"SELECT add_to_account(account_of('{kind}', $1), 5, 'grant', 'sorry', p_actor => 'ann')",
        interface.owner_id,
    )
    rows = await interface.connection.fetch(
        f"""SELECT request_id, actor FROM public.{interface.prefix}credit_transactions
            WHERE {interface.id_name} = $1 ORDER BY seq DESC LIMIT 2""",
        interface.owner_id,
    )
    assert [tuple(row) for row in rows] == [("sorry", "ann"), ("r1", None)]


async def test_every_function_does_what_it_did_with_its_defaults(interface: Interface) -> None:
    deduction = "deduction" if interface.prefix else "generation"

    assert await interface.call("deduct", 4, "r1") is True
    assert await interface.call("deduct", 4, "r1") is True
    assert await interface.call("deduct", 7, "r2") is False
    assert await interface.call("deduct", 1, "r3", description="a hat") is True
    assert await interface.call("refund", 3, "r1") is True
    assert await interface.call("refund", 3, "r1") is False
    assert await interface.call("add", 5, "purchase", "r4") is True
    assert await interface.call("add", 5, "purchase", "r4") is False
    assert await interface.call("claw_back", 6, "r5") == 6
    assert await interface.call("claw_back", 6, "r5") == 6
    assert await interface.call("claw_back", 90, "r6", description=None) == 7
    assert await interface.call("claw_back", 1, "r7") == 0

    assert await interface.balance() == 0
    assert (await interface.movements())[1:] == [
        (2, deduction, 4, 6, "r1", "Credits deducted"),
        (3, deduction, 1, 5, "r3", "a hat"),
        (4, "refund", 3, 8, "r1", "Credits refunded"),
        (5, "purchase", 5, 13, "r4", "Credits added"),
        (6, "clawback", 6, 7, "r5", "Credits clawed back"),
        (7, "clawback", 7, 0, "r6", ""),
    ]


async def test_what_cannot_be_is_refused_as_it_was(interface: Interface) -> None:
    unknown = "SC001" if interface.prefix else "SC008"
    assert await interface.call("deduct", 2, "used")
    assert await interface.call("add", 2, "purchase", "added")
    assert await interface.call("claw_back", 2, "taken") == 2
    before = await interface.movements()

    assert await interface.error_of("deduct", 1, "r", owner=NOBODY) == unknown
    assert await interface.error_of("refund", 1, "r", owner=NOBODY) == unknown
    assert await interface.error_of("add", 1, "grant", "r", owner=NOBODY) == unknown
    assert await interface.error_of("claw_back", 1, "r", owner=NOBODY) == unknown
    for amount in (0, -1, None):
        assert await interface.error_of("deduct", amount, "r") == "SC002"
        assert await interface.error_of("refund", amount, "used") == "SC002"
        assert await interface.error_of("add", amount, "grant", "r") == "SC002"
        assert await interface.error_of("claw_back", amount, "r") == "SC002"
    for request_id in ("", "r" * 201, None):
        assert await interface.error_of("deduct", 1, request_id) == "SC003"
        assert await interface.error_of("add", 1, "grant", request_id) == "SC003"
        assert await interface.error_of("claw_back", 1, request_id) == "SC003"
    assert await interface.error_of("deduct", 3, "used") == "SC004"
    assert await interface.error_of("add", 3, "purchase", "added") == "SC004"
    assert await interface.error_of("add", 2, "grant", "added") == "SC004"
    assert await interface.error_of("claw_back", 1, "taken") == "SC004"
    assert await interface.error_of("refund", 1, "never") == "SC005"
    assert await interface.error_of("refund", 3, "used") == "SC006"
    other = "signup_bonus" if interface.prefix else "subscription"
    for type_ in (other, "deduction", "refund", "clawback", "gift", None):
        assert await interface.error_of("add", 1, type_, "r") == "SC007"

    assert await interface.movements() == before


async def test_many_requests_are_decided_in_their_order(app: asyncpg.Connection) -> None:
    store_id = await open_store(app, 5)
    session_id = uuid7()

    async def many(call: str, *args: object) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await app.fetch(f"SELECT * FROM public.{call}", *args)]

    deduct = "deduct_store_credits_many($1, $2, $3, $4, $5)"
    assert await many(
        deduct,
        store_id,
        [3, 3, 3, 2, 4],
        ["a", "b", "a", "c", "a"],
        None,
        [session_id] + [None] * 4,
    ) == [
        (1, "deducted", 2),
        (2, "insufficient", 2),
        (3, "already_deducted", 2),
        (4, "deducted", 0),
        (5, "conflict", 0),
    ]
    refund = "refund_store_credits_many($1, $2, $3, $4)"
    assert await many(refund, store_id, [3, 1, 3, 1], ["a", "b", "c", "a"], ["why"] * 4) == [
        (1, "refunded", 3),
        (2, "no_deduction", 3),
        (3, "exceeds_deduction", 3),
        (4, "already_refunded", 3),
    ]
    rows = await app.fetch(
        """SELECT type, request_id, session_id, description FROM public.store_credit_transactions
           WHERE store_id = $1 AND seq > 1 ORDER BY seq""",
        store_id,
    )
    assert [tuple(row) for row in rows] == [
        ("deduction", "a", session_id, ""),
        ("deduction", "c", None, ""),
        ("refund", "a", session_id, "why"),
    ]
    for nothing in (list[int](), None):
        assert await many(deduct, store_id, nothing, nothing, None, None) == []
        assert await many(refund, store_id, nothing, nothing, None) == []
    for amounts, ids, state in [([1], ["x", "y"], "SC002"), ([1, 1], ["x"], "SC003")]:
        assert await sqlstate_of(many(deduct, store_id, amounts, ids, None, None)) == state
    assert await sqlstate_of(many(refund, store_id, [1], ["x", "y"], None)) == "SC002"
    assert await sqlstate_of(many(deduct, NOBODY, [1], ["x"], None, None)) == "SC001"
    assert await sqlstate_of(many(refund, NOBODY, [1], ["x"], None)) == "SC001"


async def test_a_stores_limit_beyond_its_balance_is_set(app: asyncpg.Connection) -> None:
    store_id = await open_store(app, 1)
    user_id = uuid7()
    await app.execute("SELECT ensure_user($1, 1)", user_id)
    set_limit = "SELECT public.set_store_overage_limit($1, $2)"

    assert await app.fetchval(set_limit, store_id, 5) is True
    assert await app.fetchval(set_limit, NOBODY, 5) is False
    assert await app.fetchval(set_limit, user_id, 5) is False
    for limit in (-1, 2**31, None):
        assert await sqlstate_of(app.fetchval(set_limit, store_id, limit)) == "SC009"
    for n in range(3):
        assert await app.fetchval("SELECT public.deduct_store_credits($1, 1, $2)", store_id, f"{n}")

    row = await app.fetchrow(
        """SELECT balance, total_purchased, total_spent, last_seq, total_clawed_back,
               overage_limit, overage_used FROM public.store_credits WHERE store_id = $1""",
        store_id,
    )
    assert row is not None
    assert tuple(row) == (0, 1, 1, 4, 0, 5, 2)


async def test_one_uuid_as_store_and_as_user_is_two_owners(app: asyncpg.Connection) -> None:
    both = await open_store(app, 3)
    await app.execute("SELECT ensure_user($1, 7)", both)

    assert await app.fetchval("SELECT public.deduct_credits($1, 5, 'r')", both)
    assert await app.fetchval("SELECT public.deduct_store_credits($1, 5, 'r')", both) is False

    balances = """SELECT (SELECT balance FROM public.store_credits WHERE store_id = $1),
        (SELECT balance FROM public.user_credits WHERE user_id = $1),
        (SELECT count(*) FROM public.store_credit_transactions WHERE store_id = $1),
        (SELECT count(*) FROM public.credit_transactions WHERE user_id = $1)"""
    row = await app.fetchrow(balances, both)
    assert row is not None
    assert tuple(row) == (3, 2, 1, 2)
