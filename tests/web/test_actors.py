"""Who made a movement, where an operator did: told to the operator, and to no store."""

import asyncio
from datetime import timedelta

import asyncpg

from storecredit.web.http.paths import encoded_request
from tests.passing_time import pass_time
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, bearer, data_of
from tests.web.holding import keyed
from tests.web.spends import spend
from tests.web.table_rows import of_all_buckets
from tests.web.users import UserClient


async def actors(admin: asyncpg.Connection) -> dict[str, str | None]:
    """By the type of movement; each is there once."""
    rows = await of_all_buckets(admin, "SELECT type, actor FROM movements")
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


async def test_what_the_operator_spends_and_holds_for_a_user_is_the_admins(
    operator: Operator, store: StoreClient, user: UserClient, admin: asyncpg.Connection
) -> None:
    """Also where it shares its batch with what stores do themselves."""
    await user.balance()
    of_user = f"/users/{user.user_id}"

    async def held(request_id: str) -> str:
        answer = await operator.send(
            "POST", f"{of_user}/holds", headers=keyed(request_id), json={"amount": 2}
        )
        return f"{of_user}/holds/{data_of(answer, 201)['hold_id']}"

    for times in ("before", "with grants told apart"):
        for name in (f"user's, {times}", f"again, {times}"):
            answers = await asyncio.gather(
                *(spend(store, f"{name} {place}", 1) for place in range(2)),
                operator.send("POST", f"{of_user}/spend", headers=keyed(name), json={"amount": 1}),
                *(spend(store, f"{name} {place}", 1) for place in range(2, 4)),
            )
            assert {answer.status_code for answer in answers} == {201}
        back = f"{of_user}/spend/{encoded_request(name)}/refund"
        data_of(await operator.send("POST", back, headers=keyed(f"back, {times}")), 201)
        data_of(await operator.post(f"{await held(f'captured, {times}')}/capture", amount=1))
        data_of(await operator.send("POST", f"{await held(f'released, {times}')}/release"))
        gift = {"amount": 5, "type": "grant", "request_id": f"gift, {times}"}
        data_of(
            await operator.post(f"{of_user}/credits", **gift, expires_at="2126-01-01T00:00:00Z"),
            201,
        )
    await held("to expire")
    await pass_time(admin, timedelta(minutes=11))
    await of_all_buckets(admin, "SELECT expire_credits(array_agg(account_id)) FROM accounts")
    rows = await of_all_buckets(
        admin,
        """SELECT DISTINCT a.owner_kind, m.type, m.actor
           FROM movements m JOIN accounts a USING (account_id)""",
    )
    assert {tuple(row) for row in rows} == {
        ("store", "grant", "admin"),
        ("store", "deduction", None),
        ("user", "signup_bonus", None),
        ("user", "deduction", "admin"),
        ("user", "refund", "admin"),
        ("user", "hold", "admin"),
        ("user", "capture", "admin"),
        ("user", "release", "admin"),
        ("user", "grant", "admin"),
        ("user", "hold_expiry", None),
    }
