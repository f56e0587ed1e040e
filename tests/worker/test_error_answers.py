"""Quota, waits and refusals as image services tell them, to both generators."""

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from structlog.testing import capture_logs

from stand_ins.http_server import Answer, json_answer
from storecredit.generation.generators import GenerationFailed, GeneratorBusy, GeneratorUnavailable
from storecredit.generation.generators.retry_after import RETRY_AFTER_MAX_SECONDS
from tests.worker.generator_failures import KEY, KINDS, PROMPT, failure, failures

QUOTA = {
    "OpenAI": (429, {"error": {"code": "insufficient_quota", "type": "insufficient_quota"}}),
    "OpenAI, by its type": (429, {"error": {"code": None, "type": "insufficient_quota"}}),
    "OpenAI's hard limit": (400, {"error": {"code": "billing_hard_limit_reached"}}),
    "the hard limit without a code": (
        400,
        {"error": {"code": None, "message": "Billing hard limit has been reached."}},
    ),
    "a project's limit": (429, {"error": {"code": "project_spend_limit_exceeded"}}),
    "LiteLLM's budget": (400, {"error": {"type": "budget_exceeded", "code": "400"}}),
    "new-api": (403, {"error": {"code": "insufficient_user_quota", "type": "new_api_error"}}),
    "payment required": (402, {"error": {"code": 402, "message": "Insufficient credits"}}),
    "inside a 200": (200, {"error": {"code": "insufficient_quota"}}),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_quota_that_is_used_up_ends_at_once_and_is_logged(kind: str) -> None:
    answers = {
        name: json_answer(body, status, retry_after="5") for name, (status, body) in QUOTA.items()
    }
    with capture_logs() as lines:
        failed = await failures(kind, answers)

    assert {name: (type(error), error.code) for name, error in failed.items()} == dict.fromkeys(
        QUOTA, (GenerationFailed, "GENERATOR_QUOTA_EXCEEDED")
    )
    assert all(str(error).endswith(" has no quota left.") for error in failed.values())
    logged = ("generator_answered_error", "warning", "GENERATOR_QUOTA_EXCEEDED")
    assert [(line["event"], line["log_level"], line["outcome"]) for line in lines] == [
        logged
    ] * len(QUOTA)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wrong_key_or_model_is_a_refusal(kind: str) -> None:
    told = {"invalid_api_key": 401, "model_not_available": 403, "model_not_found": 404}
    answers = {code: json_answer({"error": {"code": code}}, told[code]) for code in told}
    failed = await failures(kind, answers)

    assert {(type(error), error.code) for error in failed.values()} == {
        (GenerationFailed, "GENERATOR_REJECTED")
    }


async def waits(kind: str, answers: dict[str, Answer]) -> dict[str, float | None]:
    """How long each answer asks to wait."""
    failed = await failures(kind, answers)
    return {
        name: error.retry_after_seconds
        for name, error in failed.items()
        if isinstance(error, GeneratorUnavailable)
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [429, 503])
async def test_the_wait_that_is_asked_for(kind: str, status: int) -> None:
    asked: list[tuple[dict[str, str], float | None]] = [
        ({}, None),
        ({"retry_after": "20"}, 20),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "0"}, 0),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after_ms": "1500.5", "retry_after": "2"}, 1.5005),
        ({"retry_after_ms": "soon", "retry_after": "2"}, 2),
        ({"retry_after": "86400"}, RETRY_AFTER_MAX_SECONDS),
        ({"retry_after_ms": "86400000"}, RETRY_AFTER_MAX_SECONDS),
        *(({"retry_after": nonsense}, None) for nonsense in ("-1", "soon", "1e3", "inf", "9" * 99)),
    ]
    answers = {str(headers): json_answer(None, status, **headers) for headers, _ in asked}
    assert await waits(kind, answers) == {str(headers): seconds for headers, seconds in asked}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_date_is_measured_by_the_clock_of_who_sent_it(kind: str) -> None:
    asked = {
        "Wed, 21 Oct 2015 07:28:30 GMT": 30,
        "Wednesday, 21-Oct-15 07:28:30 GMT": 30,
        "Wed Oct 21 07:28:30 2015": 30,
        "Wed, 21 Oct 2015 07:27:00 GMT": 0,
        "Thu, 22 Oct 2015 07:28:00 GMT": RETRY_AFTER_MAX_SECONDS,
        "Wed, 99 Oct 2015 07:28:30 GMT": None,
        "Wed, 21 Oct 99999999999 07:28:30 GMT": None,
    }
    sent = "Wed, 21 Oct 2015 07:28:00 GMT"
    answers = {date: json_answer(None, 429, retry_after=date, date=sent) for date in asked}
    assert await waits(kind, answers) == asked


@pytest.mark.parametrize("kind", KINDS)
async def test_a_date_without_the_senders_clock_is_measured_by_ours(kind: str) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=200), usegmt=True)
    seconds = (await waits(kind, {"it": json_answer(None, 429, retry_after=later)}))["it"]
    assert seconds is not None
    assert 0 < seconds <= 200


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wait_in_the_body_is_read_where_no_header_has_one(kind: str) -> None:
    retry_info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    body = [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [retry_info]}}]
    answers = {"body": json_answer(body, 429), "both": json_answer(body, 429, retry_after="7")}
    assert await waits(kind, answers) == {"body": 34.5, "both": 7}


RESET = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "1m2.5s"}
TOLD = "Rate limit reached on input-images per min: Limit 5, Used 5. Please try again in {}. Visit"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_limits_reset_is_a_wait_where_nothing_else_is(kind: str) -> None:
    tokens = {"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "120ms"}
    left = {"x_ratelimit_remaining_requests": "7", "x_ratelimit_reset_requests": "1s"}
    answers = {
        "requests": json_answer(None, 429, **RESET),
        "tokens": json_answer(None, 429, **left, **tokens),
        "both": json_answer(None, 429, **RESET, **tokens),
        "neither": json_answer(None, 429, **left),
        "asked": json_answer(None, 429, **RESET, retry_after="3"),
        **{
            told: json_answer({"error": {"message": TOLD.format(told)}}, 429)
            for told in ("12s", "1.5s", "600ms", "1h1m1s", "a minute")
        },
    }
    assert await waits(kind, answers) == {
        "requests": 62.5,
        "tokens": 0.12,
        "both": 62.5,
        "neither": None,
        "asked": 3,
        "12s": 12,
        "1.5s": 1.5,
        "600ms": 0.6,
        "1h1m1s": RETRY_AFTER_MAX_SECONDS,
        "a minute": None,
    }


@pytest.mark.parametrize("kind", KINDS)
async def test_a_rate_limit_is_told_by_its_code_or_its_wait(kind: str) -> None:
    told = {
        "OpenAI": {"error": {"code": "rate_limit_exceeded", "message": "Limit: 5/1min."}},
        "LiteLLM": {"error": {"type": "throttling_error", "code": "429"}},
        "Gemini": [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}],
        "Azure": {"error": {"code": "429", "message": "Exceeded call rate limit."}},
    }
    answers = {name: json_answer(body, 429) for name, body in told.items()}
    answers["Azure"] = json_answer(told["Azure"], 429, retry_after_ms="20")
    answers |= {"nothing": Answer(429), "503": json_answer(None, 503, retry_after="20")}
    failed = await failures(kind, answers)

    assert {name: type(error) for name, error in failed.items()} == {
        **dict.fromkeys(told, GeneratorBusy),
        "nothing": GeneratorUnavailable,
        "503": GeneratorUnavailable,
    }


@pytest.mark.parametrize("kind", KINDS)
async def test_a_rate_limit_inside_a_200_is_one(kind: str) -> None:
    body = {"error": {"code": "429", "type": "rate_limit_error", "message": "Slow down"}}
    failed = await failure(kind, json_answer(body))
    assert isinstance(failed, GeneratorBusy)


WORDS = {
    "400 bad: Say it.": json_answer({"error": {"code": "bad", "message": "Say\n it\0."}}, 400),
    "500 Why not": json_answer({"error": {"message": "Why not"}}, 500),
    "400 x: Because": json_answer({"code": "x", "error": "Because"}, 400),
    "400 One": json_answer({"errors": ["One", "Two"], "name": "n"}, 400),
    '400 {"error":{"message":7,"code":8}}': json_answer({"error": {"message": 7, "code": 8}}, 400),
    '200 {"data":[]}': json_answer({"data": []}),
    "502 <p> <b>Bad Gateway</b>": Answer(502, b"<p>\r\n<b>Bad Gateway</b>"),
    "502": Answer(502),
    "400 \N{REPLACEMENT CHARACTER}": Answer(400, b"\xff"),
    "400 " + "y" * 496: Answer(400, b"y" * 100_000),
    "400 " + "\U0001f600" * 496: json_answer({"message": "\U0001f600" * 600}, 400),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_generators_words_are_kept_in_one_line_of_500_characters(kind: str) -> None:
    failed = await failures(kind, WORDS)
    assert [error.generator_message for error in failed.values()] == list(WORDS)


@pytest.mark.parametrize("kind", KINDS)
async def test_of_an_error_without_end_the_beginning_is_read(kind: str) -> None:
    endless = Answer(400, b"y" * 200_000, length=None, hang=True)
    failed = await failure(kind, endless)
    assert (failed.code, failed.generator_message) == ("GENERATOR_REJECTED", "400 " + "y" * 496)


async def test_an_error_that_does_not_decompress_is_judged_by_its_status() -> None:
    headers = {"Content-Encoding": "gzip"}
    answers = {
        "broken": Answer(503, b"\x1f\x8b and no more", headers),
        "large": Answer(503, gzip.compress(b"y" * 200_000), headers),
        "whole": Answer(503, gzip.compress(b'{"error": {"message": "Away"}}'), headers),
    }
    failed = await failures("http", answers)
    assert {error.code for error in failed.values()} == {"GENERATOR_UNAVAILABLE"}
    assert failed["whole"].generator_message == "503 Away"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_generators_words_reach_neither_the_store_nor_the_log(kind: str) -> None:
    echo = {"error": {"code": f"no {PROMPT}", "message": f"{KEY}: {PROMPT}"}}
    with capture_logs() as lines:
        failed = await failure(kind, json_answer(echo, 400))

    assert PROMPT in (failed.generator_message or "")
    for told in (str(lines), str(failed)):
        assert PROMPT not in told
        assert KEY not in told


async def test_the_key_of_the_service_is_blotted_out_of_its_words() -> None:
    failed = await failure("openai", Answer(401, f"Wrong key {KEY}".encode()))
    assert failed.generator_message == "401 Wrong key [secret]"
