"""Who is let in to the doors of billing; what is behind them is tested in tests/billing."""

from uuid import UUID

import pytest

from tests.web.checklist import (
    assert_only_a_working_key_is_let_in,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.doors import Operator


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/api/v1/billing/checkout"),
        ("GET", "/api/v1/billing/plans"),
        ("GET", "/api/v1/billing/subscriptions"),
    ],
)
async def test_the_stores_doors_hold_the_checklist(
    operator: Operator, method: str, path: str
) -> None:
    await assert_only_a_working_key_is_let_in(operator, method, path)
    await assert_other_methods_are_refused(await operator.store(), path, method)
    if method == "GET":
        await assert_reads_are_limited(operator, path)


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", f"/stores/{UUID(int=7)}/checkout"),
        ("GET", f"/stores/{UUID(int=7)}/subscriptions"),
        ("GET", "/billing/problems"),
        ("POST", "/billing/problems/evt_1/dismiss"),
        ("POST", "/billing/transactions/txn_1/book"),
        ("POST", "/billing/events/evt_1/retry"),
    ],
)
async def test_the_operators_doors_hold_the_checklist(
    operator: Operator, method: str, path: str
) -> None:
    await assert_only_the_operator_is_let_in(operator, method, path)
    await assert_other_methods_are_refused(operator, path, method)


async def test_the_doors_of_a_top_up_hold_the_checklist(operator: Operator) -> None:
    methods, own = ("GET", "PUT", "DELETE"), "/api/v1/top-up"
    of_store = f"/stores/{UUID(int=7)}/top-up"
    for method in methods:
        await assert_only_a_working_key_is_let_in(operator, method, own)
        await assert_only_the_operator_is_let_in(operator, method, of_store)
    await assert_other_methods_are_refused(await operator.store(), own, *methods)
    await assert_other_methods_are_refused(operator, of_store, *methods)
    await assert_reads_are_limited(operator, own)
