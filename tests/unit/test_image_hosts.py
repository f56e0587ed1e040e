"""What a host says about an image is judged by the image's bytes."""

import gzip
import zlib

import pytest

from stand_ins.http_server import Answer, stand_in
from storecredit.generation.image_errors import ImageUnavailable, ImageUnreadable
from storecredit.generation.image_forms import READABLE
from tests.image_files import KINDS, halves, picture, saved
from tests.worker.generators import fetcher

INSTEAD = f"which cannot be read: send a {READABLE} image."
PNG = picture()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_type_is_told_from_the_bytes_and_not_from_the_header(kind: str) -> None:
    content = saved(halves(), kind)
    answer = Answer(body=content, headers={"Content-Type": "text/html"})
    async with stand_in(answer) as server, fetcher() as images:
        image = await images.fetch(server.url("/a.gif"))

    assert (image.content, image.media_type) == (content, KINDS[kind])


@pytest.mark.parametrize(
    "body, reason",
    [
        (b"", "is empty."),
        (b"<html>Sorry", f"is a page of HTML or XML, {INSTEAD}"),
        (b'{"error": "gone"}', f"is JSON, {INSTEAD}"),
        (b"sorry", f"is no {READABLE} image."),
        (b"GIF89a", "is cut short."),
    ],
)
async def test_a_body_that_is_no_image_is_refused_whatever_its_server_calls_it(
    body: bytes, reason: str
) -> None:
    answer = Answer(body=body, headers={"Content-Type": "image/png"})
    async with stand_in(answer) as server, fetcher() as images:
        with pytest.raises(ImageUnreadable) as refused:
            await images.fetch(server.url())

    assert str(refused.value) == reason


@pytest.mark.parametrize(
    "body, coding",
    [
        (gzip.compress(PNG, mtime=0), "gzip"),
        (gzip.compress(PNG, mtime=0), "X-GZIP"),
        (gzip.compress(PNG, mtime=0), None),
        (zlib.compress(PNG), "deflate"),
        (zlib.compress(PNG)[2:-4], "deflate"),
        (PNG, "gzip"),
        (PNG, "deflate"),
        (PNG, "br"),
        (PNG, "identity"),
        (PNG, "utf-8"),
    ],
)
async def test_a_compressed_body_is_read_whatever_its_server_calls_it(
    body: bytes, coding: str | None
) -> None:
    answer = Answer(body=body, headers={"Content-Encoding": coding} if coding else {})
    async with stand_in(answer) as server, fetcher() as images:
        assert (await images.fetch(server.url())).content == PNG

    assert server.received[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "body, coding, reason",
    [
        (gzip.compress(b"\0" * 5_000_000, mtime=0), "gzip", "is larger than 10,000 bytes."),
        (zlib.compress(b"\0" * 5_000_000), "deflate", "is larger than 10,000 bytes."),
        # Its end is damaged, and nobody comes to see it.
        (
            gzip.compress(b"\0" * 5_000_000, mtime=0)[:-9] + b"x" * 9,
            "gzip",
            "is larger than 10,000 bytes.",
        ),
        (b"nothing of the kind", "deflate", "was sent compressed, and does not decompress."),
        (b"nothing of the kind", "br", f"is no {READABLE} image."),
        (gzip.compress(b"", mtime=0), "gzip", "is empty."),
    ],
)
async def test_a_compressed_body_grows_to_the_limit_and_no_further(
    body: bytes, coding: str, reason: str
) -> None:
    answer = Answer(body=body, headers={"Content-Encoding": coding})
    async with stand_in(answer) as server, fetcher() as images:
        with pytest.raises(ImageUnreadable) as unreadable:
            await images.fetch(server.url())

    assert str(unreadable.value) == reason


@pytest.mark.parametrize(
    "said", ["image/jpg", "application/octet-stream", "binary/octet-stream", "text/plain", "x"]
)
async def test_no_content_type_makes_an_image_another(said: str) -> None:
    answer = Answer(203, PNG, headers={"Content-Type": f"{said};charset=UTF-8"})
    async with stand_in(answer) as server, fetcher() as images:
        image = await images.fetch(server.url())

    assert (image.content, image.media_type) == (PNG, "image/png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
async def test_a_whole_image_is_taken_though_a_longer_one_was_announced(kind: str) -> None:
    content = picture(kind)
    async with fetcher() as images:
        async with stand_in(Answer(body=content, length=len(content) + 99)) as server:
            assert (await images.fetch(server.url())).content == content
        async with stand_in(Answer(body=content[:-1], length=len(content))) as server:
            with pytest.raises(ImageUnavailable, match="the connection broke"):
                await images.fetch(server.url())
