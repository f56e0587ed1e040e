"""Whose webhook endpoints they are: who is let in, and what nobody but their owner sees."""

from tests.web.checklist import (
    UNKNOWN,
    assert_only_a_working_key_is_let_in,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.webhooks.hooks import URL, Hooks, assert_absent

pytestmark = ONE_LOOP

OWN = "/api/v1/webhooks"
OPERATOR_ONLY = ("billing.problem", "verify.failed")


def own_of(store: StoreClient) -> Hooks:
    return Hooks(store, OWN, store.store_id)


def by_operator(operator: Operator, store: StoreClient) -> Hooks:
    return Hooks(operator, f"/stores/{store.store_id}/webhooks", store.store_id)


def operators(operator: Operator) -> Hooks:
    return Hooks(operator, "/webhooks", None)


async def test_another_owners_endpoint_is_as_absent_as_an_unknown_one(
    operator: Operator, store: StoreClient
) -> None:
    other = await operator.store()
    made = await own_of(store).made()
    path = f"/{made['endpoint_id']}"
    for hooks in (own_of(other), by_operator(operator, other), operators(operator)):
        await assert_absent(hooks, path)
        assert await hooks.listed() == []
    del made["secret"]
    assert data_of(await own_of(store).get(path)) == made
    of_operator = await operators(operator).made()
    for hooks in (own_of(store), by_operator(operator, store)):
        await assert_absent(hooks, f"/{of_operator['endpoint_id']}")
    await operators(operator).forget()


async def test_the_operator_helps_a_store_by_its_id_or_name_and_both_see_the_same(
    operator: Operator,
) -> None:
    store = await operator.store(name="Caps & Co")
    made = await by_operator(operator, store).made(event_types=["credits.low"])
    del made["secret"]
    assert await own_of(store).listed() == [made]
    by_name = Hooks(operator, "/stores/Caps%20%26%20Co/webhooks", store.store_id)
    assert await by_name.listed() == [made]
    path = f"/{made['endpoint_id']}"
    assert data_of(await by_name.send("POST", f"{path}/disable"))["status"] == "disabled"
    assert data_of(await own_of(store).get(path))["status"] == "disabled"
    nobody = Hooks(operator, f"/stores/{UNKNOWN}/webhooks", None)
    error_of(await nobody.send("POST", url=URL), 404, "NOT_FOUND")
    error_of(await nobody.get(), 404, "NOT_FOUND")


async def test_a_store_hears_nothing_that_is_the_operators(
    operator: Operator, store: StoreClient
) -> None:
    for hooks in (own_of(store), by_operator(operator, store)):
        made = await hooks.made()
        for send in (("POST", "", {"url": URL}), ("PATCH", f"/{made['endpoint_id']}", {})):
            method, path, body = send
            types = ["credits.low", *OPERATOR_ONLY]
            answer = await hooks.send(method, path, **body, event_types=types)
            details = error_of(answer, 400, "VALIDATION_ERROR")["details"]
            assert [each["key"] for each in details] == ["event_types[1]", "event_types[2]"]
    assert [each["event_types"] for each in await own_of(store).listed()] == [["*"], ["*"]]
    mine = operators(operator)
    assert (await mine.made(event_types=[*OPERATOR_ONLY]))["event_types"] == [*OPERATOR_ONLY]
    await mine.forget()


async def test_only_a_working_key_is_let_in(operator: Operator) -> None:
    await assert_only_a_working_key_is_let_in(operator, "GET", OWN)


async def test_only_the_operator_is_let_in(operator: Operator) -> None:
    await assert_only_the_operator_is_let_in(operator, "GET", "/webhooks")
    store = await operator.store()
    path = f"/stores/{store.store_id}/webhooks"
    await assert_only_the_operator_is_let_in(operator, "GET", path)


async def test_other_methods_are_refused(store: StoreClient, operator: Operator) -> None:
    callers: tuple[tuple[StoreClient | Operator, str], ...] = (
        (store, OWN),
        (operator, "/webhooks"),
        (operator, f"/stores/{store.store_id}/webhooks"),
    )
    for caller, base in callers:
        await assert_other_methods_are_refused(caller, base, "GET", "POST")
        one = f"{base}/{UNKNOWN}"
        await assert_other_methods_are_refused(caller, one, "GET", "PATCH", "DELETE")
        for each in ("rotate", "enable", "disable", "test", "resend"):
            await assert_other_methods_are_refused(caller, f"{one}/{each}", "POST")


async def test_reads_are_limited(operator: Operator) -> None:
    await assert_reads_are_limited(operator, OWN)


async def test_a_page_of_a_listed_origin_may_change_and_delete(operator: Operator) -> None:
    await operator.store(allowed_origins=("https://hooks-page.example",))
    headers = {"Origin": "https://hooks-page.example", "Access-Control-Request-Method": "DELETE"}
    answer = await operator.http.options(f"{OWN}/{UNKNOWN}", headers=headers)
    assert answer.status_code == 204
    assert {"PATCH", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
