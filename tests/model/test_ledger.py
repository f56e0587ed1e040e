"""Hypothesis drives the ledger's functions and a plain-Python model of them side by side.

Request ids come from a small pool, so that they meet again: replays, conflicts and duplicates
within a batch are the rule. After every step all rows of all stores must be the model's.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from uuid_utils.compat import uuid7

from storecredit.ledger.outcomes import CreditError
from storecredit.postgres.pool import connect
from tests.model.ledger_model import Refused, StoreModel, across
from tests.model.tables import read_back
from tests.sql.books import open_store

Result = TypeVar("Result")
Item = TypeVar("Item")

STORES = 3
BATCH_MAX = 6
UNKNOWN_STORE = UUID(int=0)

store_numbers = st.integers(0, STORES - 1)
request_ids = st.sampled_from(["a", "b", "c", "d", "x" * 200])
bad_request_ids = st.sampled_from(["", "x" * 201])
amounts = st.sampled_from([1, 1, 1, 2, 3, 7])
bad_amounts = st.sampled_from([0, -1])
types = st.sampled_from(["purchase", "subscription", "grant"])
contents = st.sampled_from([b"1" * 32, b"1" * 32, b"2" * 32])
keys = st.sampled_from(["key 1", "key 2"])
# Limits at which the edge is met often, and one that a bill could not hold.
limits = st.sampled_from([0, 1, 2, 5, 5, 20, -1, 2**31])
periods = st.sampled_from(
    [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 12, 1), date(2026, 3, 2)]
)
unit_amounts = st.sampled_from([1, 16, 18, 0])


def batches(items: st.SearchStrategy[Item]) -> st.SearchStrategy[list[Item]]:
    return st.lists(items, min_size=1, max_size=BATCH_MAX)


class LedgerMachine(RuleBasedStateMachine):
    """Each rule makes one call of the database and of the model and compares the answers."""

    sessions = Bundle("sessions")

    def __init__(self, runner: asyncio.Runner, connection: asyncpg.Connection) -> None:
        super().__init__()
        self.runner, self.connection = runner, connection
        self.ids: list[UUID] = []
        self.models: dict[UUID, StoreModel] = {}

    @initialize(credits=st.lists(st.integers(0, 6), min_size=STORES, max_size=STORES))
    def open_stores(self, credits: list[int]) -> None:
        for count in credits:
            store_id = self.runner.run(open_store(self.connection, count))
            self.ids.append(store_id)
            self.models[store_id] = StoreModel()
            if count:
                self.models[store_id].add(count, "grant", "opening")

    # Calls of the database and of the model

    def call(self, function: str, *args: object) -> list[tuple[Any, ...]]:
        places = ", ".join(f"${n}" for n in range(1, len(args) + 1))
        query = f"SELECT * FROM {function}({places})"
        return [tuple(row) for row in self.runner.run(self.connection.fetch(query, *args))]

    def agree(self, expect: Callable[[], Result], answer: Callable[[], Result]) -> Result | None:
        """Both answer the same, or both refuse with the same error, which is answered as None."""
        try:
            expected = expect()
        except Refused as refused:
            self.refused_with(refused.sqlstate, answer)
            return None
        assert answer() == expected
        return expected

    def refused_with(self, sqlstate: str, answer: Callable[[], object]) -> None:
        with pytest.raises(asyncpg.PostgresError) as raised:
            answer()
        assert raised.value.sqlstate == sqlstate

    # One store

    @rule(store=store_numbers, amount=amounts | bad_amounts, type_=types, request_id=request_ids)
    def add(self, store: int, amount: int, type_: str, request_id: str) -> None:
        store_id = self.ids[store]
        self.agree(
            lambda: [(self.models[store_id].add(amount, type_, request_id),)],
            lambda: self.call("add_store_credits", store_id, amount, type_, request_id, "Added"),
        )

    @rule(store=store_numbers, amount=amounts | bad_amounts, request_id=request_ids)
    def claw_back(self, store: int, amount: int, request_id: str) -> None:
        store_id = self.ids[store]
        self.agree(
            lambda: [(self.models[store_id].claw_back(amount, request_id),)],
            lambda: self.call("claw_back_store_credits", store_id, amount, request_id),
        )

    @rule(store=store_numbers, limit=limits)
    def set_overage_limit(self, store: int, limit: int) -> None:
        store_id = self.ids[store]
        self.agree(
            lambda: [(self.models[store_id].set_overage_limit(limit),)],
            lambda: self.call("set_store_overage_limit", store_id, limit),
        )

    @rule(store=store_numbers)
    def use_up_and_go_beyond(self, store: int) -> None:
        """What chance finds too rarely: a balance of exactly 0, and room beyond it."""
        balance = self.models[self.ids[store]].balance
        if balance:
            self.claw_back(store, balance, f"all at {len(self.models[self.ids[store]].rows)}")
        self.set_overage_limit(store, 20)

    @rule(store=store_numbers, period=periods, unit_amount=unit_amounts)
    def close_overage(self, store: int, period: date, unit_amount: int) -> None:
        store_id = self.ids[store]
        self.agree(
            lambda: [(self.models[store_id].close_overage(period, unit_amount),)],
            lambda: self.call("close_store_overage", store_id, period, unit_amount, "USD"),
        )

    @rule(store=store_numbers, amount=amounts, request_id=request_ids | bad_request_ids)
    def deduct(self, store: int, amount: int, request_id: str) -> None:
        store_id = self.ids[store]
        self.agree(
            lambda: [(self.models[store_id].deduct(amount, request_id),)],
            lambda: self.call("deduct_store_credits", store_id, amount, request_id),
        )

    @rule(store=store_numbers, items=batches(st.tuples(amounts, request_ids)))
    def deduct_many(self, store: int, items: list[tuple[int, str]]) -> None:
        store_id, nothing = self.ids[store], [None] * len(items)
        self.agree(
            lambda: numbered(self.models[store_id].deduct_many(items)),
            lambda: self.call(
                "deduct_store_credits_many", store_id, *columns(items), nothing, nothing
            ),
        )

    @rule(store=store_numbers, amount=amounts | bad_amounts, request_id=request_ids)
    def refund(self, store: int, amount: int, request_id: str) -> None:
        store_id = self.ids[store]
        self.agree(
            lambda: [(self.models[store_id].refund(amount, request_id),)],
            lambda: self.call("refund_store_credits", store_id, amount, request_id),
        )

    @rule(store=store_numbers, items=batches(st.tuples(amounts, request_ids)))
    def refund_many(self, store: int, items: list[tuple[int, str]]) -> None:
        store_id = self.ids[store]
        self.agree(
            lambda: numbered(self.models[store_id].refund_many(items)),
            lambda: self.call(
                "refund_store_credits_many", store_id, *columns(items), [None] * len(items)
            ),
        )

    @rule(session=sessions, result_key=keys)
    def complete(self, session: tuple[UUID, UUID], result_key: str) -> None:
        store_id, session_id = session
        self.agree(
            lambda: [(self.models[store_id].complete(session_id, result_key),)],
            lambda: self.call("complete_store_generation", store_id, session_id, result_key),
        )

    @rule(session=sessions)
    def fail(self, session: tuple[UUID, UUID]) -> None:
        store_id, session_id = session
        self.agree(
            lambda: [(self.models[store_id].fail(session_id, "ONE"),)],
            lambda: self.call("fail_store_generation", store_id, session_id, "ONE", "Broke."),
        )

    @rule(session=sessions)
    def forget(self, session: tuple[UUID, UUID]) -> None:
        store_id, session_id = session
        self.agree(
            lambda: [(self.models[store_id].forget(session_id),)],
            lambda: self.call("forget_store_generation_result", store_id, session_id),
        )

    @rule(session=sessions, store=store_numbers)
    def touch_with_another_stores_id(self, session: tuple[UUID, UUID], store: int) -> None:
        other, session_id = self.ids[store], session[1]
        if other == session[0]:
            return
        fail, complete = "fail_store_generation", "complete_store_generation"
        assert self.call(fail, other, session_id, "E", "Broke.") == [("not_found",)]
        assert self.call(complete, other, session_id, "key") == [("not_found",)]

    # Several stores at once

    @rule(target=sessions, items=batches(st.tuples(store_numbers, request_ids, contents)))
    def create(self, items: list[tuple[int, str, bytes]]) -> MultipleResults[tuple[UUID, UUID]]:
        stores = [self.ids[store] for store, _, _ in items]
        wanted = [(uuid7(), request_id, content) for _, request_id, content in items]
        nothing = [None] * len(items)

        def answer() -> list[tuple[str, UUID | None]]:
            rows = self.call(
                "create_generations_across_stores", stores, *columns(wanted), nothing, nothing
            )
            known = {"created", "replayed"}
            return [(row[1], row[2] if row[1] in known else None) for row in sorted(rows)]

        outcomes = self.agree(
            lambda: across(
                self.models, stores, wanted, lambda model, part: model.create_many(part)
            ),
            answer,
        )
        assert outcomes is not None
        return multiple(
            *(
                (store_id, session_id)
                for store_id, (outcome, session_id) in zip(stores, outcomes, strict=True)
                if outcome == "created" and session_id is not None
            )
        )

    @rule(items=batches(st.tuples(store_numbers, request_ids)))
    def create_for_an_unknown_store_too(self, items: list[tuple[int, str]]) -> None:
        stores = [self.ids[store] for store, _ in items] + [UNKNOWN_STORE]
        nothing = [None] * len(stores)
        self.refused_with(
            CreditError.UNKNOWN_STORE,
            lambda: self.call(
                "create_generations_across_stores",
                stores,
                [uuid7() for _ in stores],
                [request_id for _, request_id in items] + ["a"],
                [b"1" * 32] * len(stores),
                nothing,
                nothing,
            ),
        )

    @rule(items=batches(sessions))
    def start_many(self, items: list[tuple[UUID, UUID]]) -> None:
        stores, ids = columns(items)

        def answer() -> list[tuple[str, int | None]]:
            rows = self.call("start_generations_across_stores", stores, ids)
            return [(row[1], row[2]) for row in sorted(rows, key=lambda row: int(row[0]))]

        self.agree(
            lambda: across(self.models, stores, ids, StoreModel.start_many),
            answer,
        )

    @rule(items=batches(st.tuples(sessions, keys)))
    def complete_many(self, items: list[tuple[tuple[UUID, UUID], str]]) -> None:
        stores = [store_id for (store_id, _), _ in items]
        wanted = [(session_id, result_key) for (_, session_id), result_key in items]

        def answer() -> list[str]:
            rows = self.call("complete_generations_across_stores", stores, *columns(wanted))
            return [outcome for _, outcome in sorted(rows)]

        def complete(model: StoreModel, part: list[tuple[UUID, str]]) -> list[str]:
            # Where a session stands twice, its first item decides, and all answer from the end.
            for item in part:
                model.complete(*item)
            return [model.complete(*item) for item in part]

        self.agree(lambda: across(self.models, stores, wanted, complete), answer)

    @rule(items=batches(sessions))
    def fail_many(self, items: list[tuple[UUID, UUID]]) -> None:
        stores, ids = columns(items)
        wanted = [(session_id, f"CODE {place}") for place, session_id in enumerate(ids)]

        def answer() -> list[str]:
            codes = [code for _, code in wanted]
            rows = self.call("fail_generations_across_stores", stores, ids, codes, codes)
            return [outcome for _, outcome, _ in sorted(rows)]

        def fail(model: StoreModel, part: list[tuple[UUID, str]]) -> list[str]:
            # The sessions are locked, failed and refunded in the order of their ids.
            order = sorted(range(len(part)), key=lambda place: (part[place][0].bytes, place))
            outcomes = {place: model.fail(*part[place]) for place in order}
            return [outcomes[place] for place in range(len(part))]

        self.agree(lambda: across(self.models, stores, wanted, fail), answer)

    # What must hold after every step

    @invariant()
    def the_tables_are_the_model(self) -> None:
        if not self.ids:
            return
        for store_id, books in self.runner.run(read_back(self.connection, self.ids)).items():
            model = self.models[store_id]
            assert books.credits == model.credits
            assert books.beyond == model.beyond
            assert books.rows == model.rows
            assert books.bills == model.bills
            assert books.sessions == {
                each.session_id: (
                    each.request_id,
                    each.status,
                    each.attempts,
                    each.result_key,
                    each.error_code,
                )
                for each in model.sessions.values()
            }


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def numbered(outcomes: list[tuple[str, int]]) -> list[tuple[Any, ...]]:
    return [(place, *outcome) for place, outcome in enumerate(outcomes, start=1)]


@pytest.fixture
def url(server_url: str, template: str) -> Iterator[str]:
    """A superuser's URL of a fresh database; each example makes stores of its own in it."""
    name = f"test_{uuid4().hex}"

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(server_url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(execute(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    asyncio.run(execute(f"DROP DATABASE {name} WITH (FORCE)"))


def drive(url: str, *, examples: int, steps: int) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(connect(url))

        class Machine(LedgerMachine):
            def __init__(self) -> None:
                super().__init__(runner, connection)

        try:
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(connection.close())


# A failure is worth the time it takes to find the shortest way to it.
@pytest.mark.timeout(900)
def test_the_functions_do_what_the_model_says(url: str) -> None:
    drive(url, examples=60, steps=30)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_the_functions_do_what_the_model_says_at_length(url: str) -> None:
    drive(url, examples=2000, steps=60)
