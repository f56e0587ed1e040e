"""`/api/admin/audit`: what operators did, and that a request with a key is done once."""

from typing import Any

import httpx
import pytest

from storecredit.operator.audit import Action
from storecredit.web.operator_api.routes import operator_router
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, bearer, data_of, error_of
from tests.web.users import UserClient

pytestmark = pytest.mark.several_buckets

REASON = {"X-Request-Reason": "asked by mail"}


async def entries(operator: Operator, **wanted: Any) -> list[dict[str, Any]]:
    """Newest first."""
    items: list[dict[str, Any]] = data_of(await operator.get("/audit", **wanted))["items"]
    return items


async def sent(operator: Operator, method: str, path: str, **body: Any) -> httpx.Response:
    return await operator.send(method, path, headers=REASON, json=body or None)


async def keyed(operator: Operator, path: str, key: str, **body: Any) -> httpx.Response:
    named = {"Idempotency-Key": key}
    return await operator.send("POST", path, headers=named, json=body or None)


def test_every_door_that_changes_something_acts_through_the_operators_room() -> None:
    routes: Any = operator_router().routes
    handlers = [handler for route in routes for handler in route.route_handlers]
    acting = [each for each in handlers if each.http_methods & {"POST", "PUT", "PATCH", "DELETE"}]
    assert len(acting) > 30
    for handler in acting:
        is_apps = any(f"}}/{noun}" in path for path in handler.paths for noun in ("spend", "holds"))
        taken = set(handler.parsed_fn_signature.parameters)
        assert is_apps or taken & {"context", "hearer"}, handler


async def test_what_the_operator_does_is_written_with_its_reason(
    operator: Operator, user: UserClient
) -> None:
    await user.balance()
    made = data_of(
        await sent(operator, "POST", "/stores", name="Hats", shop_domain="hats.example"), 201
    )
    store = f"/stores/{made['store_id']}"
    grant = {"amount": 9, "type": "grant", "request_id": "gift-1"}
    data_of(await sent(operator, "POST", f"{store}/credits", **grant), 201)
    data_of(await sent(operator, "PATCH", store, tier="default"))
    data_of(await sent(operator, "PATCH", f"{store}/keys/{made['key_id']}", label="web"))
    data_of(await sent(operator, "POST", f"{store}/keys/{made['key_id']}/rotate"), 201)
    data_of(await sent(operator, "DELETE", f"{store}/keys/{made['key_id']}"))
    removal = {"amount": 2, "request_id": "fix-1", "reason": "added by mistake"}
    data_of(await sent(operator, "POST", f"{store}/credits/remove", **removal), 201)
    who = f"/users/{user.user_id}"
    data_of(await sent(operator, "POST", f"{who}/block"))
    data_of(await sent(operator, "POST", f"{who}/unblock"))
    hook = {"url": "https://ops.example/hook?token=hidden"}
    data_of(await sent(operator, "POST", f"{store}/webhooks", **hook), 201)
    data_of(await sent(operator, "POST", f"{who}/erase"))
    data_of(await operator.get("/verify"))

    found = (await entries(operator))[::-1]
    assert [entry["action"] for entry in found] == [
        Action.STORE_CREATE,
        Action.CREDITS_ADD,
        Action.STORE_UPDATE,
        Action.KEY_UPDATE,
        Action.KEY_ROTATE,
        Action.KEY_REVOKE,
        Action.CREDITS_REMOVE,
        Action.USER_BLOCK,
        Action.USER_UNBLOCK,
        Action.WEBHOOK_CREATE,
        Action.USER_ERASE,
        Action.LEDGER_VERIFY,
    ]
    assert {(entry["actor"], entry["door"]) for entry in found} == {("admin", "api")}
    reasons = {entry["action"]: entry["reason"] for entry in found}
    assert reasons.pop("credits.remove") == "added by mistake"
    assert reasons.pop("ledger.verify") == ""
    assert set(reasons.values()) == {"asked by mail"}
    assert "hidden" not in str(found)
    assert made["api_key"] not in str(found)

    of_user = await entries(operator, owner=user.user_id)
    assert [entry["action"] for entry in of_user] == ["user.erase", "user.unblock", "user.block"]
    assert [entry["request_id"] for entry in await entries(operator, request_id="gift-1")] == [
        "gift-1"
    ]


async def test_what_is_sent_again_with_its_key_is_answered_as_before(operator: Operator) -> None:
    hats = {"name": "Hats", "shop_domain": "hats.example", "credits": 5}
    first = await keyed(operator, "/stores", "shop-1", **hats)
    again = await keyed(operator, "/stores", "shop-1", **hats)
    made, before = data_of(first, 201), data_of(again, 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert before == {**made, "api_key": None}
    error = error_of(
        await keyed(operator, "/stores", "shop-1", **{**hats, "name": "Caps"}),
        422,
        "IDEMPOTENCY_CONFLICT",
    )
    assert "Nothing was done" in error["message"]

    key = f"/stores/{made['store_id']}/keys/{made['key_id']}/rotate"
    rotated = data_of(await keyed(operator, key, "turn-1"), 201)
    repeated = data_of(await keyed(operator, key, "turn-1"), 201)
    assert repeated == {**rotated, "api_key": None}
    assert [entry["action"] for entry in await entries(operator)] == ["key.rotate", "store.create"]


async def test_a_reason_is_read_as_its_client_writes_it(
    operator: Operator, store: StoreClient
) -> None:
    async def changed(*reasons: bytes) -> httpx.Response:
        [(name, token)] = bearer(OPERATOR_TOKEN).items()
        headers = [(name.encode(), token.encode()), *((b"X-Request-Reason", r) for r in reasons)]
        path = f"/api/admin/stores/{store.store_id}"
        return await operator.http.patch(path, headers=headers, json={"tier": "default"})

    data_of(await changed("café fermé".encode()))
    data_of(await changed("café fermé".encode("latin-1")))
    assert [entry["reason"] for entry in await entries(operator)][:2] == ["café fermé"] * 2
    data_of(await changed("é".encode() * 500))
    for refused in (["é".encode() * 501], [b"one", b"two"]):
        error = error_of(await changed(*refused), 400, "VALIDATION_ERROR")
        assert "Nothing was done" in error["message"]


async def test_a_store_does_not_read_it_nor_does_what_it_does_stand_there(
    operator: Operator, store: StoreClient
) -> None:
    hook = {"url": "https://hats.example/hook"}
    data_of(await store.send("POST", "/api/v1/webhooks", json=hook), 201)
    error_of(await store.get("/api/admin/audit"), 401, "INVALID_API_KEY")
    assert [entry["action"] for entry in await entries(operator)] == ["store.create"]


async def test_what_cannot_be_is_refused(operator: Operator) -> None:
    error_of(await operator.get("/audit", action="nothing"), 400, "VALIDATION_ERROR")
    error_of(await operator.get("/audit", cursor="-1"), 400, "VALIDATION_ERROR")
    error_of(await operator.get("/audit", owner="nobody"), 404, "NOT_FOUND")
    error_of(
        await operator.get("/audit", from_="2026-11-02", to="2026-11-01"), 400, "VALIDATION_ERROR"
    )
    long = {"X-Request-Reason": "x" * 501}
    answer = await operator.send(
        "POST", "/stores", headers=long, json={"name": "Hats", "shop_domain": "hats.example"}
    )
    [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
    assert (detail["key"], detail["source"]) == ("x-request-reason", "header")
    assert await entries(operator) == []


async def test_a_cursor_of_more_buckets_than_there_are_was_not_given_out(
    operator: Operator,
) -> None:
    for cursor in ("0.5" + ".5" * 20, "0" + ".0" * 999):
        error_of(await operator.get("/audit", cursor=cursor), 400, "VALIDATION_ERROR")
