"""Every event of a store, made to happen by the real doors: told once, as the catalogue says."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest_asyncio

from storecredit.service import Service
from storecredit.settings import Settings
from tests.passing_time import pass_time
from tests.web.conftest import working
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.holding import held
from tests.web.spends import item, spend_batch, spent
from tests.web.users import UserClient
from tests.web.webhooks.hearing import Ear
from tests.web.webhooks.hooks import Hooks

pytestmark = ONE_LOOP


class Ears:
    """Endpoints of a store, one for each type, and one of the operator's that hears all."""

    def __init__(self, admin: asyncpg.Connection, store: StoreClient, operator: Operator) -> None:
        self._admin = admin
        self._own = Hooks(store, "/api/v1/webhooks", store.store_id)
        self._operators = Hooks(operator, "/webhooks", None)

    async def of_store(self, event_type: str) -> Ear:
        return await self._ear(self._own, event_type)

    async def of_operator(self, event_type: str = "*") -> Ear:
        return await self._ear(self._operators, event_type)

    async def forget(self) -> None:
        """Nobody of the operator's hears what other tests do."""
        await self._operators.forget()

    async def _ear(self, hooks: Hooks, event_type: str) -> Ear:
        made = await hooks.made(event_types=[event_type])
        return Ear(self._admin, UUID(made["endpoint_id"]))


@pytest_asyncio.fixture(loop_scope="module")
async def ears(
    admin: asyncpg.Connection, store: StoreClient, operator: Operator
) -> AsyncIterator[Ears]:
    """Of `store`."""
    opened = Ears(admin, store, operator)
    yield opened
    await opened.forget()


async def account_id(admin: asyncpg.Connection, store: StoreClient) -> int:
    found: int = await admin.fetchval(
        "SELECT storecredit.account_of('store', $1)", UUID(store.store_id)
    )
    return found


async def test_a_generation_that_completes_and_one_that_fails(
    ears: Ears, store: StoreClient, service: Service, settings: Settings
) -> None:
    completed, failed = [
        await ears.of_store(f"generation.{end}") for end in ("completed", "failed")
    ]
    operators = await ears.of_operator()
    async with working(service, settings):
        good = await store.created("good")
        await store.ended(good)
        bad = await store.created("bad", prompt="a forbidden hat")
        await store.ended(bad)

    [told] = await completed.said()
    shown = await store.generation(good)
    assert told["store_id"] == store.store_id
    assert (told["session_id"], told["request_id"], told["credits_charged"]) == (good, "good", 1)
    assert datetime.fromisoformat(told["completed_at"]) == datetime.fromisoformat(
        shown["completed_at"]
    )
    [told] = await failed.said()
    assert (told["session_id"], told["credits_refunded"]) == (bad, 1)
    assert told["error_code"] == (await store.generation(bad))["error_code"]
    assert [body["type"] for body in await operators.heard()] == [
        "generation.completed",
        "generation.failed",
    ]


async def test_credits_that_are_low_and_then_gone_in_one_batch(
    ears: Ears, store: StoreClient
) -> None:
    low, depleted = [await ears.of_store(f"credits.{line}") for line in ("low", "depleted")]
    every = await ears.of_store("*")
    await spend_batch(store, item("first", 60), item("second", 35), item("third", 5))

    whose = {"store_id": store.store_id}
    expected_low = whose | {"balance": 5, "threshold": 10, "request_id": "second"}
    expected_depleted = whose | {"balance": 0, "request_id": "third"}
    assert await low.said() == [expected_low]
    assert await depleted.said() == [expected_depleted]
    assert [body["type"] for body in await every.heard()] == ["credits.low", "credits.depleted"]


async def test_credits_that_are_added_by_the_operator_and_moved_from_another(
    ears: Ears, store: StoreClient, operator: Operator
) -> None:
    added = await ears.of_store("credits.added")
    ends = datetime.now(UTC) + timedelta(days=90)
    gift = {"amount": 7, "type": "grant", "request_id": "gift", "expires_at": ends.isoformat()}
    for _ in range(2):
        await operator.post(f"/stores/{store.store_id}/credits", **gift)
    other = await operator.store()
    move = {"from": other.store_id, "to": store.store_id, "amount": 5, "request_id": "move"}
    data_of(await operator.post("/credits/transfer", **move, reason="A merger"), 201)

    given, transfer = await added.said()
    assert (given["amount"], given["type"], given["kind"]) == (7, "grant", "promo")
    assert (given["balance"], given["request_id"]) == (107, "gift")
    assert datetime.fromisoformat(given["expires_at"]) == ends
    assert (transfer["amount"], transfer["type"], transfer["balance"]) == (5, "transfer_in", 112)
    assert transfer["expires_at"] is None


async def test_credits_that_will_expire_soon_are_told_once_and_the_notice_is_forgotten(
    ears: Ears,
    store: StoreClient,
    operator: Operator,
    admin: asyncpg.Connection,
    service: Service,
) -> None:
    expiring, every = await ears.of_store("credits.expiring"), await ears.of_store("*")
    path, moment = f"/stores/{store.store_id}/credits", datetime.now(UTC)
    for days, amount in ((20, 9), (60, 11)):
        ends = (moment + timedelta(days=days)).isoformat()
        terms = {"amount": amount, "type": "grant", "request_id": f"for {days} days"}
        data_of(await operator.post(path, **terms, expires_at=ends), 201)
    account = await account_id(admin, store)
    notices = "SELECT count(*) FROM storecredit.expiry_notices WHERE account_id = $1"

    await service.notices.notice()
    assert await expiring.said() == []
    await pass_time(admin, timedelta(days=14), account)
    await spent(store, "some of them", 4)
    for _ in range(2):
        await service.notices.notice()
    [told] = await expiring.said()
    assert (told["store_id"], told["amount"]) == (store.store_id, 5)
    ends_at = datetime.fromisoformat(told["expires_at"])
    assert ends_at == moment + timedelta(days=6)
    assert [body["type"] for body in await every.heard()][-1] == "credits.expiring"

    assert await admin.fetchval(notices, account) == 1
    await pass_time(admin, timedelta(days=7), account)
    await service.notices.notice()
    assert await admin.fetchval(notices, account) == 0
    assert len(await expiring.said()) == 1


async def test_a_hold_whose_time_is_over(
    ears: Ears, store: StoreClient, admin: asyncpg.Connection, service: Service
) -> None:
    expired = await ears.of_store("hold.expired")
    hold_id = await held(store, 30, expires_in_seconds=60)
    await pass_time(admin, timedelta(minutes=2), await account_id(admin, store))
    for _ in range(2):
        await service.expiry.sweep()

    [told] = await expired.said()
    assert (told["hold_id"], told["amount"], told["balance"]) == (hold_id, 30, 100)


async def test_what_is_used_beyond_the_balance(
    ears: Ears, store: StoreClient, operator: Operator
) -> None:
    started = await ears.of_store("overage.started")
    reached = await ears.of_store("overage.limit_reached")
    data_of(await operator.patch(f"/stores/{store.store_id}", overage_limit=3))
    await spend_batch(store, item("all", 100), *(item(f"beyond {n}", 1) for n in range(4)))

    whose = {"store_id": store.store_id, "overage_limit": 3}
    assert await started.said() == [whose | {"overage_used": 1, "request_id": "beyond 0"}]
    assert await reached.said() == [whose | {"overage_used": 3, "request_id": "beyond 2"}]


async def test_keys_that_are_made_rotated_and_revoked(
    ears: Ears, store: StoreClient, operator: Operator
) -> None:
    created, revoked = [await ears.of_store(f"key.{end}") for end in ("created", "revoked")]
    path = f"/stores/{store.store_id}/keys"
    ends = datetime.now(UTC) + timedelta(days=30)
    made = data_of(await operator.post(path, label="new", expires_at=ends.isoformat()), 201)
    rotated = data_of(await operator.post(f"{path}/{made['key_id']}/rotate", grace_seconds=60), 201)
    for _ in range(2):
        data_of(await operator.delete(f"{path}/{made['key_id']}"))

    first, second = await created.said()
    assert (first["key_id"], second["key_id"]) == (made["key_id"], rotated["key_id"])
    assert datetime.fromisoformat(first["expires_at"]) == ends
    assert second["expires_at"] is None
    assert await revoked.said() == [{"store_id": store.store_id, "key_id": made["key_id"]}]


async def test_a_store_that_is_suspended(
    ears: Ears, store: StoreClient, operator: Operator
) -> None:
    suspended = await ears.of_store("store.suspended")
    for status in ("suspended", "suspended", "active"):
        data_of(await operator.patch(f"/stores/{store.store_id}", status=status))
    assert await suspended.said() == [{"store_id": store.store_id}]


async def test_an_endpoint_that_is_tested(
    ears: Ears, store: StoreClient, operator: Operator
) -> None:
    own, operators = await ears.of_store("credits.low"), await ears.of_operator("credits.low")
    for caller, base, ear in (
        (store, "/api/v1/webhooks", own),
        (operator, "/webhooks", operators),
    ):
        await caller.send("POST", f"{base}/{ear.endpoint_id}/test")
    named: dict[str, Any] = {"endpoint_id": str(own.endpoint_id)}
    assert await own.said() == [{"store_id": store.store_id} | named]
    assert await operators.said() == [{"endpoint_id": str(operators.endpoint_id)}]


async def test_an_end_user_is_heard_of_by_the_operator_alone(
    ears: Ears, user: UserClient, operator: Operator
) -> None:
    own, operators = await ears.of_store("*"), await ears.of_operator("credits.added")
    await user.balance()
    assert await own.said() == []
    [told] = await operators.said()
    assert told["type"] == "signup_bonus"
    assert set(told) == {
        "user_id",
        "amount",
        "type",
        "kind",
        "expires_at",
        "balance",
        "request_id",
    }
