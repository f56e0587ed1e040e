"""Nothing an end user can send touches a store's credits, and the other way round.

Through the real doors, where the two could be taken for each other: a store and a user with one
and the same id, one request id for both, the key of one at the door of the other.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from stand_ins.http_server import Answer, stand_in
from storecredit.web.trpc.calls import Kind
from storecredit.web.trpc.procedures import PROCEDURES
from tests.web.conftest import WorkerStarter
from tests.web.doors import CREATE, IMAGE, OPERATOR_TOKEN, Operator, StoreClient, data_of, error_of
from tests.web.events import refusal_in
from tests.web.table_rows import Rows, of_all_buckets
from tests.web.users import UserClient, ended, refusal_of, result_of, user_of

pytestmark = pytest.mark.several_buckets

WHOSE = "account_id IN (SELECT account_id FROM accounts WHERE owner_kind = $1 AND owner_id = $2)"
OF_OWNER = " UNION ALL ".join(
    f"SELECT to_jsonb(t) FROM {table} t WHERE {WHOSE}"
    for table in (
        "accounts",
        "movements",
        "sessions",
        "checkouts",
        "payments",
        "subscription_charges",
    )
)
INPUTS: dict[str, Any] = {
    "credits.purchase": {"packId": "small"},
    "generation.create": {"modelImageUrl": IMAGE},
    "generation.getById": {"sessionId": "0198a5f0-7d50-7cc3-98c5-c3d5a0a4b1e2"},
    "generation.onEnd": {"sessionId": "0198a5f0-7d50-7cc3-98c5-c3d5a0a4b1e2"},
}
READS = ("generations", "credits/balance", "credits/transactions", "health")


@dataclass(frozen=True, slots=True)
class Twins:
    """A store and a user of the same id."""

    store: StoreClient
    user: UserClient
    admin: asyncpg.Connection

    async def of_store(self) -> list[str]:
        """Every row in which the store has or moves anything."""
        return await self._of("store", self.store.store_id)

    async def of_user(self) -> list[str]:
        """Every row in which the user has or moves anything."""
        return await self._of("user", self.user.user_id)

    async def _of(self, kind: str, owner_id: object) -> list[str]:
        found = await of_all_buckets(self.admin, OF_OWNER, kind, owner_id)
        rows = sorted(row[0] for row in found)
        assert len(rows) >= 2, "the account, and what it was opened with"
        return rows


@pytest.fixture
async def twins(operator: Operator, admin: asyncpg.Connection) -> Twins:
    store = await operator.store(credits=100)
    user = user_of(store.http, UUID(store.store_id))
    assert await user.balance() == 10
    return Twins(store, user, admin)


async def call_everything(user: UserClient) -> list[httpx.Response]:
    """Each procedure once."""
    return [
        await (user.mutate if procedure.kind is Kind.MUTATION else user.query)(
            path, INPUTS.get(path)
        )
        for path, procedure in PROCEDURES.items()
    ]


async def ask_everything(store: StoreClient) -> list[httpx.Response]:
    """Each endpoint of stores once."""
    return [await store.create("order-1"), *[await store.get(f"/api/v1/{it}") for it in READS]]


async def test_a_user_moves_nothing_of_the_store_with_its_id(twins: Twins) -> None:
    before = await twins.of_store()
    await call_everything(twins.user)
    for _ in range(12):
        await twins.user.create(store_id=twins.store.store_id)
    assert await twins.user.balance() == 0
    refusal_of(await twins.user.create(), 402, "PAYMENT_REQUIRED", "generation.create")
    assert await twins.of_store() == before
    assert await twins.store.balance() == 100


async def test_a_store_moves_nothing_of_the_user_with_its_id(twins: Twins) -> None:
    before = await twins.of_user()
    await ask_everything(twins.store)
    for _ in range(12):
        await twins.store.created(metadata={"user_id": str(twins.user.user_id)})
    assert await twins.store.balance() == 87
    assert await twins.of_user() == before
    assert await twins.user.balance() == 10


async def test_one_request_id_is_two_requests(twins: Twins, rows: Rows) -> None:
    session_ids = {await twins.store.created("order-1"), await twins.user.created("order-1")}
    assert len(session_ids) == 2
    assert (await twins.store.balance(), await twins.user.balance()) == (99, 9)
    assert {job["session_id"] for job in await rows.jobs()} == session_ids


async def test_each_refund_goes_back_where_it_came_from(
    twins: Twins, worker: WorkerStarter
) -> None:
    of_store = await twins.store.created("order-1")
    of_user = await twins.user.created("order-1")
    async with (
        stand_in(Answer(400)) as outside,
        worker(generator="http", generator_url=outside.url()),
    ):
        assert (await twins.store.ended(of_store))["status"] == "failed"
        assert (await ended(twins.user, of_user))["status"] == "failed"
    assert (await twins.store.balance(), await twins.user.balance()) == (100, 10)
    moved = result_of(await twins.user.query("credits.getTransactions"))
    assert [row["type"] for row in moved] == ["refund", "generation", "signup_bonus"]
    moved = data_of(await twins.store.get("/api/v1/credits/transactions"))["items"]
    assert [row["type"] for row in moved] == ["refund", "deduction", "grant"]


async def test_the_sessions_of_one_are_absent_for_the_other(twins: Twins) -> None:
    of_store, of_user = await twins.store.created(), await twins.user.created()
    answer = await twins.user.query("generation.getById", {"sessionId": of_store})
    refusal_of(answer, 404, "NOT_FOUND", "generation.getById")
    error_of(await twins.store.get(f"/api/v1/generation/{of_user}"), 404, "NOT_FOUND")
    history = result_of(await twins.user.query("generation.getHistory"))
    assert [row["id"] for row in history] == [of_user]
    items = data_of(await twins.store.get("/api/v1/generations"))["items"]
    assert [item["session_id"] for item in items] == [of_store]


async def test_the_key_of_a_store_opens_nothing_of_users(twins: Twins) -> None:
    before = (await twins.of_store(), await twins.of_user())
    for secret in (twins.store.api_key, OPERATOR_TOKEN):
        impostor = UserClient(twins.store.http, twins.user.user_id, secret)
        answers = await call_everything(impostor)
        for (path, it), answer in zip(PROCEDURES.items(), answers, strict=True):
            if it.kind is Kind.SUBSCRIPTION:
                assert refusal_in(answer)["data"]["code"] == "UNAUTHORIZED"
            else:
                refusal_of(answer, 401, "UNAUTHORIZED", path)
    assert (await twins.of_store(), await twins.of_user()) == before


async def test_the_token_of_a_user_opens_nothing_of_stores(twins: Twins) -> None:
    before = (await twins.of_store(), await twins.of_user())
    store = twins.store
    impostor = StoreClient(store.http, store.store_id, store.key_id, twins.user.token)
    for answer in await ask_everything(impostor):
        error_of(answer, 401, "INVALID_API_KEY")
    for path in ("/api/admin/stores", f"/api/admin/stores/{store.store_id}"):
        error_of(await impostor.get(path), 401, "INVALID_API_KEY")
    both = {"Authorization": f"Bearer {twins.user.token}", "X-Api-Key": store.api_key}
    answer = await store.http.post(CREATE, headers=both, json={"image_urls": [IMAGE]})
    error_of(answer, 401, "INVALID_API_KEY")
    assert (await twins.of_store(), await twins.of_user()) == before


async def test_the_operator_adds_to_stores_by_the_stores_door_only(
    operator: Operator, user: UserClient
) -> None:
    assert await user.balance() == 10
    path = f"/stores/{user.user_id}"
    addition = {"amount": 5, "type": "grant", "request_id": "gift", "description": ""}
    error_of(await operator.post(f"{path}/credits", **addition), 404, "NOT_FOUND")
    error_of(await operator.get(path), 404, "NOT_FOUND")
    assert await user.balance() == 10
