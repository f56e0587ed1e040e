"""`POST /api/v1/portal/sessions` and the operator's: links that sign one browser in to a portal."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from storecredit.operator.sign_ins import SignIn, SignIns
from storecredit.service import Service
from storecredit.settings import Settings
from tests.log_stream import LogStream
from tests.web.checklist import (
    UNKNOWN,
    assert_only_a_working_key_is_let_in,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.doors import Operator, StoreClient, bearer, data_of, error_of
from tests.web.frameworks import application
from tests.web.table_rows import of_all_buckets

OWN = "/api/v1/portal/sessions"
SOON = timedelta(seconds=60)


def operators(store: StoreClient) -> str:
    return f"/stores/{store.store_id}/portal/sessions"


def code_of(made: dict[str, Any], base: str = "http://api.test") -> str:
    """What stands in the link."""
    assert set(made) == {"url", "expires_at"}
    start, _, code = made["url"].rpartition("/")
    assert start == f"{base}/portal/sign-in"
    assert len(code) == 43
    return str(code)


def lasts(made: dict[str, Any], seconds: int) -> bool:
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    return left <= timedelta(seconds=seconds) < left + SOON


async def signed_in(sign_ins: SignIns, code: str) -> tuple[SignIn, str]:
    new = await sign_ins.with_link(code, "portal")
    assert new is not None
    return new.sign_in, new.cookie


@pytest.fixture
def sign_ins(service: Service) -> SignIns:
    return service.parts.operator.sign_ins


async def test_a_store_makes_a_link_for_its_own_people(
    store: StoreClient, sign_ins: SignIns, log: LogStream, admin: asyncpg.Connection
) -> None:
    answer = await store.send("POST", OWN)
    made = data_of(answer, 201)
    assert lasts(made, 300)
    code = code_of(made, str(answer.request.url).removesuffix(OWN))
    sign_in, cookie = await signed_in(sign_ins, code)
    assert (str(sign_in.store_id), sign_in.actor) == (store.store_id, "store")
    assert sign_in.expires_at - sign_in.created_at == timedelta(hours=1)
    assert await sign_ins.with_link(code, "portal") is None
    assert code not in str(log.lines())
    assert len(await of_all_buckets(admin, "SELECT FROM audit_log")) == 1, "the store's"
    assert await sign_ins.find(cookie, "portal") == sign_in


@pytest.mark.parametrize("door", ["store", "operator"])
async def test_both_times_can_be_asked_for(
    operator: Operator, store: StoreClient, sign_ins: SignIns, door: str
) -> None:
    for link, sign_in in ((60, 86_400), (86_400, 60)):
        asked = {"expires_in_seconds": link, "sign_in_seconds": sign_in}
        if door == "store":
            answer = await store.send("POST", OWN, json=asked)
        else:
            answer = await operator.post(operators(store), **asked)
        made = data_of(answer, 201)
        assert lasts(made, link)
        found, _ = await signed_in(sign_ins, made["url"].rpartition("/")[2])
        assert found.expires_at - found.created_at == timedelta(seconds=sign_in)


async def test_a_link_leads_to_the_public_address(
    service: Service, settings: Settings, store: StoreClient
) -> None:
    own = settings.model_copy(update={"public_url": "https://credits.example/below/"})
    app: Any
    with application(replace(service.parts, settings=own)) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
            made = data_of(await client.post(OWN, headers=bearer(store.api_key)), 201)
    code_of(made, "https://credits.example/below")


async def test_a_request_sent_again_makes_another_link(
    operator: Operator, store: StoreClient, sign_ins: SignIns
) -> None:
    keyed = {"Idempotency-Key": "once", "X-Request-Id": "once"}
    made = [data_of(await store.send("POST", OWN, headers=keyed), 201) for _ in range(2)]
    made += [
        data_of(await operator.send("POST", operators(store), headers=keyed), 201) for _ in range(2)
    ]
    codes = [each["url"].rpartition("/")[2] for each in made]
    assert len(set(codes)) == 4
    for code in codes:
        await signed_in(sign_ins, code)
    log = data_of(await operator.get("/audit", action="portal.link"))["items"]
    assert [(each["request_id"], each["idempotency_key"]) for each in log] == [("once", None)] * 2


async def test_a_link_of_the_operators_stands_in_the_audit_log_without_its_code(
    operator: Operator, store: StoreClient, sign_ins: SignIns, log: LogStream
) -> None:
    headers = {"X-Request-Reason": "asked by phone"}
    asked = {"expires_in_seconds": 600}
    answer = await operator.send("POST", operators(store), headers=headers, json=asked)
    made = data_of(answer, 201)
    told = await operator.get("/audit", action="portal.link")
    [entry] = data_of(told)["items"]
    assert (entry["actor"], entry["door"], entry["reason"]) == ("admin", "api", "asked by phone")
    assert (entry["store_id"], entry["user_id"]) == (store.store_id, None)
    assert entry["asked"] == {"expires_in_seconds": 600, "sign_in_seconds": 3600}
    expires_at = datetime.fromisoformat(entry["outcome"]["expires_at"])
    assert expires_at == datetime.fromisoformat(made["expires_at"])
    code = made["url"].rpartition("/")[2]
    assert code not in told.text
    assert code not in str(log.lines())
    sign_in, _ = await signed_in(sign_ins, code)
    assert (sign_in.actor, str(sign_in.store_id)) == ("admin", store.store_id)


async def test_what_a_key_began_ends_with_it(
    operator: Operator, store: StoreClient, sign_ins: SignIns
) -> None:
    key = data_of(await operator.post(f"/stores/{store.store_id}/keys"), 201)
    made = [
        data_of(await store.http.post(OWN, headers=bearer(key["api_key"])), 201) for _ in range(2)
    ]
    by_other = data_of(await store.send("POST", OWN), 201)
    used, unused, other = (each["url"].rpartition("/")[2] for each in (*made, by_other))
    _, cookie = await signed_in(sign_ins, used)
    _, others = await signed_in(sign_ins, other)
    data_of(await operator.delete(f"/stores/{store.store_id}/keys/{key['key_id']}"))
    assert await sign_ins.find(cookie, "portal") is None
    assert await sign_ins.with_link(unused, "portal") is None
    assert await sign_ins.find(others, "portal") is not None


async def test_what_an_operators_token_began_ends_with_it(
    service: Service, operator: Operator, store: StoreClient, sign_ins: SignIns
) -> None:
    token = data_of(await operator.post("/tokens", name="ann", scopes=["keys"]), 201)
    path = f"/api/admin{operators(store)}"
    by_ann = data_of(await operator.http.post(path, headers=bearer(token["token"])), 201)
    sign_in, anns = await signed_in(sign_ins, by_ann["url"].rpartition("/")[2])
    assert sign_in.actor == "ann"
    by_admin = data_of(await operator.post(operators(store)), 201)
    _, admins = await signed_in(sign_ins, by_admin["url"].rpartition("/")[2])
    data_of(await operator.delete(f"/tokens/{token['token_id']}"))
    assert await sign_ins.find(anns, "portal") is None
    assert await sign_ins.find(admins, "portal") is not None
    changed = service.parts.settings.model_copy(update={"admin_token": SecretStr("another")})
    assert await SignIns(service.parts.database, changed).find(admins, "portal") is None


@pytest.mark.parametrize("scope", ["read", "credits"])
async def test_a_link_needs_what_a_key_needs(
    operator: Operator, store: StoreClient, scope: str
) -> None:
    token = data_of(await operator.post("/tokens", name="ann", scopes=[scope]), 201)["token"]
    path = f"/api/admin{operators(store)}"
    error = error_of(
        await operator.http.post(path, headers=bearer(token)), 403, "INSUFFICIENT_SCOPE"
    )
    assert "`keys`" in error["message"]


async def test_nobody_is_let_into_the_portal_of_a_suspended_store(
    operator: Operator, store: StoreClient, sign_ins: SignIns, admin: asyncpg.Connection
) -> None:
    made = [data_of(await store.send("POST", OWN), 201) for _ in range(2)]
    used, unused = (each["url"].rpartition("/")[2] for each in made)
    _, cookie = await signed_in(sign_ins, used)
    data_of(await operator.patch(f"/stores/{store.store_id}", status="suspended"))
    assert await sign_ins.find(cookie, "portal") is None
    assert await sign_ins.with_link(unused, "portal") is None
    error_of(await operator.post(operators(store)), 403, "STORE_SUSPENDED")
    assert data_of(await operator.get("/audit", action="portal.link"))["items"] == []
    assert await admin.fetchval("SELECT count(*) FROM storecredit.sign_in_links") == 1


async def test_only_who_may_is_let_in(operator: Operator, store: StoreClient) -> None:
    await assert_only_a_working_key_is_let_in(operator, "POST", OWN)
    await assert_only_the_operator_is_let_in(operator, "POST", operators(store))
    await assert_other_methods_are_refused(store, OWN, "POST")
    await assert_other_methods_are_refused(operator, operators(store), "POST")


async def test_a_store_that_there_is_not_has_no_portal(operator: Operator) -> None:
    error_of(await operator.post(f"/stores/{UNKNOWN}/portal/sessions"), 404, "NOT_FOUND")


@pytest.mark.parametrize("name", ["expires_in_seconds", "sign_in_seconds"])
@pytest.mark.parametrize("value", [59, 86_401, -1, 300.5, None, True, 2**70])
async def test_a_time_that_cannot_be_is_refused(
    operator: Operator, store: StoreClient, name: str, value: object
) -> None:
    for answer in (
        await store.send("POST", OWN, json={name: value}),
        await operator.post(operators(store), **{name: value}),
    ):
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert detail["key"] == name


async def test_what_is_no_body_is_refused(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    for content in (b"{", b"[]", b"7", b'{"store_id": "x"}', b'{"session_seconds": 60}'):
        headers = {"content-type": "application/json"}
        error_of(
            await store.send("POST", OWN, headers=headers, content=content), 400, "VALIDATION_ERROR"
        )
        error_of(
            await operator.send("POST", operators(store), headers=headers, content=content),
            400,
            "VALIDATION_ERROR",
        )
    assert await admin.fetchval("SELECT count(*) FROM storecredit.sign_in_links") == 0


async def test_links_are_limited_as_other_requests_are(operator: Operator) -> None:
    store = await operator.store(tier="tight")
    for _ in range(2):
        data_of(await store.send("POST", OWN), 201)
    error_of(await store.send("POST", OWN), 429, "RATE_LIMIT_EXCEEDED")


async def test_a_database_that_takes_no_writes_makes_no_link_and_no_entry(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        """CREATE FUNCTION storecredit.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE read_only_sql_transaction; END $$;
           CREATE TRIGGER refuse BEFORE INSERT ON storecredit.sign_in_links
           EXECUTE FUNCTION storecredit.refuse()"""
    )
    for answer in (await store.send("POST", OWN), await operator.post(operators(store))):
        error_of(answer, 503, "SERVICE_UNAVAILABLE")
    assert data_of(await operator.get("/audit", action="portal.link"))["items"] == []
