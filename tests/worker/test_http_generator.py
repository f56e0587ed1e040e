"""The generator behind the operator's own URL."""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stand_ins.http_server import Answer, Handler, Received, StandIn, json_answer, stand_in
from storecredit.generation.generators import (
    GenerationFailed,
    Generator,
    GeneratorBusy,
    GeneratorUnavailable,
    ModerationBlocked,
)
from tests.image_files import data_url, noise, picture
from tests.worker.generators import SESSION, a_request, generator

PNG = picture()
SECRET = "sk-not-a-real-key"


@asynccontextmanager
async def http_generator(
    answer: Answer | Handler, **settings: object
) -> AsyncIterator[tuple[Generator, StandIn]]:
    async with stand_in(answer) as server:
        given = {"generator": "http", "generator_url": server.url("/make?a=b")} | settings
        async with generator(**given) as loaded:
            yield loaded, server


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
async def test_http_sends_the_session_and_takes_the_image_as_base64(kind: str) -> None:
    content = picture(kind.upper())
    answer = json_answer({"image_base64": b64encode(content).decode(), "more": 1})
    async with http_generator(answer) as (http, server):
        image = await http.generate(a_request("https://1.1.1.1/a.png", prompt="A room"))

    assert (image.content, image.media_type) == (content, f"image/{kind}")
    request = server.received[0]
    assert (request.method, request.path) == ("POST", "/make?a=b")
    assert request.headers["content-type"] == "application/json"
    assert request.json() == {
        "session_id": str(SESSION),
        "request_id": "order-7",
        "image_urls": ["https://1.1.1.1/a.png"],
        "prompt": "A room",
    }


async def test_http_sends_the_options_that_there_are() -> None:
    answer = json_answer({"image_base64": b64encode(PNG).decode()})
    async with http_generator(answer) as (http, server):
        await http.generate(a_request(size="1536x1024"))

    assert server.received[0].json()["options"] == {"size": "1536x1024"}


async def test_http_sends_no_prompt_as_null() -> None:
    answer = json_answer({"image_base64": b64encode(PNG).decode()})
    async with http_generator(answer) as (http, server):
        await http.generate(a_request())

    assert server.received[0].json()["prompt"] is None


async def test_http_takes_an_image_url_on_its_own_private_host() -> None:
    def answer(request: Received) -> Answer:
        if request.method == "POST":
            return json_answer({"image_url": server.url("/made.png")})
        return Answer(body=PNG)

    async with http_generator(answer) as (http, server):
        assert (await http.generate(a_request())).content == PNG


async def test_http_takes_an_image_url_that_is_a_data_url() -> None:
    async with http_generator(json_answer({"image_url": data_url(PNG)})) as (http, _):
        assert (await http.generate(a_request())).content == PNG


@pytest.mark.parametrize(
    "content, sentence",
    [
        ({}, "The generator's answer holds no image."),
        ({"image_base64": None}, "The generator's answer holds no image."),
        ([], "The generator's answer holds no image."),
        ({"image_base64": 7}, "The generator's answer holds no image."),
        ({"image_base64": "%%%"}, "The generator's image is not valid base64."),
        ({"image_base64": ""}, "The generator's answer holds no image."),
        (
            {"image_base64": b64encode(PNG[:40]).decode()},
            "The generator's image is damaged and cannot be read.",
        ),
        (
            {"image_base64": b64encode(noise((70, 70))).decode()},
            "The generator's image is larger than 10,000 bytes.",
        ),
        (
            {"image_url": "http://localhost:1/a.png"},
            "The generator's image points to a private or local address.",
        ),
        (
            {"image_url": "file:///etc/passwd"},
            "The generator's image is not an https, http or data: URL.",
        ),
    ],
)
async def test_http_fails_at_once_on_a_200_without_a_proper_image(
    content: object, sentence: str
) -> None:
    async with http_generator(json_answer(content), image_max_bytes=10_000) as (http, _):
        with pytest.raises(GenerationFailed) as failed:
            await http.generate(a_request())

    assert str(failed.value) == sentence


@pytest.mark.parametrize(
    "body", [b"", b"not JSON", b"\xff\xfe", b'{"image_base64": "', b"[" * 9999]
)
async def test_http_fails_at_once_on_a_200_that_is_no_json(body: bytes) -> None:
    async with http_generator(Answer(body=body)) as (http, _):
        with pytest.raises(GenerationFailed, match="answer could not be read"):
            await http.generate(a_request())


async def test_http_stops_reading_an_answer_without_end() -> None:
    answer = Answer(body=b'{"image_base64": "' + b"A" * 200_000, length=None, hang=True)
    async with http_generator(answer, image_max_bytes=10_000) as (http, _):
        with pytest.raises(GenerationFailed, match="answer is too large"):
            await http.generate(a_request())


@pytest.mark.parametrize(
    "message, shown",
    [
        ("No weapons.", "No weapons."),
        ("a\0b\nc\x1b[31m", "ab c[31m"),
        ("x" * 501, "x" * 500),
        ("", "The generator's moderation blocked this request."),
        (None, "The generator's moderation blocked this request."),
        ({"a": 1}, "The generator's moderation blocked this request."),
    ],
)
async def test_http_moderation_is_told_in_the_generators_words(message: object, shown: str) -> None:
    answer = json_answer({"code": "MODERATION_BLOCKED", "message": message}, status=422)
    async with http_generator(answer) as (http, _):
        with pytest.raises(ModerationBlocked) as blocked:
            await http.generate(a_request())

    assert str(blocked.value) == shown


@pytest.mark.parametrize(
    "answer",
    [
        json_answer({"code": "OTHER", "message": "secret"}, status=422),
        json_answer({"code": ["MODERATION_BLOCKED"]}, status=422),
        json_answer([], status=422),
        Answer(422, b"MODERATION_BLOCKED"),
        Answer(422, b'{"reason": ' + b"[" * 9999),
        Answer(400),
        Answer(401),
        Answer(404),
        Answer(302, headers={"Location": "/elsewhere"}),
    ],
)
async def test_http_fails_at_once_on_any_other_answer(answer: Answer) -> None:
    async with http_generator(answer) as (http, server):
        with pytest.raises(GenerationFailed) as failed:
            await http.generate(a_request())

    assert str(failed.value) == f"The generator answered with status {answer.status}."
    assert failed.value.code == "GENERATOR_REJECTED"
    assert len(server.received) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_http_is_unavailable_on_a_passing_status_after_one_attempt(status: int) -> None:
    async with http_generator(Answer(status)) as (http, server):
        with pytest.raises(GeneratorUnavailable) as unavailable:
            await http.generate(a_request())

    assert str(unavailable.value) == f"The generator answered with status {status}."
    assert unavailable.value.code == "GENERATOR_UNAVAILABLE"
    assert not isinstance(unavailable.value, GeneratorBusy), "it says nothing of a limit"
    assert unavailable.value.retry_after_seconds is None
    assert len(server.received) == 1


@pytest.mark.parametrize("answer", [Answer(break_off=True), Answer(body=b"{", length=100)])
async def test_http_is_unavailable_when_the_connection_breaks(answer: Answer) -> None:
    async with http_generator(answer) as (http, server):
        with pytest.raises(GeneratorUnavailable, match=r"^The generator could not be reached\.$"):
            await http.generate(a_request())

    assert len(server.received) == 1


@pytest.mark.parametrize(
    "answer", [Answer(length=100, hang=True), Answer(body=b"{", length=100, hang=True)]
)
async def test_http_is_unavailable_when_the_answer_does_not_end(answer: Answer) -> None:
    async with http_generator(answer, generation_timeout_seconds=0.3) as (http, _):
        with pytest.raises(
            GeneratorUnavailable, match=r"^The generator did not answer in time\.$"
        ) as late:
            await http.generate(a_request())

    assert late.value.code == "GENERATOR_TIMEOUT"


async def test_http_is_unavailable_when_nobody_listens() -> None:
    async with stand_in(Answer()) as server:
        url = server.url()
    async with generator(generator="http", generator_url=url) as http:
        with pytest.raises(GeneratorUnavailable, match="could not be reached"):
            await http.generate(a_request())


async def test_http_is_unavailable_when_its_image_cannot_be_had_now() -> None:
    def answer(request: Received) -> Answer:
        made = json_answer({"image_url": server.url("/made.png")})
        return made if request.method == "POST" else Answer(503)

    async with http_generator(answer) as (http, server):
        with pytest.raises(GeneratorUnavailable, match="image could not be had"):
            await http.generate(a_request())
