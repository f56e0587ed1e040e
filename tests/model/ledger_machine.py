"""Hypothesis drives the ledger's functions and a plain-Python model of them side by side.

One machine for stores and end users: their accounts meet in the same batches. Request ids come
from a small pool, so that they meet again: replays, conflicts and duplicates within a batch are
the rule. After every step all rows of all accounts must be the model's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)
from uuid_utils.compat import uuid7

from storecredit.ledger.outcomes import CreditError
from storecredit.ledger.owners import Owner, OwnerKind
from tests.model.ledger_model import AccountModel, Created, Refused
from tests.model.tables import read_back

Result = TypeVar("Result")
Item = TypeVar("Item")

KINDS = (OwnerKind.STORE, OwnerKind.USER, OwnerKind.STORE, OwnerKind.USER)
"""Of the accounts. The first two bear the same UUID, and are two accounts all the same."""
BATCH_MAX = 8
UNKNOWN_ACCOUNT = 2**62
DOORS = ("deduct_from_accounts", "refund_to_accounts")

places = st.integers(0, len(KINDS) - 1)
request_ids = st.sampled_from(["a", "b", "c", "d", "x" * 200])
bad_request_ids = st.sampled_from(["", "x" * 201])
amounts = st.sampled_from([1, 1, 1, 2, 3, 7])
bad_amounts = st.sampled_from([0, -1])
types = st.sampled_from(["purchase", "subscription", "signup_bonus", "grant", "grant", "overage"])
contents = st.sampled_from([b"1" * 32, b"1" * 32, b"2" * 32])
keys = st.sampled_from(["key 1", "key 2"])
# Limits at which the edge is met often, and one that a bill could not hold.
limits = st.sampled_from([0, 1, 2, 5, 5, 20, -1, 2**31])
periods = st.sampled_from(
    [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 12, 1), date(2026, 3, 2)]
)
unit_amounts = st.sampled_from([1, 16, 18, 0])

# What outside callers call it, for stores and for end users.
DEDUCT = {OwnerKind.STORE: "deduct_store_credits", OwnerKind.USER: "deduct_credits"}
REFUND = {OwnerKind.STORE: "refund_store_credits", OwnerKind.USER: "refund_credits"}
ADD = {OwnerKind.STORE: "add_store_credits", OwnerKind.USER: "add_credits"}
CLAW_BACK = {OwnerKind.STORE: "claw_back_store_credits", OwnerKind.USER: "claw_back_credits"}


def batches(items: st.SearchStrategy[Item]) -> st.SearchStrategy[list[Item]]:
    return st.lists(items, min_size=1, max_size=BATCH_MAX)


class LedgerMachine(RuleBasedStateMachine):
    """Each rule makes one call of the database and of the model and compares the answers."""

    sessions = Bundle("sessions")

    def __init__(self, runner: asyncio.Runner, connection: asyncpg.Connection) -> None:
        super().__init__()
        self.runner, self.connection = runner, connection
        self.ids: list[int] = []
        self.models: dict[int, AccountModel] = {}

    @initialize(credits=st.lists(st.integers(0, 6), min_size=len(KINDS), max_size=len(KINDS)))
    def open_accounts(self, credits: list[int]) -> None:
        shared = uuid7()
        for place, (kind, count) in enumerate(zip(KINDS, credits, strict=True)):
            owner = Owner(kind, shared if place < 2 else uuid7())
            if kind is OwnerKind.STORE:
                self.call("create_store", owner.id, "Test", "test.example", "default", count, "in")
            else:
                self.call("ensure_user", owner.id, count)
            ((account_id,),) = self.call("account_of", kind, owner.id)
            model = self.models[account_id] = AccountModel(owner)
            self.ids.append(account_id)
            if count and kind is OwnerKind.STORE:
                model.add(count, "grant", "in")
            elif count:
                model.add(count, "signup_bonus", "signup")

    # Calls of the database and of the model

    def call(self, function: str, *args: object) -> list[tuple[Any, ...]]:
        numbers = ", ".join(f"${n}" for n in range(1, len(args) + 1))
        query = f"SELECT * FROM {function}({numbers})"
        return [tuple(row) for row in self.runner.run(self.connection.fetch(query, *args))]

    def call_many(self, function: str, items: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """A plural door that answers rows with their places."""
        return [tuple(row[1:]) for row in sorted(self.call(function, *columns(items)), key=place)]

    def call_arrays(
        self, function: str, items: Sequence[tuple[Any, ...]], *more: object
    ) -> list[tuple[Any, ...]]:
        """A plural door that answers one row of arrays."""
        ((*answers,),) = self.call(function, *columns(items), *more)
        return list(zip(*answers, strict=True))

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

    def settle(
        self,
        batch: Sequence[tuple[Any, ...]],
        settle: Callable[[AccountModel, list[Any]], list[Result]],
    ) -> list[Result]:
        """Each account's part of a batch, which is in ascending order of the accounts."""
        parts: defaultdict[int, list[Any]] = defaultdict(list)
        for account_id, *item in batch:
            parts[account_id].append(tuple(item) if len(item) > 1 else item[0])
        return [
            result
            for account_id, part in parts.items()
            for result in settle(self.models[account_id], part)
        ]

    # One account, as outside callers see it

    @rule(
        at=places,
        amount=amounts | bad_amounts,
        type_=types,
        request_id=request_ids | bad_request_ids,
    )
    def add(self, at: int, amount: int, type_: str, request_id: str) -> None:
        model = self.models[self.ids[at]]
        self.agree(
            lambda: [(model.add(amount, type_, request_id),)],
            lambda: self.call(
                ADD[model.owner.kind], model.owner.id, amount, type_, request_id, "Added"
            ),
        )

    @rule(at=places, amount=amounts | bad_amounts, request_id=request_ids)
    def claw_back(self, at: int, amount: int, request_id: str) -> None:
        model = self.models[self.ids[at]]
        self.agree(
            lambda: [(model.claw_back(amount, request_id),)],
            lambda: self.call(CLAW_BACK[model.owner.kind], model.owner.id, amount, request_id),
        )

    @rule(at=places, amount=amounts | bad_amounts, request_id=request_ids | bad_request_ids)
    def deduct(self, at: int, amount: int, request_id: str) -> None:
        model = self.models[self.ids[at]]
        self.agree(
            lambda: [(model.deduct(amount, request_id),)],
            lambda: self.call(DEDUCT[model.owner.kind], model.owner.id, amount, request_id),
        )

    @rule(at=places, amount=amounts | bad_amounts, request_id=request_ids)
    def refund(self, at: int, amount: int, request_id: str) -> None:
        model = self.models[self.ids[at]]
        self.agree(
            lambda: [(model.refund(amount, request_id),)],
            lambda: self.call(REFUND[model.owner.kind], model.owner.id, amount, request_id),
        )

    # One account, by its id

    @rule(at=places, limit=limits)
    def set_overage_limit(self, at: int, limit: int) -> None:
        account_id = self.ids[at]
        self.agree(
            lambda: [(self.models[account_id].set_overage_limit(limit),)],
            lambda: self.call("set_overage_limit", account_id, limit),
        )

    @rule(at=places)
    def use_up_and_go_beyond(self, at: int) -> None:
        """What chance finds too rarely: a balance of exactly 0, and room beyond it."""
        model = self.models[self.ids[at]]
        if model.balance:
            self.claw_back(at, model.balance, f"all at {len(model.rows)}")
        self.set_overage_limit(at, 20)

    @rule(at=places, period=periods, unit_amount=unit_amounts)
    def close_overage(self, at: int, period: date, unit_amount: int) -> None:
        account_id = self.ids[at]
        self.agree(
            lambda: [(self.models[account_id].close_overage(period, unit_amount),)],
            lambda: self.call("close_overage", account_id, period, unit_amount, "USD"),
        )

    @rule(session=sessions)
    def forget(self, session: tuple[int, UUID]) -> None:
        account_id, session_id = session
        self.agree(
            lambda: [(self.models[account_id].forget(session_id),)],
            lambda: self.call("forget_result", account_id, session_id),
        )

    # Many accounts at once

    @rule(door=st.sampled_from(DOORS), items=batches(st.tuples(places, amounts, request_ids)))
    def move_many(self, door: str, items: list[tuple[int, int, str]]) -> None:
        batch = [(self.ids[at], amount, request) for at, amount, request in ascending(items)]
        settle = AccountModel.deduct_many if door == DOORS[0] else AccountModel.refund_many
        self.agree(
            lambda: self.settle(batch, settle),
            lambda: self.call_arrays(door, batch, [None] * len(batch)),
        )

    @rule(at=places, request_id=request_ids, asked=st.lists(amounts, min_size=2, max_size=5))
    def move_one_request_over_and_over(self, at: int, request_id: str, asked: list[int]) -> None:
        """What chance finds too rarely: one request many times in a batch, the largest first."""
        for door, order in zip(DOORS, (asked, sorted(asked, reverse=True)), strict=True):
            self.move_many(door, [(at, amount, request_id) for amount in order])

    @rule(target=sessions, items=batches(st.tuples(places, request_ids, amounts, contents)))
    def create(self, items: list[tuple[int, str, int, bytes]]) -> MultipleResults[tuple[int, UUID]]:
        batch = [(self.ids[at], uuid7(), *request) for at, *request in ascending(items)]
        answers: list[Created] | None = self.agree(
            lambda: self.settle(batch, AccountModel.create_many),
            lambda: self.create_generations(batch),
        )
        assert answers is not None
        made = [
            (account_id, session_id)
            for (account_id, *_), (outcome, session_id, *_) in zip(batch, answers, strict=True)
            if outcome == "created" and session_id is not None
        ]
        return multiple(*made)

    def create_generations(self, batch: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        nothing = [None] * len(batch)
        return self.call_arrays(
            "create_generations", batch, nothing, nothing, "generation", nothing
        )

    @rule(items=batches(st.tuples(places, request_ids)), bad=bad_request_ids | st.none())
    def create_what_is_refused(self, items: list[tuple[int, str]], bad: str | None) -> None:
        """One item that cannot be: nothing of the batch is written."""
        batch = [(self.ids[at], uuid7(), request, 1, b"1" * 32) for at, request in ascending(items)]
        last = UNKNOWN_ACCOUNT if bad is None else batch[-1][0]
        batch.append((last, uuid7(), "a" if bad is None else bad, 1, b"1" * 32))
        error = CreditError.UNKNOWN_ACCOUNT if bad is None else CreditError.INVALID_REQUEST_ID
        self.refused_with(error, lambda: self.create_generations(batch))

    @rule(items=batches(st.tuples(places, amounts, request_ids)), bad=bad_amounts | st.none())
    def deduct_and_refund_what_is_refused(
        self, items: list[tuple[int, int, str]], bad: int | None
    ) -> None:
        batch = [(self.ids[at], amount, request) for at, amount, request in ascending(items)]
        last = UNKNOWN_ACCOUNT if bad is None else batch[-1][0]
        batch.append((last, 1 if bad is None else bad, "a"))
        error = CreditError.UNKNOWN_ACCOUNT if bad is None else CreditError.INVALID_AMOUNT
        nothing = [None] * len(batch)
        for door in DOORS:
            self.refused_with(error, partial(self.call_arrays, door, batch, nothing))

    @rule(items=batches(sessions))
    def start(self, items: list[tuple[int, UUID]]) -> None:
        batch = sorted(items)
        self.agree(
            lambda: self.settle(batch, AccountModel.start_many),
            lambda: [row[:2] for row in self.call_many("start_generations", batch)],
        )

    @rule(items=batches(st.tuples(sessions, keys)))
    def complete(self, items: list[tuple[tuple[int, UUID], str]]) -> None:
        batch = [(*session, key) for session, key in sorted(items)]
        self.agree(
            lambda: self.settle(batch, AccountModel.complete_many),
            lambda: [outcome for (outcome,) in self.call_many("complete_generations", batch)],
        )

    @rule(items=batches(sessions))
    def fail(self, items: list[tuple[int, UUID]]) -> None:
        ordered = sorted(items, key=lambda item: item[0])
        batch = [(*session, f"CODE {n}") for n, session in enumerate(ordered)]
        self.agree(
            lambda: self.settle(batch, AccountModel.fail_many),
            lambda: self.call_many("fail_generations", [(*item, "Broke.", None) for item in batch]),
        )

    @rule(session=sessions, at=places)
    def touch_with_another_accounts_id(self, session: tuple[int, UUID], at: int) -> None:
        other, session_id = self.ids[at], session[1]
        if other == session[0]:
            return
        failed = (other, session_id, "E", "Broke.", None)
        assert self.call_many("fail_generations", [failed]) == [("not_found", None)]
        assert self.call_many("complete_generations", [failed[:3]]) == [("not_found",)]
        assert self.call_many("start_generations", [failed[:2]])[0][0] == "not_found"

    # What must hold after every step

    @invariant()
    def the_tables_are_the_model(self) -> None:
        if not self.ids:
            return
        books = self.runner.run(read_back(self.connection, self.ids))
        assert set(books) == set(self.models)
        for account_id, model in self.models.items():
            has = books[account_id]
            assert has.overage_limit == model.overage_limit
            assert has.rows == model.rows
            assert has.totals == model.totals
            assert has.bills == model.bills
            assert has.sessions == {each.session_id: each.row for each in model.sessions.values()}
            assert has.jobs == set(model.sessions)


def ascending(items: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """In the order of the accounts, which is that of their places; of one account as they came."""
    return sorted(items, key=place)


def place(item: tuple[Any, ...]) -> int:
    return int(item[0])


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
