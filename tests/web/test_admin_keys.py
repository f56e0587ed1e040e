"""`/api/admin/stores/{store_id}/keys`: make, list, revoke, rotate."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from storecredit.stores.api_keys import is_well_formed
from tests.web.checklist import (
    UNKNOWN,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.doors import REVOCATION_SECONDS, Operator, StoreClient, data_of, error_of
from tests.web.table_rows import Rows

VIEW = {
    "key_id",
    "store_id",
    "label",
    "key_start",
    "allowed_origins",
    "created_at",
    "expires_at",
    "revoked_at",
}
HEALTH = "/api/v1/health"


def keys_of(store: StoreClient) -> str:
    return f"/stores/{store.store_id}/keys"


async def test_a_further_key_works_beside_the_first(operator: Operator, store: StoreClient) -> None:
    answer = await operator.post(
        keys_of(store), label="web shop", allowed_origins=["https://Shop.example:443/"]
    )
    data = data_of(answer, 201)
    assert set(data) == VIEW | {"api_key"}
    assert is_well_formed(data["api_key"])
    assert data["key_start"] == data["api_key"][:12]
    assert data["store_id"] == store.store_id
    assert data["label"] == "web shop"
    assert data["allowed_origins"] == ["https://shop.example"]
    assert (data["expires_at"], data["revoked_at"]) == (None, None)
    for key in (store.api_key, data["api_key"]):
        told = data_of(await replace(store, api_key=key).get(HEALTH))
        assert told["store_id"] == store.store_id


async def test_a_key_needs_nothing_said_of_it(operator: Operator, store: StoreClient) -> None:
    data = data_of(await operator.post(keys_of(store)), 201)
    assert (data["label"], data["allowed_origins"]) == ("", [])


async def test_a_key_that_cannot_be_is_refused(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    before = await rows.counts()
    for wrong in (
        {"label": "l" * 101},
        {"label": "a\0b"},
        {"label": None},
        {"allowed_origins": ["shop.example"]},
        {"allowed_origins": ["https://a.example", "ftp//"]},
        {"expires_at": "tomorrow"},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": datetime.now(UTC).isoformat()},
        {"expires_at": "9999-12-31T23:59:59-14:00"},
        {"expires_at": "0001-01-01T00:00:00+14:00"},
    ):
        answer = await operator.post(keys_of(store), **wrong)
        assert answer.status_code == 400, f"{wrong}: {answer.text}"
        error_of(answer, 400, "VALIDATION_ERROR")
    assert await rows.counts() == before


async def test_a_key_is_refused_once_it_has_expired(operator: Operator, store: StoreClient) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    answer = await operator.post(keys_of(store), expires_at=soon.isoformat())
    if answer.status_code == 400:
        # It is over before this slow machine has made the key.
        soon += timedelta(seconds=20)
        answer = await operator.post(keys_of(store), expires_at=soon.isoformat())
    data = data_of(answer, 201)
    assert datetime.fromisoformat(data["expires_at"]) == soon
    brief = replace(store, api_key=data["api_key"])
    while datetime.now(UTC) < soon + timedelta(seconds=0.2):
        await brief.get(HEALTH)
        await asyncio.sleep(0.05)
    error_of(await brief.get(HEALTH), 401, "API_KEY_EXPIRED")


async def test_a_time_without_an_offset_is_utc(operator: Operator, store: StoreClient) -> None:
    data = data_of(await operator.post(keys_of(store), expires_at="2999-01-01T12:00:00"), 201)
    assert data["expires_at"] == "2999-01-01T12:00:00Z"


async def test_keys_are_listed_newest_first_without_their_secrets(
    operator: Operator, store: StoreClient
) -> None:
    second = data_of(await operator.post(keys_of(store), label="second"), 201)
    data_of(await operator.delete(f"{keys_of(store)}/{store.key_id}"))
    answer = await operator.get(keys_of(store))
    items = data_of(answer)["items"]
    assert [item["key_id"] for item in items] == [second["key_id"], store.key_id]
    assert all(set(item) == VIEW for item in items)
    assert [item["revoked_at"] is None for item in items] == [True, False]
    assert second["api_key"] not in answer.text
    assert store.api_key not in answer.text


async def test_a_revoked_key_is_refused_within_a_second_and_revoking_again_is_fine(
    operator: Operator, store: StoreClient
) -> None:
    await store.balance()
    path = f"{keys_of(store)}/{store.key_id}"
    for _ in range(2):
        data = data_of(await operator.delete(path))
        assert data == {"key_id": store.key_id, "revoked": True}
    await asyncio.sleep(REVOCATION_SECONDS)
    error_of(await store.get(HEALTH), 401, "API_KEY_REVOKED")
    error_of(await operator.post(f"{path}/rotate"), 404, "NOT_FOUND")
    error_of(await operator.patch(path, label="too late"), 404, "NOT_FOUND")


async def test_a_keys_origins_are_replaced_and_its_secret_stays(
    operator: Operator, store: StoreClient
) -> None:
    path = f"{keys_of(store)}/{store.key_id}"
    origin = {"Origin": "https://shop.example"}
    error_of(await store.get(HEALTH, headers=origin), 403, "DOMAIN_MISMATCH")
    answer = await operator.patch(
        path, allowed_origins=["https://SHOP.example:443", "https://b.example"]
    )
    assert set(data_of(answer)) == VIEW
    assert data_of(answer)["allowed_origins"] == ["https://b.example", "https://shop.example"]
    assert store.api_key not in answer.text
    # A key that was just used is told of its change, which takes a moment.
    await asyncio.sleep(REVOCATION_SECONDS)
    data_of(await store.get(HEALTH, headers=origin))

    assert data_of(await operator.patch(path, label="web"))["label"] == "web"
    assert data_of(await operator.patch(path, allowed_origins=[]))["label"] == "web"
    await asyncio.sleep(REVOCATION_SECONDS)
    error_of(await store.get(HEALTH, headers=origin), 403, "DOMAIN_MISMATCH")
    for wrong in ({"allowed_origins": ["shop.example"]}, {"label": "l" * 101}, {"label": 5}):
        error_of(await operator.patch(path, **wrong), 400, "VALIDATION_ERROR")


async def test_a_rotated_key_ends_at_once_unless_given_grace(
    operator: Operator, store: StoreClient
) -> None:
    further = data_of(
        await operator.post(keys_of(store), label="web", allowed_origins=["https://a.example"]), 201
    )
    graced = replace(store, api_key=further["api_key"])

    at_once = data_of(await operator.post(f"{keys_of(store)}/{store.key_id}/rotate"), 201)
    error_of(await store.get(HEALTH), 401, "API_KEY_EXPIRED")
    data_of(await replace(store, api_key=at_once["api_key"]).get(HEALTH))

    path = f"{keys_of(store)}/{further['key_id']}/rotate"
    data = data_of(await operator.post(path, grace_seconds=3600), 201)
    assert set(data) == VIEW | {"api_key"}
    assert data["key_id"] != further["key_id"]
    assert (data["label"], data["allowed_origins"]) == ("web", ["https://a.example"])
    assert data["expires_at"] is None
    for key in (further["api_key"], data["api_key"]):
        data_of(await replace(graced, api_key=key).get(HEALTH))
    listed = data_of(await operator.get(keys_of(store)))["items"]
    [old] = [item for item in listed if item["key_id"] == further["key_id"]]
    assert datetime.fromisoformat(old["expires_at"]) > datetime.now(UTC) + timedelta(minutes=59)


async def test_a_grace_time_that_cannot_be_is_refused(
    operator: Operator, store: StoreClient
) -> None:
    path = f"{keys_of(store)}/{store.key_id}/rotate"
    for grace_seconds in (-1, 10**9, 10**30, "soon", None, 1.5):
        answer = await operator.post(path, grace_seconds=grace_seconds)
        assert answer.status_code == 400, f"{grace_seconds}: {answer.text}"
        error_of(answer, 400, "VALIDATION_ERROR")
    data_of(await store.get(HEALTH))


async def test_another_stores_key_is_not_found(operator: Operator, store: StoreClient) -> None:
    other = await operator.store()
    for path in (f"{keys_of(other)}/{store.key_id}", f"{keys_of(store)}/{UNKNOWN}"):
        error_of(await operator.delete(path), 404, "NOT_FOUND")
        error_of(await operator.post(f"{path}/rotate"), 404, "NOT_FOUND")
        error_of(await operator.patch(path, label="mine"), 404, "NOT_FOUND")
    unknown_store = f"/stores/{UNKNOWN}/keys"
    error_of(await operator.get(unknown_store), 404, "NOT_FOUND")
    error_of(await operator.post(unknown_store), 404, "NOT_FOUND")
    data_of(await store.get(HEALTH))


async def test_only_the_operator_is_let_in(operator: Operator, store: StoreClient) -> None:
    path = f"{keys_of(store)}/{UNKNOWN}"
    await assert_only_the_operator_is_let_in(operator, "GET", keys_of(store))
    await assert_only_the_operator_is_let_in(operator, "POST", keys_of(store))
    await assert_only_the_operator_is_let_in(operator, "DELETE", path)
    await assert_only_the_operator_is_let_in(operator, "PATCH", path)
    await assert_only_the_operator_is_let_in(operator, "POST", f"{path}/rotate")


async def test_other_methods_are_refused(operator: Operator, store: StoreClient) -> None:
    await assert_other_methods_are_refused(operator, keys_of(store), "GET", "POST")
    path = f"{keys_of(store)}/{store.key_id}"
    await assert_other_methods_are_refused(operator, path, "DELETE", "PATCH")
    await assert_other_methods_are_refused(operator, f"{path}/rotate", "POST")
