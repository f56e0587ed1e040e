"""Our way to Paddle's API: what is sent, and what each answer is taken for."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from stand_ins.http_server import Answer, Handler, StandIn, json_answer, stand_in
from stand_ins.paddle.api import API_KEY, Failure, PaddleStandIn
from storecredit.billing.paddle.gateway import (
    THREADS_MAX,
    WAITING_MAX,
    OpenedTransaction,
    Paddle,
    PaddleMisconfigured,
    PaddleRefused,
    PaddleUnavailable,
)
from storecredit.billing.paddle.wire import ANSWER_MAX_BYTES
from storecredit.billing.sales import Charge, Sale
from storecredit.settings import Settings
from tests.running_listener import until

CREDITS = Sale(
    "Credits", 250, 18, "USD", monthly=False, custom_data={"buyer": "b-1", "request_id": "r-1"}
)
PLAN = Sale("Plan starter", 1, 4900, "USD", monthly=True, custom_data={"buyer": "b-1"})
CHARGE = Charge("overage-b-1-2026-10", "Overage of October 2026", 7, 16, "USD")
UNCLEAR = [
    Failure.REFUSE_503,
    Failure.REFUSE_429,
    Failure.BREAK_OFF,
    Failure.DO_THEN_500,
    Failure.DO_THEN_BREAK_OFF,
]


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=3)


async def subscribed(paddle: PaddleStandIn, gateway: Paddle) -> str:
    """A subscription's id."""
    opened = await gateway.create_transaction(PLAN)
    paddle.account.pay(opened.transaction_id)
    return str(paddle.account.transactions[opened.transaction_id]["subscription_id"])


@asynccontextmanager
async def answering(
    answer: Answer | Handler, timeout_seconds: float = 30.0
) -> AsyncIterator[tuple[Paddle, StandIn]]:
    """A gateway to a server that answers anything with this."""
    async with stand_in(answer) as server:
        gateway = Paddle(API_KEY, server.url(""), timeout_seconds)
        yield gateway, server
        await gateway.close()


async def test_a_checkout_offers_one_price_and_one_quantity(
    paddle: PaddleStandIn, gateway: Paddle
) -> None:
    opened = await gateway.create_transaction(CREDITS)

    (request,) = paddle.requests
    assert (request.method, request.path) == ("POST", "/transactions")
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["paddle-version"] == "1"
    assert request.json() == {
        "items": [
            {
                "quantity": 250,
                "price": {
                    "name": "Credits",
                    "description": "Credits",
                    "unit_price": {"amount": "18", "currency_code": "USD"},
                    "product": {"name": "Credits", "tax_category": "standard"},
                    "billing_cycle": None,
                    "tax_mode": "external",
                    "quantity": {"minimum": 250, "maximum": 250},
                },
            }
        ],
        "custom_data": {"buyer": "b-1", "request_id": "r-1"},
        "currency_code": "USD",
        "collection_mode": "automatic",
    }
    transaction = paddle.account.transactions[opened.transaction_id]
    assert opened == OpenedTransaction(
        transaction["id"],
        transaction["checkout"]["url"],
        transaction["items"][0]["price"]["id"],
    )
    assert transaction["details"]["totals"]["subtotal"] == str(250 * 18)


async def test_a_plan_is_billed_each_month(paddle: PaddleStandIn, gateway: Paddle) -> None:
    opened = await gateway.create_transaction(PLAN)

    (item,) = paddle.account.transactions[opened.transaction_id]["items"]
    assert item["price"]["billing_cycle"] == {"interval": "month", "frequency": 1}


async def test_a_charge_carries_its_marker(paddle: PaddleStandIn, gateway: Paddle) -> None:
    subscription = await subscribed(paddle, gateway)
    await gateway.charge_subscription(subscription, CHARGE)

    (request,) = paddle.sent("POST", "/charge")
    assert request.path == f"/subscriptions/{subscription}/charge"
    assert request.json() == {
        "effective_from": "immediately",
        "on_payment_failure": "prevent_change",
        "items": [
            {
                "quantity": 7,
                "price": {
                    "name": "Overage of October 2026",
                    "description": "Overage of October 2026",
                    "unit_price": {"amount": "16", "currency_code": "USD"},
                    "product": {"name": "Overage of October 2026", "tax_category": "standard"},
                    "billing_cycle": None,
                    "custom_data": {"storecredit_charge": "overage-b-1-2026-10"},
                    "tax_mode": "external",
                    "quantity": {"minimum": 7, "maximum": 7},
                },
            }
        ],
    }


async def test_a_charge_is_found_by_its_marker(paddle: PaddleStandIn, gateway: Paddle) -> None:
    subscription = await subscribed(paddle, gateway)
    other = await subscribed(paddle, gateway)
    await gateway.charge_subscription(subscription, CHARGE)

    found = await gateway.find_charge(subscription, CHARGE.marker, long_ago())
    assert found is not None
    assert paddle.account.transactions[found]["origin"] == "subscription_charge"
    assert await gateway.find_charge(subscription, "overage-b-1-2026-1", long_ago()) is None
    assert await gateway.find_charge(other, CHARGE.marker, long_ago()) is None


async def test_a_cancelled_charge_is_none(paddle: PaddleStandIn, gateway: Paddle) -> None:
    subscription = await subscribed(paddle, gateway)
    await gateway.charge_subscription(subscription, CHARGE)
    found = await gateway.find_charge(subscription, CHARGE.marker, long_ago())
    assert found is not None
    paddle.account.cancel_transaction(found)

    assert await gateway.find_charge(subscription, CHARGE.marker, long_ago()) is None


async def test_a_charge_is_looked_for_from_a_day_before(
    paddle: PaddleStandIn, gateway: Paddle
) -> None:
    subscription = await subscribed(paddle, gateway)
    await gateway.charge_subscription(subscription, CHARGE)
    now = datetime.now(UTC)

    assert await gateway.find_charge(subscription, CHARGE.marker, now + timedelta(hours=23))
    assert not await gateway.find_charge(subscription, CHARGE.marker, now + timedelta(hours=25))


async def test_every_page_is_looked_through(paddle: PaddleStandIn, gateway: Paddle) -> None:
    subscription = await subscribed(paddle, gateway)
    for number in range(35):
        charge = Charge(f"marker-{number}", "Overage", 1, 16, "USD")
        await gateway.charge_subscription(subscription, charge)

    assert await gateway.find_charge(subscription, "marker-33", long_ago()) is not None
    assert await gateway.find_charge(subscription, "marker-35", long_ago()) is None
    assert len(paddle.sent("GET", "/transactions")) == 4


async def test_pages_without_end_are_no_answer() -> None:
    page = {
        "data": [{"id": "txn_1", "status": "billed"}],
        "meta": {"pagination": {"has_more": True}},
    }
    async with answering(json_answer(page)) as (gateway, server):
        with pytest.raises(PaddleUnavailable, match="too many transactions"):
            await gateway.find_charge("sub_1", "marker", long_ago())
    assert len(server.received) == 20


@pytest.mark.parametrize("failure", UNCLEAR)
async def test_what_may_have_happened_is_told_and_sent_once(
    paddle: PaddleStandIn, gateway: Paddle, failure: Failure
) -> None:
    subscription = await subscribed(paddle, gateway)
    paddle.failures.append(failure)
    with pytest.raises(PaddleUnavailable):
        await gateway.charge_subscription(subscription, CHARGE)

    assert len(paddle.sent("POST", "/charge")) == 1
    found = await gateway.find_charge(subscription, CHARGE.marker, long_ago())
    assert (found is not None) == failure.name.startswith("DO_THEN")


@pytest.mark.parametrize("failure", [*UNCLEAR, Failure.DO_THEN_GARBLE])
async def test_a_checkout_that_may_have_been_opened(
    paddle: PaddleStandIn, gateway: Paddle, failure: Failure
) -> None:
    paddle.failures.append(failure)
    with pytest.raises(PaddleUnavailable):
        await gateway.create_transaction(CREDITS)
    assert len(paddle.requests) == 1


async def test_a_charge_with_an_unreadable_answer_was_made(
    paddle: PaddleStandIn, gateway: Paddle
) -> None:
    subscription = await subscribed(paddle, gateway)
    paddle.failures.append(Failure.DO_THEN_GARBLE)
    await gateway.charge_subscription(subscription, CHARGE)

    assert await gateway.find_charge(subscription, CHARGE.marker, long_ago()) is not None


async def test_a_declined_payment_is_refused(paddle: PaddleStandIn, gateway: Paddle) -> None:
    subscription = await subscribed(paddle, gateway)
    paddle.failures.append(Failure.DECLINE)
    with pytest.raises(PaddleRefused) as refused:
        await gateway.charge_subscription(subscription, CHARGE)

    assert refused.value.code == "subscription_payment_declined"
    assert refused.value.detail == "payment declined"
    assert await gateway.find_charge(subscription, CHARGE.marker, long_ago()) is None


async def test_a_field_that_paddle_refuses_is_named(gateway: Paddle) -> None:
    sale = Sale("C", 1, 18, "USD", monthly=False, custom_data={"buyer": "b-1"})
    with pytest.raises(PaddleRefused) as refused:
        await gateway.create_transaction(sale)
    assert refused.value.code == "invalid_field"
    assert refused.value.detail == (
        "Request does not pass validation. "
        "items[0].price.description: Expected `str` of length >= 2"
    )


async def test_a_wrong_key_is_refused(paddle: PaddleStandIn) -> None:
    gateway = Paddle("pdl_another", paddle.url, 30.0)
    with pytest.raises(PaddleRefused, match="invalid_token"):
        await gateway.create_transaction(CREDITS)
    await gateway.close()


async def test_a_cancelled_subscription_is_not_charged(
    paddle: PaddleStandIn, gateway: Paddle
) -> None:
    subscription = await subscribed(paddle, gateway)
    paddle.account.change_subscription(subscription, "canceled")
    with pytest.raises(PaddleRefused, match="subscription_update_when_canceled"):
        await gateway.charge_subscription(subscription, CHARGE)


@pytest.mark.parametrize("id_", ["", "sub_1/../transactions", "sub_1?x=1", "SUB_1", "sub_é"])
async def test_what_is_no_id_is_not_sent(paddle: PaddleStandIn, gateway: Paddle, id_: str) -> None:
    with pytest.raises(PaddleRefused, match="no_paddle_id"):
        await gateway.charge_subscription(id_, CHARGE)
    with pytest.raises(PaddleRefused, match="no_paddle_id"):
        await gateway.find_charge(id_, CHARGE.marker, long_ago())
    assert paddle.requests == []


ERRORS = [
    (Answer(403, b"<html>"), PaddleUnavailable, "Paddle answered 403 (http_403)."),
    (json_answer(["error"], 404), PaddleUnavailable, "Paddle answered 404 (http_404)."),
    (json_answer({"error": {"code": "odd"}}, 403), PaddleRefused, "odd: "),
    (json_answer({"error": {"code": "a\0b", "detail": "c\n"}}, 400), PaddleRefused, "ab: c"),
    (json_answer({"error": {"code": "x"}}, 409), PaddleUnavailable, "Paddle answered 409 (x)."),
    (Answer(502, b"<html>"), PaddleUnavailable, "Paddle answered 502 (http_502)."),
    (
        json_answer({"error": "?"}, 429, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"),
        PaddleUnavailable,
        "Paddle answered 429 (http_429).",
    ),
    (Answer(200, b"\xff"), PaddleUnavailable, "Paddle's answer could not be read."),
    (Answer(200, b'{"a": ' + b"[" * 9999), PaddleUnavailable, "Paddle's answer could not be read."),
    (Answer(403, b'{"a": ' + b"[" * 9999), PaddleUnavailable, "Paddle answered 403 (http_403)."),
    (json_answer({"data": None}), PaddleUnavailable, "Paddle's answer could not be read."),
    (Answer(200, b"{}", length=99), PaddleUnavailable, "Paddle could not be reached."),
    (
        Answer(200, b" " * (ANSWER_MAX_BYTES + 1)),
        PaddleUnavailable,
        "Paddle's answer is too large.",
    ),
]


@pytest.mark.parametrize("answer, exception, message", ERRORS)
async def test_an_odd_answer_is_one_of_two_errors(
    answer: Answer, exception: type[Exception], message: str
) -> None:
    async with answering(answer) as (gateway, server):
        with pytest.raises(exception) as raised:
            await gateway.create_transaction(CREDITS)
    assert str(raised.value) == message
    assert raised.value.__cause__ is None
    assert len(server.received) == 1


async def test_an_answer_with_more_and_less_than_documented_is_read() -> None:
    answer = {
        "data": {
            "id": "txn_1",
            "status": "a new one",
            "checkout": {"url": "https://pay", "more": 1},
            "details": None,
            "items": None,
        }
    }
    async with answering(json_answer(answer, 201)) as (gateway, _):
        opened = await gateway.create_transaction(CREDITS)
    assert opened == OpenedTransaction("txn_1", "https://pay", None)


async def test_a_transaction_without_a_checkout_tells_what_to_set() -> None:
    answer = {"data": {"id": "txn_1", "status": "draft", "checkout": {"url": None}}}
    async with answering(json_answer(answer, 201)) as (gateway, _):
        with pytest.raises(PaddleRefused, match="default payment link"):
            await gateway.create_transaction(CREDITS)


async def test_a_redirect_is_not_followed() -> None:
    redirect = Answer(307, b"", {"Location": "/elsewhere"})
    async with answering(redirect) as (gateway, server):
        with pytest.raises(PaddleUnavailable, match="Paddle answered 307"):
            await gateway.charge_subscription("sub_1", CHARGE)
    assert len(server.received) == 1


SLOW = [Answer(200, b'{"data"', length=99, hang=True), Answer(200, b"x" * 400, trickle_seconds=0.1)]


@pytest.mark.parametrize("answer", SLOW)
async def test_an_answer_that_takes_too_long_is_given_up(answer: Answer) -> None:
    async with answering(answer, timeout_seconds=0.3) as (gateway, server):
        with pytest.raises(PaddleUnavailable, match="in time"):
            await gateway.charge_subscription("sub_1", CHARGE)
    assert len(server.received) == 1


async def test_nobody_there() -> None:
    async with stand_in(Answer()) as server:
        url = server.url("")
    gateway = Paddle(API_KEY, url, 30.0)
    with pytest.raises(PaddleUnavailable, match="could not be reached"):
        await gateway.create_transaction(CREDITS)
    await gateway.close()


async def test_only_so_many_requests_wait() -> None:
    hang = Answer(200, b"{", length=99, hang=True)
    async with answering(hang, timeout_seconds=1.0) as (gateway, server):
        waiting = [
            asyncio.create_task(gateway.create_transaction(CREDITS)) for _ in range(WAITING_MAX)
        ]
        await asyncio.sleep(0)
        with pytest.raises(PaddleUnavailable, match="Too many"):
            await gateway.create_transaction(CREDITS)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    # Those that waited for a thread were never sent.
    assert len(server.received) <= THREADS_MAX


async def test_closing_waits_for_what_was_sent_and_sends_no_more() -> None:
    hang = Answer(200, b"{", length=99, hang=True)
    async with answering(hang, timeout_seconds=2.0) as (gateway, server):
        calls = [asyncio.create_task(gateway.create_transaction(CREDITS)) for _ in range(20)]
        await until(lambda: len(server.received) == THREADS_MAX)
        await gateway.close()
        outcomes = [
            str(outcome) for outcome in await asyncio.gather(*calls, return_exceptions=True)
        ]
        with pytest.raises(PaddleUnavailable, match="stopping"):
            await gateway.create_transaction(CREDITS)
    assert outcomes.count("Paddle did not answer in time.") == THREADS_MAX
    assert outcomes.count("The service is stopping; nothing was sent to Paddle.") == 12
    assert len(server.received) == THREADS_MAX


Call = Callable[[Paddle], Awaitable[object]]
CALLS: list[Call] = [
    lambda gateway: gateway.create_transaction(CREDITS),
    lambda gateway: gateway.charge_subscription("sub_1", CHARGE),
    lambda gateway: gateway.find_charge("sub_1", CHARGE.marker, long_ago()),
]


@pytest.mark.parametrize("call", CALLS)
async def test_neither_key_nor_body_is_logged(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    answer = json_answer({"error": {"code": "invalid_field", "detail": "secret-detail"}}, 400)
    async with answering(answer) as (gateway, _):
        with caplog.at_level("DEBUG"), capture_logs() as lines, pytest.raises(PaddleRefused):
            await call(gateway)
    assert lines == [
        {
            "event": "paddle_answered_error",
            "log_level": "warning",
            "component": "billing.paddle",
            "status": 400,
            "code": "invalid_field",
        }
    ]
    written = " ".join(record.getMessage() for record in caplog.records)
    for secret in (API_KEY, "secret-detail", "r-1", "Overage"):
        assert secret not in written


@pytest.mark.parametrize("missing", ["paddle_api_key", "paddle_webhook_secret"])
@pytest.mark.parametrize("empty", [True, False])
def test_billing_is_off_without_both_secrets(missing: str, empty: bool) -> None:
    given = {"paddle_api_key": "k", "paddle_webhook_secret": "s"}
    if empty:
        given[missing] = ""
    else:
        del given[missing]
    assert Paddle.from_settings(Settings.model_validate(given)) is None


@pytest.mark.parametrize(
    "url", ["", "api.paddle.com", "ftp://api.paddle.com", "https://", "http://[", "https://x/v1"]
)
def test_an_address_that_is_none_stops_the_start(url: str) -> None:
    given = {"paddle_api_key": "k", "paddle_webhook_secret": "s", "paddle_api_url": url}
    with pytest.raises(PaddleMisconfigured, match="STORECREDIT_PADDLE_API_URL"):
        Paddle.from_settings(Settings.model_validate(given))


def test_a_service_that_never_asks_paddle_does_not_load_the_sdk() -> None:
    code = (
        "import sys\n"
        "from storecredit.billing.paddle.gateway import Paddle\n"
        "from storecredit.billing.paddle.signature import Signatures\n"
        "from storecredit.settings import Settings\n"
        "Signatures(Settings()); Paddle('k', 'https://api.paddle.com', 1.0)\n"
        "sys.exit('paddle_billing' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
