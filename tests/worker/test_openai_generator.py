"""The generator that asks OpenAI's Images API."""

import traceback
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from stand_ins.http_server import Answer, Handler, Received, StandIn, json_answer, stand_in
from storecredit.generation.generators import (
    GenerationFailed,
    Generator,
    GeneratorUnavailable,
    ModerationBlocked,
)
from tests.image_files import data_url, picture
from tests.worker.generators import a_request, generator

PNG = picture()
SECRET = "sk-not-a-real-key"
PROMPT = "A secret room"


def images_response(**image: object) -> Answer:
    """An ImagesResponse (https://platform.openai.com/docs/api-reference/images/object)."""
    return json_answer({"created": 1_760_000_000, "data": [image], "usage": {"total_tokens": 1}})


def api_error(status: int, code: str | None, **headers: str) -> Answer:
    """An error (https://platform.openai.com/docs/guides/error-codes) that tells too much."""
    message = f"Incorrect API key {SECRET} or prompt: {PROMPT}"
    error = {"message": message, "type": "image_generation_user_error", "param": None, "code": code}
    return json_answer({"error": error}, status, **headers)


@asynccontextmanager
async def openai_generator(
    answer: Answer | Handler, **settings: object
) -> AsyncIterator[tuple[Generator, StandIn]]:
    async with stand_in(answer) as server:
        given = {
            "generator": "openai",
            "openai_api_key": SECRET,
            "openai_base_url": server.url("/v1"),
        } | settings
        async with generator(**given) as loaded:
            yield loaded, server


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
async def test_openai_edits_the_input_images_into_one(kind: str) -> None:
    content = picture(kind.upper())
    answer = images_response(b64_json=b64encode(content).decode())
    inputs = [picture(colour="red"), picture("JPEG", colour="blue")]
    async with openai_generator(answer, openai_model="gpt-image-test") as (openai, server):
        image = await openai.generate(
            a_request(data_url(inputs[0]), data_url(inputs[1], "jpeg"), prompt="A quiet room")
        )

    assert (image.content, image.media_type) == (content, f"image/{kind}")
    request = server.received[0]
    assert (request.method, request.path) == ("POST", "/v1/images/edits")
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    parts = form(request)
    assert parts.pop("image[]") == inputs
    assert parts == {
        "model": [b"gpt-image-test"],
        "prompt": [b"A quiet room"],
        "size": [b"1024x1536"],
        "n": [b"1"],
    }


async def test_openai_sends_the_options_as_fields_of_their_names() -> None:
    answer = images_response(b64_json=b64encode(PNG).decode())
    async with openai_generator(answer, openai_model="gpt-image-test") as (openai, server):
        await openai.generate(a_request(size="1536x1024", quality="high"))
        await openai.generate(a_request(background="opaque"))

    first, second = (form(request) for request in server.received)
    assert (first["size"], first["quality"]) == ([b"1536x1024"], [b"high"])
    assert (second["size"], second["background"]) == ([b"1024x1536"], [b"opaque"])
    assert "quality" not in second


def form(request: Received) -> dict[str, list[bytes]]:
    """The fields of a multipart/form-data body (RFC 7578), by name."""
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    fields: dict[str, list[bytes]] = {}
    for part in request.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        fields.setdefault(name, []).append(content.removesuffix(b"\r\n"))
    return fields


@pytest.mark.parametrize("prompt", [None, ""])
async def test_openai_is_given_a_prompt_where_the_store_gave_none(prompt: str | None) -> None:
    answer = images_response(b64_json=b64encode(PNG).decode())
    async with openai_generator(answer) as (openai, server):
        await openai.generate(a_request(prompt=prompt))

    assert b"portrait" in form(server.received[0])["prompt"][0]


async def test_openai_fetches_its_images_and_takes_a_url_on_its_own_host() -> None:
    def answer(request: Received) -> Answer:
        if request.method == "POST":
            return images_response(url=server.url("/made.png"))
        return Answer(body=PNG)

    async with openai_generator(answer) as (openai, server):
        assert (await openai.generate(a_request())).content == PNG
        # A store's own image URL does not profit from that trust.
        with pytest.raises(GenerationFailed, match="Image 1 points to a private"):
            await openai.generate(a_request(server.url("/inside.png")))

    assert [request.path for request in server.received] == ["/v1/images/edits", "/made.png"]


async def test_openai_moderation_is_told_without_the_services_words() -> None:
    async with openai_generator(api_error(400, "moderation_blocked")) as (openai, server):
        with pytest.raises(ModerationBlocked) as blocked:
            await openai.generate(a_request(prompt=PROMPT))

    assert str(blocked.value) == "The image service's moderation blocked this request."
    assert len(server.received) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_openai_is_unavailable_on_a_passing_status_after_one_attempt(status: int) -> None:
    async with openai_generator(api_error(status, None, retry_after="9")) as (openai, server):
        with pytest.raises(GeneratorUnavailable) as unavailable:
            await openai.generate(a_request())

    assert str(unavailable.value) == f"The image service answered with status {status}."
    assert unavailable.value.retry_after_seconds == 9
    assert len(server.received) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
async def test_openai_fails_at_once_on_any_other_status_and_logs_no_secret(status: int) -> None:
    async with openai_generator(api_error(status, "invalid_value")) as (openai, server):
        with capture_logs() as lines, pytest.raises(GenerationFailed) as failed:
            await openai.generate(a_request(prompt=PROMPT))

    assert str(failed.value) == f"The image service answered with status {status}."
    assert failed.value.code == "GENERATOR_REJECTED"
    assert [(line["event"], line["status"], line["code"]) for line in lines] == [
        ("generator_answered_error", status, "invalid_value")
    ]
    assert failed.value.generator_message == (
        f"{status} invalid_value: Incorrect API key [secret] or prompt: {PROMPT}"
    )
    for told in (str(lines), "".join(traceback.format_exception(failed.value))):
        assert SECRET not in told
        assert PROMPT not in told
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "answer, sentence",
    [
        (Answer(body=b"<html>"), "The image service's answer could not be read."),
        (json_answer([]), "The image service's answer holds no image."),
        (json_answer({"data": 7}), "The image service's answer holds no image."),
        (json_answer({"data": []}), "The image service's answer holds no image."),
        (json_answer({}), "The image service's answer holds no image."),
        (images_response(), "The image service's answer holds no image."),
        (images_response(b64_json="R0lGODlh"), "The image service's image is cut short."),
        (
            images_response(url="http://10.0.0.1/a.png"),
            "The image service's image points to a private or local address.",
        ),
        (
            Answer(body=b'{"data": "' + b"A" * 200_000, length=None, hang=True),
            "The image service's answer is too large.",
        ),
    ],
)
async def test_openai_fails_at_once_on_a_200_without_a_proper_image(
    answer: Answer, sentence: str
) -> None:
    async with openai_generator(answer, image_max_bytes=10_000) as (openai, _):
        with pytest.raises(GenerationFailed) as failed:
            await openai.generate(a_request())

    assert str(failed.value) == sentence


@pytest.mark.parametrize("answer", [Answer(break_off=True), Answer(body=b"{", length=100)])
async def test_openai_is_unavailable_when_the_connection_breaks(answer: Answer) -> None:
    async with openai_generator(answer) as (openai, server):
        with pytest.raises(
            GeneratorUnavailable, match=r"^The image service could not be reached\.$"
        ):
            await openai.generate(a_request())

    assert len(server.received) == 1


@pytest.mark.parametrize(
    "answer", [Answer(length=100, hang=True), Answer(body=b"{", length=100, hang=True)]
)
async def test_openai_is_unavailable_when_the_answer_does_not_end(answer: Answer) -> None:
    async with openai_generator(answer, generation_timeout_seconds=0.3) as (openai, _):
        with pytest.raises(
            GeneratorUnavailable, match=r"^The image service did not answer in time\.$"
        ) as late:
            await openai.generate(a_request())

    assert late.value.code == "GENERATOR_TIMEOUT"


async def test_openai_is_unavailable_when_nobody_listens() -> None:
    async with stand_in(Answer()) as server:
        url = server.url("/v1")
    async with generator(generator="openai", openai_api_key=SECRET, openai_base_url=url) as openai:
        with pytest.raises(GeneratorUnavailable, match="could not be reached"):
            await openai.generate(a_request())
