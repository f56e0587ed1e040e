"""Who made a movement, where an operator did: told to the operator, and to no store."""

import asyncpg

from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, bearer, data_of
from tests.web.users import UserClient


async def actors(admin: asyncpg.Connection) -> dict[str, str | None]:
    """By the type of movement; each is there once."""
    rows = await admin.fetch("SELECT type, actor FROM storecredit.movements")
    found = {row["type"]: row["actor"] for row in rows}
    assert len(found) == len(rows)
    return found


async def test_what_the_admin_token_adds_is_the_admins_and_what_others_do_is_nobodys(
    operator: Operator, user: UserClient, admin: asyncpg.Connection
) -> None:
    store = await operator.store(credits=5)
    order = {"amount": 20, "type": "purchase", "request_id": "order-1"}
    data_of(await operator.post(f"/stores/{store.store_id}/credits", **order), 201)
    await store.created("hat-1")
    await user.balance()
    assert await actors(admin) == {
        "grant": "admin",
        "purchase": "admin",
        "deduction": None,
        "signup_bonus": None,
    }


async def test_the_operator_reads_who_made_what_and_the_store_does_not(
    operator: Operator, store: StoreClient, user: UserClient
) -> None:
    await store.created("hat-1")
    path = f"/stores/{store.store_id}/transactions"
    items = data_of(await operator.get(path))["items"]
    assert [(item["type"], item["actor"]) for item in items] == [
        ("deduction", None),
        ("grant", "admin"),
    ]
    await user.balance()
    gift = {"amount": 1, "type": "grant", "request_id": "gift-1"}
    data_of(await operator.post(f"/users/{user.user_id}/credits", **gift), 201)
    of_user = data_of(await operator.get(f"/users/{user.user_id}/transactions"))["items"]
    assert [item["actor"] for item in of_user] == ["admin", None]

    headers = bearer(OPERATOR_TOKEN) | {"Accept": "text/csv"}
    for query in ("", "?limit=5"):
        csv = await operator.http.get(f"/api/admin{path}{query}", headers=headers)
        names, newest, opening = csv.text.splitlines()
        assert names.endswith(",created_at,actor")
        assert newest.endswith(",")
        assert opening.endswith(",admin")
    own = await store.get("/api/v1/credits/transactions")
    assert "actor" not in own.text
    assert "admin" not in own.text
    for query in ("", "?limit=5"):
        csv = await store.send(
            "GET", f"/api/v1/credits/transactions{query}", headers={"Accept": "text/csv"}
        )
        assert csv.text.splitlines()[0].endswith(",description,created_at")
        assert "admin" not in csv.text
    listed = await user.query("credits.getTransactions")
    assert "actor" not in listed.text
