"""The client for Python against the real service, blocking and asynchronous: the same promises."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from stand_ins.http_server import Answer, Received, stand_in
from storecredit_client import (
    ApiError,
    AsyncClient,
    Client,
    ErrorCode,
    NoAnswer,
    RetryPolicy,
    SpendItem,
    UnexpectedAnswer,
    calls,
)
from storecredit_client.models import (
    CreditsLowEvent,
    PlanViewRollover,
    ResendBodyStatus,
    WebhookTestEvent,
)
from storecredit_client.webhooks import verified
from tests.clients.conftest import ServedStore
from tests.clients.relay import too_many
from tests.e2e.page_commands import Page
from tests.web.doors import IMAGE

pytestmark = pytest.mark.asyncio(loop_scope="module")

README = Page("clients/python/README.md")
QUICK = RetryPolicy(backoff_seconds=0.01, backoff_max_seconds=0.01)


@dataclass(frozen=True, slots=True)
class Caller:
    """Either client, called alike."""

    client: Client | AsyncClient

    async def __call__(self, method: str, *arguments: Any, **named: Any) -> Any:
        called = getattr(self.client, method)
        if isinstance(self.client, Client):
            return await asyncio.to_thread(called, *arguments, **named)
        return await called(*arguments, **named)

    async def all(self, method: str, *arguments: Any, **named: Any) -> list[Any]:
        """All items of a list."""
        listed = getattr(self.client, method)
        if isinstance(self.client, Client):
            return await asyncio.to_thread(lambda: list(listed(*arguments, **named)))
        return [item async for item in listed(*arguments, **named)]


@pytest_asyncio.fixture(loop_scope="module", params=[Client, AsyncClient])
async def caller(request: pytest.FixtureRequest, served: ServedStore) -> AsyncIterator[Caller]:
    """A client of the store, through the relay."""
    kind: type[Client | AsyncClient] = request.param
    client = kind(served.relay.url, served.key, policy=QUICK)
    yield Caller(client)
    if isinstance(client, Client):
        client.close()
    else:
        await client.aclose()


async def test_a_spend_whose_answer_is_lost_after_the_commit_is_charged_once(
    caller: Caller, served: ServedStore
) -> None:
    served.relay.fates += ["lose", "lose"]
    spent = await caller("spend_credits", 7, description="Search", metadata={"order": "1"})
    assert (spent.amount, spent.balance) == (7, 93)
    assert len(served.relay.seen) == 3
    assert len({seen.headers["idempotency-key"] for seen in served.relay.seen}) == 1
    [taken] = await caller.all("list_transactions", type="deduction")
    assert (taken.amount, taken.request_id) == (7, spent.request_id)
    assert (await caller("get_spend", spent.request_id)).metadata == {"order": "1"}


async def test_a_call_that_is_sent_later_again_is_the_same_call(
    caller: Caller, served: ServedStore
) -> None:
    call = calls.spend_credits(7, idempotency_key='a/"b" ..')
    served.relay.fates += ["lose"] * 5
    with pytest.raises(NoAnswer, match="Whether it was done is not known") as lost:
        await caller("send", call)
    assert lost.value.idempotency_key == 'a/"b" ..'
    again = await caller("send", call)
    assert again.is_replay
    assert again.credits_remaining == again.data.balance == await served.store.balance() == 93
    assert (await caller("get_spend", 'a/"b" ..')).amount == 7
    given = await caller("refund_spend", 'a/"b" ..', amount=3)
    assert (given.amount, given.refundable) == (3, 4)


async def test_who_is_told_to_come_back_comes_back_then(
    caller: Caller, served: ServedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []

    async def sleep(seconds: float) -> None:
        paused.append(seconds)

    monkeypatch.setattr("storecredit_client.client.sleep", paused.append)
    monkeypatch.setattr("storecredit_client.async_client.sleep", sleep)
    served.relay.fates += [too_many("7"), Answer(503, b"", {"Retry-After": "1"})]
    assert (await caller("get_balance")).balance == 100
    assert [int(pause) for pause in paused] == [7, 1]


async def test_errors_are_of_their_code(caller: Caller, served: ServedStore) -> None:
    with pytest.raises(ApiError) as poor:
        await caller("spend_credits", 101)
    assert poor.value.code is ErrorCode.INSUFFICIENT_CREDITS
    assert (poor.value.body.balance, poor.value.body.required) == (100, 101)
    assert poor.value.request_id == poor.value.idempotency_key
    with pytest.raises(ApiError) as wrong:
        await caller.all("list_grants", limit=0)
    assert wrong.value.names("limit")
    with pytest.raises(ApiError) as unknown:
        await caller("get_generation", "none")
    assert unknown.value.code is ErrorCode.NOT_FOUND
    served.relay.fates.append(Answer(200, b"<h1>Hotel Wi-Fi</h1>"))
    with pytest.raises(UnexpectedAnswer, match="Hotel Wi-Fi"):
        await caller("get_balance")
    assert len(served.relay.seen) == 4


async def test_a_limit_that_is_far_off_is_told_at_once(caller: Caller, served: ServedStore) -> None:
    served.relay.fates.append(too_many("86400"))
    with pytest.raises(UnexpectedAnswer, match="429 Too Many Requests"):
        await caller("get_balance")
    assert len(served.relay.seen) == 1


async def test_lists_are_of_all_pages(caller: Caller, served: ServedStore) -> None:
    items = [SpendItem(request_id=f"call-{number}", amount=1) for number in range(6)]
    batch = await caller("spend_credits_in_batch", [*items, items[0]])
    assert [each.outcome for each in batch.items] == ["spent"] * 6 + ["replayed"]
    served.relay.seen.clear()
    spends = await caller.all("list_transactions", type="deduction", limit=2)
    assert [each.request_id for each in spends] == [item.request_id for item in items[::-1]]
    assert len(served.relay.seen) in {3, 4}
    [grant] = await caller.all("list_grants")
    assert (grant.amount, grant.remaining) == (100, 94)
    assert await caller.all("list_generations", status="failed") == []


async def test_a_hold_is_extended_and_captured(caller: Caller, served: ServedStore) -> None:
    served.relay.fates += ["lose", "pass", "lose", "pass", "lose"]
    hold = await caller("create_hold", 30, description="A film")
    extended = await caller("extend_hold", hold.hold_id, 3600)
    assert extended.expires_at > hold.expires_at
    over = await caller("capture_hold", hold.hold_id, amount=12)
    assert (over.captured, over.released, over.balance) == (12, 18, 88)
    with pytest.raises(ApiError) as ended:
        await caller("release_hold", hold.hold_id)
    assert ended.value.code is ErrorCode.HOLD_ENDED
    assert ended.value.body.status == "captured"
    assert (await caller("get_hold", hold.hold_id)).ended_at == ended.value.body.ended_at
    await caller("release_hold", (await caller("create_hold", 5)).hold_id)
    statuses = [each.status for each in await caller.all("list_holds", limit=1)]
    assert statuses == ["released", "captured"]


async def test_a_generation_is_waited_for(caller: Caller, served: ServedStore) -> None:
    made = await caller("create_generation", [IMAGE], metadata={"order": "1"})
    blocked = await caller("create_generation", [IMAGE], prompt="forbidden")
    done, failed = await asyncio.gather(
        caller("wait_for_generation", made.session_id),
        caller("wait_for_generation", blocked.session_id),
    )
    assert (done.status, done.credits_refunded, done.metadata) == ("completed", 0, {"order": "1"})
    assert done.result_url.startswith("http")
    assert (failed.status, failed.error_code) == ("failed", "MODERATION_BLOCKED")
    at_once = await caller("create_generation", [IMAGE], wait=30)
    assert (at_once.status, at_once.generation.result_url[:4]) == ("completed", "http")
    assert await served.store.balance() == 98


async def test_what_is_no_address_and_no_key_is_refused_before_anything_is_sent() -> None:
    for address in ("credits.example", "ftp://credits.example", "https://", "https://a/?b"):
        with pytest.raises(ValueError, match="address is like"):
            Client(address, "sc_live_a")
    for key in ("", "sc_live_a\n", "sc live"):
        with pytest.raises(ValueError, match="no API key"):
            AsyncClient("https://credits.example", key)


async def test_the_key_is_checked_and_what_is_on_sale_is_read(
    caller: Caller, served: ServedStore
) -> None:
    assert (await caller("get_health")).store_id == served.store.store_id
    catalogue = await caller("list_plans")
    assert catalogue.generation.credits == 1
    assert {type(plan.rollover) for plan in catalogue.plans} <= {PlanViewRollover, int}
    assert (await caller("list_subscriptions")).items == []
    link = await caller("create_portal_session", sign_in_seconds=600)
    assert "/portal/sign-in/" in link.url
    assert link.url not in str(link)
    assert link.expires_at > datetime.now(UTC)
    with pytest.raises(ApiError, match="Nothing is sold here") as off:
        await caller("create_checkout", credits=100)
    assert off.value.code is ErrorCode.NOT_FOUND


async def test_what_a_registered_endpoint_is_told_is_verified(
    caller: Caller, served: ServedStore
) -> None:
    arrived: asyncio.Queue[Received] = asyncio.Queue()

    def take(request: Received) -> Answer:
        arrived.put_nowait(request)
        return Answer(204)

    async with stand_in(take) as receiver:
        made = await caller("create_webhook", receiver.url(), event_types=["credits.low"])
        assert (made.event_types, made.ordered) == (["credits.low"], False)
        rotated = await caller("rotate_webhook_secret", made.endpoint_id, overlap_seconds=60)
        assert "whsec_" not in f"{made} {rotated}"
        tested = await caller("test_webhook", made.endpoint_id)
        test = await arrived.get()
        for secret in (made.secret, rotated.secret):
            event = verified(test.body, test.headers, secret)
            assert isinstance(event, WebhookTestEvent)
            assert event.data.endpoint_id == made.endpoint_id
        assert test.headers["webhook-id"] == tested.event_id
        spent = await caller("spend_credits", 90)
        low = await arrived.get()
        event = verified(low.body, low.headers, rotated.secret)
        assert isinstance(event, CreditsLowEvent)
        assert (event.data.balance, event.data.request_id) == (10, spent.request_id)
        assert event.data.store_id == served.store.store_id
        told = await caller.all("list_webhook_deliveries", made.endpoint_id, limit=1)
        assert [each.type for each in told] == ["credits.low", "webhook.test"]
        of_low = await caller("get_webhook_delivery", made.endpoint_id, told[0].event_id)
        assert of_low.body.encode() == low.body


async def test_an_endpoint_is_changed_disabled_enabled_and_deleted(
    caller: Caller, served: ServedStore
) -> None:
    made = await caller("create_webhook", "http://127.0.0.1:9/")  # nobody is there
    tested = await caller("test_webhook", made.endpoint_id)
    again = await caller("resend_webhook_delivery", made.endpoint_id, tested.event_id)
    assert (again.resent, again.next_cursor) == (1, None)
    served.relay.fates += ["lose"]
    changed = await caller("update_webhook", made.endpoint_id, ordered=True, description="ours")
    assert (changed.ordered, changed.description, changed.url) == (True, "ours", made.url)
    off = await caller("disable_webhook", made.endpoint_id)
    assert (off.status, off.disabled_reason) == ("disabled", "requested")
    with pytest.raises(ApiError) as disabled:
        await caller("test_webhook", made.endpoint_id)
    assert disabled.value.code is ErrorCode.ENDPOINT_DISABLED
    assert (await caller("enable_webhook", made.endpoint_id)).status == "enabled"
    resent = await caller(
        "resend_webhook_deliveries",
        made.endpoint_id,
        made.created_at,
        status=ResendBodyStatus.DELIVERED,
    )
    assert (resent.resent, resent.next_cursor) == (0, None)
    [listed] = (await caller("list_webhooks")).items
    read = await caller("get_webhook", made.endpoint_id)
    # A delivery that fails meanwhile says since when.
    assert replace(read, failing_since=None) == replace(listed, failing_since=None)
    served.relay.seen.clear()
    served.relay.fates += ["lose"]
    with pytest.raises(NoAnswer, match="asked once"):
        await caller("delete_webhook", made.endpoint_id)
    assert len(served.relay.seen) == 1
    assert (await caller("list_webhooks")).items == []


async def test_the_examples_of_the_readme_run_as_they_stand(served: ServedStore) -> None:
    def read_and_run() -> str:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            for block in README.blocks("python")[:4]:
                text = block.replace("http://127.0.0.1:8080", served.url)
                text = text.replace("sc_live_…", served.key)
                text = text.replace("https://images.example/hat.png", IMAGE)
                exec(compile(text, README.path, "exec"), {"__name__": "readme"})  # noqa: S102 - the page's own words
        return said.getvalue()

    lines = (await asyncio.to_thread(read_and_run)).splitlines()
    assert lines[:2] == ["5 taken, 95 left", "completed, 0 given back"]
    assert lines[2:5] == ["deduction 1 94", "deduction 5 95", "grant 100 100"]
    assert lines[5] == "1000000 are needed, 94 are there"
    assert lines[6:] == ["12 spent, 18 back", "promo 82 None", "True True"]
