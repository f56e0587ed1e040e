"""Tokens of operators: named, with scopes and an end, and refused once they are revoked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from storecredit.service import Service
from tests.web.doors import Operator, StoreClient, bearer, data_of, error_of
from tests.web.frameworks import application
from tests.web.spends import item
from tests.web.table_rows import of_all_buckets
from tests.web.users import UserClient


async def made(operator: Operator, name: str = "ann", *scopes: str, **more: Any) -> dict[str, Any]:
    body = {"name": name, "scopes": scopes or ("all",), **more}
    token: dict[str, Any] = data_of(await operator.post("/tokens", **body), 201)
    return token


async def sent(
    operator: Operator, token: str, method: str, path: str, **body: Any
) -> httpx.Response:
    return await operator.http.request(
        method, f"/api/admin{path}", headers=bearer(token), json=body or None
    )


async def test_who_acts_by_a_named_token_is_named_in_log_and_ledger(
    operator: Operator, store: StoreClient, user: UserClient, admin: asyncpg.Connection
) -> None:
    await user.balance()
    token = (await made(operator))["token"]
    grant = {"amount": 9, "type": "grant", "request_id": "gift-1"}
    data_of(await sent(operator, token, "POST", f"/stores/{store.store_id}/credits", **grant), 201)
    who = f"/users/{user.user_id}"
    spent = await sent(operator, token, "POST", f"{who}/spend/batch", items=[item("call-1", 1)])
    data_of(spent)
    held = data_of(await sent(operator, token, "POST", f"{who}/holds", amount=1), 201)
    data_of(await sent(operator, token, "POST", f"{who}/holds/{held['hold_id']}/capture"))

    log = data_of(await operator.get("/audit", actor="ann"))["items"]
    assert [entry["action"] for entry in log] == ["credits.add"]
    rows = await of_all_buckets(admin, "SELECT type FROM movements WHERE actor = 'ann'")
    assert sorted(row["type"] for row in rows) == ["capture", "deduction", "grant", "hold"]


@pytest.mark.parametrize(
    "scope, may", [("read", {"read"}), ("credits", {"credits"}), ("keys", {"keys"}), ("all", None)]
)
async def test_a_token_may_do_what_its_scopes_say(
    operator: Operator, store: StoreClient, scope: str, may: set[str] | None
) -> None:
    token = (await made(operator, "ann", scope))["token"]
    path = f"/stores/{store.store_id}"
    grant = {"amount": 9, "type": "grant", "request_id": "gift-1"}
    removal = {"amount": 1, "request_id": "fix-1", "reason": "a test"}
    for needed, method, address, body in (
        ("read", "GET", path, {}),
        ("read", "GET", "/audit", {}),
        ("credits", "POST", f"{path}/credits", grant),
        ("credits", "POST", f"{path}/credits/remove", removal),
        ("keys", "POST", f"{path}/keys", {"label": "web"}),
        ("keys", "DELETE", f"{path}/keys/{store.key_id}", {}),
        ("all", "PATCH", path, {"tier": "default"}),
        ("all", "POST", "/stores", {"name": "Caps", "shop_domain": "caps.example"}),
        ("all", "POST", f"{path}/webhooks", {"url": "https://hats.example/hook"}),
        ("all", "GET", "/tokens", {}),
        ("all", "POST", "/tokens", {"name": "eve", "scopes": ["all"]}),
    ):
        answer = await sent(operator, token, method, address, **body)
        if may is None or needed in may:
            assert answer.status_code in {200, 201}, (address, answer.text)
        else:
            error = error_of(answer, 403, "INSUFFICIENT_SCOPE")
            assert f"`{needed}`" in error["message"]
            challenge = f'Bearer error="insufficient_scope", scope="{needed}"'
            assert answer.headers["www-authenticate"] == challenge


async def test_several_scopes_add_up(operator: Operator, store: StoreClient) -> None:
    token = (await made(operator, "ann", "read", "keys"))["token"]
    path = f"/stores/{store.store_id}"
    data_of(await sent(operator, token, "GET", path))
    data_of(await sent(operator, token, "POST", f"{path}/keys", label="web"), 201)
    error_of(await sent(operator, token, "PATCH", path, tier="default"), 403, "INSUFFICIENT_SCOPE")


async def test_one_that_was_revoked_or_has_expired_is_refused_at_once(
    operator: Operator, admin: asyncpg.Connection
) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    first, second = await made(operator, "ann"), await made(operator, "bob", expires_at=soon)
    for token in (first, second):
        data_of(await sent(operator, token["token"], "GET", "/stores"))
    assert data_of(await operator.delete(f"/tokens/{first['token_id']}"))["revoked"] is True
    await admin.execute("UPDATE storecredit.admin_tokens SET expires_at = now() WHERE name = 'bob'")
    for token in (first, second):
        answer = await sent(operator, token["token"], "GET", "/stores")
        error_of(answer, 401, "INVALID_API_KEY")
        assert answer.headers["www-authenticate"] == "Bearer"
    listed = data_of(await operator.get("/tokens"))["items"]
    assert [each["name"] for each in listed] == ["bob", "ann"]
    assert listed[1]["revoked_at"] is not None
    assert all("token" not in each for each in listed)
    error_of(
        await operator.delete("/tokens/00000000-0000-0000-0000-000000000007"), 404, "NOT_FOUND"
    )


async def test_a_name_is_given_once(operator: Operator) -> None:
    first = await made(operator)
    for name in ("ann", "admin", "store", " ", "a\nb"):
        answer = await operator.post("/tokens", name=name, scopes=["read"])
        error_of(answer, 400, "VALIDATION_ERROR")
    data_of(await operator.delete(f"/tokens/{first['token_id']}"))
    error_of(await operator.post("/tokens", name="ann", scopes=["read"]), 400, "VALIDATION_ERROR")
    error_of(await operator.post("/tokens", name="eve", scopes=["root"]), 400, "VALIDATION_ERROR")
    error_of(await operator.post("/tokens", name="eve", scopes=[]), 400, "VALIDATION_ERROR")
    log = data_of(await operator.get("/audit"))["items"]
    assert [entry["action"] for entry in log] == ["token.revoke", "token.create"]
    assert first["token"] not in str(log)


async def test_what_is_no_token_is_refused(operator: Operator, store: StoreClient) -> None:
    token = (await made(operator))["token"]
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for wrong in ("", changed, token[:-6], f"{token}x", store.api_key, token.upper()):
        error_of(await sent(operator, wrong, "GET", "/stores"), 401, "INVALID_API_KEY")
    error_of(
        await store.send("GET", "/api/v1/health", headers=bearer(token)), 401, "INVALID_API_KEY"
    )


async def test_named_tokens_work_where_there_is_no_other(
    operator: Operator, service: Service
) -> None:
    token = (await made(operator))["token"]
    settings = service.parts.settings.model_copy(update={"admin_token": None})
    app: Any
    with application(replace(service.parts, settings=settings)) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://storecredit") as http:
            alone = Operator(http)
            data_of(await sent(alone, token, "GET", "/stores"))
            error_of(await alone.get("/stores"), 404, "NOT_FOUND")
            forged = await sent(alone, f"{token}x", "GET", "/stores")
            error_of(forged, 401, "INVALID_API_KEY")
