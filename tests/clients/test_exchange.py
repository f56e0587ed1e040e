"""The client for Python step by step, without a socket: retries, pauses, answers, waiting."""

import pickle
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest

from storecredit_client import (
    ApiError,
    ErrorCode,
    NoAnswer,
    RetryPolicy,
    StorecreditError,
    UnexpectedAnswer,
    calls,
)
from storecredit_client.calling import Call, following
from storecredit_client.exchange import (
    Answer,
    Lost,
    Pause,
    Reading,
    Reply,
    Request,
    exchange,
)
from storecredit_client.models import ErrorBody, GrantPage, SpendMade
from storecredit_client.retrying import retry_after
from tests.clients.conversations import POLICY, SPENT, SUCCESS, held, refusal, reply


def test_what_is_lost_or_refused_for_now_is_sent_again_under_the_same_key() -> None:
    call = calls.spend_credits(5)
    conversation = exchange(call, POLICY)
    outcomes = (Lost("cut off"), None, reply(503, {}), None, reply(502, "a page"), None)
    steps = [next(conversation), *map(conversation.send, outcomes)]
    requests = [step for step in steps if isinstance(step, Request)]
    assert len(requests) == 4
    assert {request.headers["Idempotency-Key"] for request in requests} == {
        f'"{call.idempotency_key}"'
    }
    assert {request.body for request in requests} == {b'{"amount":5}'}
    pauses = [step.seconds for step in steps if isinstance(step, Pause)]
    for pause, longest in zip(pauses, (1, 2, 4), strict=True):
        assert longest / 2 <= pause <= longest
    with pytest.raises(StopIteration) as end:
        conversation.send(SUCCESS)
    answer: Answer[SpendMade] = end.value.value
    assert answer.data.balance == 95
    assert (answer.request_id, answer.credits_remaining, answer.is_replay) == ("a", 95, False)


@pytest.mark.parametrize("name", ["spend_credits", "refund_spend"])
def test_each_logical_call_has_a_key_of_its_own_unless_it_is_given(name: str) -> None:
    make = {"spend_credits": calls.spend_credits, "refund_spend": calls.refund_spend}[name]
    argument = {"spend_credits": 5, "refund_spend": "a"}[name]
    assert make(argument).idempotency_key != make(argument).idempotency_key  # type: ignore[operator]  # one of two
    given = make(argument, idempotency_key='a "b" \\ c')  # type: ignore[operator]  # likewise
    request = next(exchange(given, POLICY))
    assert isinstance(request, Request)
    assert request.headers["Idempotency-Key"] == '"a \\"b\\" \\\\ c"'
    for wrong in ("", " a", "ä", "a\n", "a" * 201):
        with pytest.raises(ValueError, match="1 to 200 printable ASCII"):
            make(argument, idempotency_key=wrong)  # type: ignore[operator]  # likewise


@pytest.mark.parametrize(
    "code, status",
    [("INSUFFICIENT_CREDITS", 402), ("IDEMPOTENCY_CONFLICT", 422), ("INTERNAL_ERROR", 500)],
)
def test_what_is_refused_for_good_is_raised_at_once(code: str, status: int) -> None:
    call = calls.spend_credits(5)
    with pytest.raises(ApiError) as refused:
        held(exchange(call, POLICY), refusal(code, status, balance=2, required=5))
    assert refused.value.code is ErrorCode(code)
    assert refused.value.status == status
    assert (refused.value.body.balance, refused.value.body.required) == (2, 5)
    assert refused.value.idempotency_key == call.idempotency_key


def test_a_code_and_a_status_that_came_later_are_no_error_of_their_own() -> None:
    with pytest.raises(ApiError) as refused:
        held(exchange(calls.spend_credits(5), POLICY), refusal("MOON_IS_FULL", 422, phase="full"))
    assert refused.value.code == "MOON_IS_FULL"
    assert refused.value.code not in list(ErrorCode)
    later = {**SPENT, "charged_as": "moonlight", "phase": "full"}
    answer, _ = held(exchange(calls.spend_credits(5), POLICY), reply(201, {"data": later}))
    assert answer.data.charged_as == "moonlight"


def test_retry_after_is_obeyed_in_seconds_and_as_a_date() -> None:
    then = datetime(2026, 11, 30, 10, tzinfo=UTC)
    date = format_datetime(then + timedelta(seconds=9), usegmt=True)
    _, pauses = held(
        exchange(calls.spend_credits(5), POLICY),
        reply(429, {}, retry_after="7"),
        reply(503, {}, retry_after=date, date=format_datetime(then, usegmt=True)),
        SUCCESS,
    )
    assert 7 < pauses[0] <= 7 + 1
    assert 9 < pauses[1] <= 9 + 2
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "-5"}) is None
    assert retry_after({"retry-after": "Mon, 30 Nov 99999999999999999999 10:00:00 GMT"}) is None
    assert retry_after({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}) == 0


def test_who_is_told_to_come_back_too_late_is_told_so_at_once() -> None:
    late = reply(429, {"error": {"code": "RATE_LIMIT_EXCEEDED", "message": "."}}, retry_after="61")
    with pytest.raises(ApiError) as refused:
        held(exchange(calls.get_balance(), POLICY), late)
    assert refused.value.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert refused.value.retry_after_seconds == 61


def test_after_the_last_attempt_it_is_said_that_the_outcome_is_unknown() -> None:
    call = calls.spend_credits(5)
    cause = OSError("cut off")
    with pytest.raises(NoAnswer, match=r"asked 5 times: cut off.*same idempotency key") as lost:
        held(exchange(call, POLICY), *[Lost("cut off", cause)] * 5)
    assert lost.value.__cause__ is cause
    assert lost.value.idempotency_key == call.idempotency_key
    with pytest.raises(NoAnswer, match="asked once"):
        held(exchange(call, RetryPolicy(attempts_max=1)), Lost("cut off"))


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504, 520, 524])
def test_what_stands_before_the_service_may_refuse_for_now(status: int) -> None:
    _, pauses = held(exchange(calls.spend_credits(5), POLICY), reply(status, "a page"), SUCCESS)
    assert len(pauses) == 1


def test_a_redirect_is_not_followed_and_says_where_it_leads() -> None:
    moved = reply(301, "moved", location="https://credits.example/")
    with pytest.raises(
        UnexpectedAnswer, match=r"301.*leads to 'https://credits.example/'"
    ) as other:
        held(exchange(calls.spend_credits(5), POLICY), moved)
    assert other.value.location == "https://credits.example/"


def test_a_message_names_what_was_at_fault() -> None:
    faults = [{"key": "amount", "source": "body", "message": "Expected `int` >= 1."}]
    with pytest.raises(ApiError, match=r"_ERROR: No\. \(amount: Expected `int` >= 1\.\)$"):
        held(
            exchange(calls.spend_credits(0), POLICY),
            refusal("VALIDATION_ERROR", 400, details=faults),
        )
    told = [{"key": "credits", "source": "body", "message": "No."}]
    with pytest.raises(ApiError, match=r"_ERROR: No\. \(credits\)$"):
        held(
            exchange(calls.spend_credits(0), POLICY),
            refusal("VALIDATION_ERROR", 400, details=told),
        )


def test_what_changes_something_and_has_no_key_is_sent_once() -> None:
    call = Call(operation="x", method="POST", path="/x", result=SpendMade)
    with pytest.raises(NoAnswer, match="asked once"):
        held(exchange(call, POLICY), Lost("cut off"))
    with pytest.raises(UnexpectedAnswer):
        held(exchange(call, POLICY), reply(503, "a page"))


@pytest.mark.parametrize("content", ["a page", {"data": {"amount": "five"}}, {"data": None}, []])
def test_an_answer_of_another_form_is_told_with_its_beginning(content: object) -> None:
    with pytest.raises(UnexpectedAnswer, match="Not an answer of storecredit: 200 OK") as other:
        held(exchange(calls.spend_credits(5), POLICY), reply(200, content))
    assert other.value.beginning == msgspec.json.encode(content).decode()


def test_an_answer_is_read_up_to_a_limit_and_for_a_time() -> None:
    request = next(exchange(calls.get_balance(), POLICY))
    assert isinstance(request, Request)
    reading = Reading.of(200, {"X-Request-Id": "a"}, request)
    assert reading.take(b"{}") is None
    assert reading.reply() == Reply(200, {"x-request-id": "a"}, b"{}")
    assert reading.take(bytes(16 * 1024 * 1024)) == Lost("the answer is longer than 16777216 bytes")
    late = Reading(200, {}, ends_at=time.monotonic() - 1)
    assert late.take(b"{") == Lost("the answer did not end in time")


@pytest.mark.parametrize(
    "name, path",
    [
        ("order/7", "order%2F7"),
        ("a b?c#d%2F", "a%20b%3Fc%23d%252F"),
        ("..", "%2E%2E"),
        ("batch", "batch"),
    ],
)
def test_an_id_is_one_part_of_an_address(name: str, path: str) -> None:
    assert calls.get_spend(name).path == f"/api/v1/credits/spend/{path}"
    with pytest.raises(ValueError, match="this one is empty"):
        calls.get_spend("")


def test_errors_survive_a_job_queue() -> None:
    refused = ApiError(402, ErrorBody(code=ErrorCode("NEW"), message="No.", balance=2))
    refused.retry_after_seconds = 7
    for error in (refused, NoAnswer(5, "cut off", idempotency_key="a"), UnexpectedAnswer(502, "")):
        restored = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert (type(restored), str(restored)) == (type(error), str(error))
        assert vars(restored) == vars(error)


def test_a_list_that_does_not_go_on_is_no_end_of_it() -> None:
    page = GrantPage(items=[], next_cursor="7")
    second = following(calls.list_grants(), page)
    assert second is not None
    assert second.query == {"limit": "100", "cursor": "7"}
    with pytest.raises(StorecreditError, match="does not go on"):
        following(second, page)
    assert following(second, GrantPage(items=[], next_cursor=None)) is None
