"""`/api/admin/stores/{store}/…`: a store is named by its id, or as people call it."""

from tests.web.doors import Operator, data_of, error_of


async def test_every_address_of_a_store_takes_its_name_and_its_domain(operator: Operator) -> None:
    made = await operator.post("/stores", name="Hats & Co", shop_domain="Hats.example", credits=5)
    store_id = data_of(made, 201)["store_id"]
    other = await operator.store(name="Other")
    for name in (store_id, store_id.upper(), "hats & co", "Hats%20%26%20Co", "HATS.EXAMPLE"):
        path = f"/stores/{name}"
        assert data_of(await operator.get(path))["store_id"] == store_id
        assert data_of(await operator.patch(path, tier="tight"))["store_id"] == store_id
        key = data_of(await operator.post(f"{path}/keys"), 201)
        assert key["store_id"] == store_id
        of_key = f"{path}/keys/{key['key_id']}"
        assert data_of(await operator.patch(of_key, label="x"))["store_id"] == store_id
        assert data_of(await operator.post(f"{of_key}/rotate"), 201)["store_id"] == store_id
        assert data_of(await operator.delete(of_key))["revoked"]
        body = {"amount": 1, "type": "grant", "request_id": f"by {name}"}
        assert data_of(await operator.post(f"{path}/credits", **body), 201)["added"]
        for part in ("keys", "transactions", "generations", "subscriptions"):
            data_of(await operator.get(f"{path}/{part}"))
    ledger = data_of(await operator.get("/stores/hats.example/transactions"))["items"]
    assert [each["seq"] for each in ledger] == [6, 5, 4, 3, 2, 1]
    assert await other.balance() == 100


async def test_a_name_that_several_have_is_refused_and_the_candidates_are_named(
    operator: Operator,
) -> None:
    first, second = await operator.store(name="Twin"), await operator.store(name="tWIN")
    answer = await operator.patch("/stores/twin", status="suspended")
    error = error_of(answer, 400, "VALIDATION_ERROR")
    for store in (first, second):
        assert store.store_id in error["message"]
        assert (await store.create()).status_code == 201, "nothing was changed"
    [detail] = error["details"]
    assert (detail["key"], detail["source"]) == ("store_id", "path")
    # One's name is another's domain.
    data_of(await operator.post("/stores", name="Z", shop_domain="twin"), 201)
    assert (
        "Z, twin"
        in error_of(await operator.get("/stores/twin"), 400, "VALIDATION_ERROR")["message"]
    )


async def test_what_looks_like_an_id_is_one(operator: Operator) -> None:
    victim = await operator.store()
    impostor = await operator.store(name=victim.store_id)
    assert data_of(await operator.get(f"/stores/{victim.store_id}"))["name"] == "A shop"
    lost = "00000000-0000-0000-0000-000000000007"
    data_of(await operator.patch(f"/stores/{impostor.store_id}", name=lost))
    error_of(await operator.get(f"/stores/{lost}"), 404, "NOT_FOUND")


async def test_a_name_that_nobody_has_is_not_found(operator: Operator) -> None:
    await operator.store()
    body = {"amount": 1, "type": "grant", "request_id": "r"}
    for name in ("nobody", "%00", "Shop%", "A sho", "'; --", "%F0%9F%8E%A9"):
        error_of(await operator.get(f"/stores/{name}"), 404, "NOT_FOUND")
        error_of(await operator.post(f"/stores/{name}/credits", **body), 404, "NOT_FOUND")
