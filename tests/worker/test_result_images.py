"""An image that was made and paid for is read in whatever form the answer holds it."""

import gzip
import zlib
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from stand_ins.http_server import Answer, Handler, Received, StandIn, json_answer, stand_in
from storecredit.generation.generators import (
    AttemptFailed,
    GenerationFailed,
    Generator,
    GeneratorUnavailable,
)
from tests.image_files import KINDS, data_url, halves, noise, picture, png_chunk, png_with, saved
from tests.worker.generators import a_request, generator

PNG = noise((50, 50))
BASE64 = b64encode(PNG).decode()
INPUT_URL = data_url(picture(colour="blue"))


@asynccontextmanager
async def asked(
    name: str, answer: Answer | Handler, **settings: object
) -> AsyncIterator[tuple[Generator, StandIn]]:
    """The generator of that name, in front of a stand-in."""
    async with stand_in(answer) as server:
        given = {
            "generator": name,
            "generator_url": server.url("/make"),
            "openai_api_key": "sk-not-a-real-key",
            "openai_base_url": server.url("/v1"),
            "generator_backoff_seconds": 0,
        }
        async with generator(**given | settings) as loaded:
            yield loaded, server


@pytest.fixture(params=["http", "openai"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def chat(message: dict[str, Any]) -> dict[str, Any]:
    return {"id": "gen-1", "choices": [{"index": 0, "message": {"role": "assistant"} | message}]}


# What the answers of each look like, by their own documentation.
FORMS: dict[str, Any] = {
    "ours": {"image_base64": BASE64},
    "ours, as a data: URL": {"image_base64": data_url(PNG)},
    "ours, as an image URL that is one": {"image_url": data_url(PNG)},
    "ours, in camel case": {"imageBase64": BASE64},
    "OpenAI images": {"created": 1, "data": [{"b64_json": BASE64}], "usage": {"total_tokens": 9}},
    "LiteLLM": {"data": [{"b64_json": BASE64, "url": None, "revised_prompt": "A room"}]},
    "b64_json as a data: URL": {"data": [{"b64_json": data_url(PNG)}]},
    "url as a data: URL": {"data": [{"b64_json": None, "url": data_url(PNG)}]},
    "OpenAI responses": {
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "image_generation_call", "status": "completed", "result": BASE64},
        ]
    },
    "OpenRouter": chat(
        {
            "content": "Here is your picture.",
            "images": [{"type": "image_url", "image_url": {"url": data_url(PNG)}}],
        }
    ),
    "a chat with parts": chat(
        {
            "content": [
                {"type": "text", "text": "Here."},
                {"type": "image_url", "image_url": {"url": data_url(PNG)}},
            ]
        }
    ),
    "a chat in Markdown": chat({"content": f"Here it is:\n\n![A room]({data_url(PNG)})\nEnjoy!"}),
    "Gemini": {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"thought": True, "inlineData": {"data": b64encode(picture()).decode()}},
                        {"text": "Here is your picture."},
                        {"inlineData": {"mimeType": "image/jpeg", "data": BASE64}},
                    ]
                }
            }
        ]
    },
    "Gemini, in snake case": {
        "candidates": [{"content": {"parts": [{"inline_data": {"data": BASE64}}]}}]
    },
    "Vertex": {"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": BASE64}]},
    "Stable Diffusion WebUI": {
        "images": [BASE64],
        "parameters": {"init_images": [INPUT_URL]},
        "info": "{}",
    },
    "Stability, 1": {"artifacts": [{"base64": BASE64, "finishReason": "SUCCESS", "seed": 1}]},
    "Stability, 2": {"image": BASE64, "finish_reason": "SUCCESS", "seed": 1},
    "Cloudflare": {"result": {"image": BASE64}, "success": True, "errors": [], "messages": []},
    "fal": {"images": [{"url": data_url(PNG), "content_type": "image/jpeg"}], "seed": 1},
    "fal, one": {"image": {"url": data_url(PNG), "width": 50}},
    "Replicate": {
        "id": "x",
        "input": {"image": INPUT_URL},
        "output": [data_url(PNG)],
        "urls": {"get": "https://api.example/x"},
    },
    "Replicate, one": {"input": {"image": INPUT_URL}, "output": data_url(PNG), "status": "x"},
    "Black Forest Labs": {"id": "x", "status": "Ready", "result": {"sample": data_url(PNG)}},
    "DashScope": {"output": {"task_status": "SUCCEEDED", "results": [{"url": data_url(PNG)}]}},
    "MiniMax": {"data": {"image_base64": [BASE64]}, "base_resp": {"status_code": 0}},
    "Runware": {"data": [{"taskType": "imageInference", "imageURL": data_url(PNG)}]},
    "RunPod": {"status": "COMPLETED", "output": {"message": BASE64, "status": "success"}},
    "a list": [BASE64],
    "a text": BASE64,
}


async def unread(name: str, answers: Mapping[str, Answer]) -> list[str]:
    """Which of the answers are not read as the one image."""
    named = iter(answers.values())
    unread = []
    async with asked(name, lambda _: next(named)) as (generator_, _):
        for what in answers:
            try:
                image = await generator_.generate(a_request(INPUT_URL))
            except AttemptFailed as failed:
                unread.append(f"{what}: {failed}")
            else:
                if (image.content, image.media_type) != (PNG, "image/png"):
                    unread.append(f"{what}: another image")
    return unread


async def test_every_form_of_compatible_services_is_read(name: str) -> None:
    assert await unread(name, {what: json_answer(form) for what, form in FORMS.items()}) == []


LINES = encodebytes(PNG).decode()
SPELLINGS = {
    "lines": LINES,
    "lines of Windows": LINES.replace("\n", "\r\n"),
    "no padding": BASE64.rstrip("="),
    "URL-safe": urlsafe_b64encode(PNG).decode(),
    "a data: URL of another type": data_url(PNG, "jpg"),
    "a data: URL with two heads": f"data:image/png;base64,{data_url(PNG)}",
    "a data: URL in lines": f"data:image/png;charset=utf-8;base64,{LINES}",
}


async def test_every_spelling_of_base64_is_read(name: str) -> None:
    answers = {
        what: json_answer({"data": [{"b64_json": text}]}) for what, text in SPELLINGS.items()
    }
    assert await unread(name, answers) == []


JSON = msgspec.json.encode({"data": [{"b64_json": BASE64}]})
BODIES = {
    "the image": PNG,
    "base64": BASE64.encode(),
    "base64 in lines": LINES.encode(),
    "a data: URL": data_url(PNG).encode() + b"\n",
    "JSON with a byte order mark": b"\xef\xbb\xbf" + JSON,
    "JSON in UTF-16": JSON.decode().encode("utf-16"),
    "JSON with slashes escaped": JSON.replace(b"/", b"\\/"),
    "JSON with pluses escaped": JSON.replace(b"+", b"\\u002B"),
    "JSON with NaN": JSON[:-1] + b', "score": NaN}',
}


@pytest.mark.parametrize("said", ["application/json", "text/plain", "image/webp", ""])
async def test_the_body_decides_and_not_its_content_type(name: str, said: str) -> None:
    headers = {"Content-Type": said} if said else {}
    answers = {what: Answer(body=body, headers=headers) for what, body in BODIES.items()}
    assert await unread(name, answers) == []


async def test_every_answer_of_success_is_read(name: str) -> None:
    statuses = (200, 201, 202, 203)
    answers = {str(status): json_answer({"image": BASE64}, status) for status in statuses}
    assert await unread(name, answers) == []


def several(server: StandIn) -> Iterator[dict[str, Any]]:
    good, other = BASE64, b64encode(picture()).decode()
    yield {"data": [{"b64_json": ""}, {"b64_json": good}]}
    yield {"data": [{"b64_json": None, "url": ""}, {"url": server.url("/made.png")}]}
    yield {"data": [{"b64_json": good}, {"b64_json": other}]}
    yield {"data": [{"url": server.url("/gone.png"), "b64_json": good}]}
    yield {"image_base64": "sorry", "image_url": server.url("/made.png")}
    yield {"images": [other[:80], server.url("/gone.png"), server.url("/page"), good]}
    yield {"image_url": "/made.png"}
    yield {"image_url": server.url("/late.png")}
    yield chat({"content": f"![A room]({server.url('/made.png')})"})


async def test_of_several_the_first_that_can_be_read_is_taken(name: str) -> None:
    bodies = {"/made.png": Answer(body=PNG), "/page": Answer(body=b"<html>")}
    late = [Answer(503), Answer(503), Answer(body=PNG)]

    def answer(request: Received) -> Answer:
        if request.method == "POST":
            return json_answer(next(contents))
        if request.path == "/late.png":
            return late.pop(0)
        return bodies.get(request.path, Answer(404))

    async with asked(name, answer) as (generator_, server):
        contents = several(server)
        for _ in several(server):
            assert (await generator_.generate(a_request())).content == PNG


@pytest.mark.parametrize("compress, coding", [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
async def test_an_answer_compressed_unasked_is_read_within_limits(
    name: str, compress: Callable[[bytes], bytes], coding: str
) -> None:
    sent = [compress(JSON), compress(JSON + b" " * 9_000_000)]
    answer = [Answer(body=body, headers={"Content-Encoding": coding}) for body in sent]
    async with asked(name, lambda _: answer.pop(0), image_max_bytes=10_000) as (generator_, _):
        assert (await generator_.generate(a_request())).content == PNG
        with pytest.raises(GenerationFailed, match=r"answer is (too large|larger than)"):
            await generator_.generate(a_request())


@pytest.mark.parametrize("kind", KINDS)
async def test_an_image_of_any_form_becomes_one_that_is_stored(name: str, kind: str) -> None:
    content = saved(halves((20, 20)), kind)
    answer = json_answer({"image_base64": b64encode(content).decode()})
    async with asked(name, answer) as (generator_, _):
        image = await generator_.generate(a_request())

    if kind in ("PNG", "JPEG", "WEBP"):
        assert (image.content, image.media_type) == (content, KINDS[kind])
    else:
        assert image.media_type == "image/png"
        assert image.content.startswith(b"\x89PNG")


async def test_what_is_wrong_beside_the_picture_does_not_matter(name: str) -> None:
    content = png_with(png_chunk(b"tEXt", b"prompt\0" + b"x" * 2_000_000, checksum_off_by=1))
    jpeg = saved(halves(), "JPEG")[:-2]
    for made in (content, jpeg):
        answer = json_answer({"image_base64": b64encode(made).decode()})
        async with asked(name, answer) as (generator_, _):
            assert (await generator_.generate(a_request())).content == made


async def test_an_image_that_cannot_be_had_now_is_worth_another_attempt(name: str) -> None:
    def answer(request: Received) -> Answer:
        if request.method == "POST":
            return json_answer({"images": ["sorry", server.url("/made.png")]})
        return Answer(503)

    async with asked(name, answer) as (generator_, server):
        with pytest.raises(GeneratorUnavailable, match="image could not be had: its server answe"):
            await generator_.generate(a_request())

    assert [request.path for request in server.received[1:]] == ["/made.png"] * 3


async def test_no_more_images_than_a_few_are_tried(name: str) -> None:
    answer = json_answer({"images": ["sorry"] * 16 + [BASE64]})
    async with asked(name, answer) as (generator_, _):
        with pytest.raises(GenerationFailed, match="image is not valid base64"):
            await generator_.generate(a_request())


async def test_an_answer_without_an_image_holds_none(name: str) -> None:
    answers: list[object] = [
        {},
        {"prompt": BASE64, "input": {"image": INPUT_URL}},
        {"data": None, "images": [], "image": ""},
        chat({"content": "I cannot draw that: https://policy.example/rules"}),
        {"data": [[[[[[[[[[[[[[[[BASE64]]]]]]]]]]]]]]]]},
        7,
    ]
    contents = iter(answers)
    async with asked(name, lambda _: json_answer(next(contents))) as (generator_, _):
        for _ in answers:
            with pytest.raises(GenerationFailed, match="answer holds no image"):
                await generator_.generate(a_request())


async def test_a_url_in_an_answer_leads_to_no_other_private_host(name: str) -> None:
    answer = json_answer({"images": ["http://10.0.0.1/a.png", "http://localhost:1/a.png"]})
    async with asked(name, answer) as (generator_, _):
        with pytest.raises(GenerationFailed, match="points to a private or local address"):
            await generator_.generate(a_request())


@pytest.mark.parametrize("said", ["data:image/jpg;name=a;base64", "data:;base64"])
async def test_http_passes_a_data_url_on_in_its_plainest_spelling(said: str) -> None:
    answer = json_answer({"image_base64": BASE64})
    async with asked("http", answer) as (http, server):
        await http.generate(a_request(f"{said},{LINES}", "https://shop.example/a b.png"))

    assert server.received[0].json()["image_urls"] == [
        data_url(PNG),
        "https://shop.example/a b.png",
    ]


@pytest.mark.parametrize("kind", ["GIF", "AVIF", "BMP"])
async def test_openai_is_sent_other_forms_as_png(kind: str) -> None:
    answer = json_answer({"data": [{"b64_json": BASE64}]})
    async with asked("openai", answer) as (openai, server):
        await openai.generate(a_request(data_url(saved(halves(), kind), "png")))

    assert b"image/png\r\n\r\n\x89PNG" in server.received[0].body
