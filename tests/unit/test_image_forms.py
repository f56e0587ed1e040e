"""What the bytes of an image show, and every spelling of a `data:` URL."""

from base64 import b64encode, encodebytes, urlsafe_b64encode
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storecredit.generation.image_forms import (
    READABLE,
    canonical_data_url,
    decode_base64,
    decode_data_url,
    media_type_of,
)
from storecredit.generation.image_sources import refusal
from tests.image_files import KINDS, data_url, halves, noise, saved

MAX_BYTES = 10_000
PNG = noise((50, 50))
BASE64 = b64encode(PNG).decode()


def reason(url: str) -> str | None:
    return refusal(url, allow_private_hosts=False, max_bytes=MAX_BYTES)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_show_each_form_that_is_read(kind: str) -> None:
    content = saved(halves(), kind)

    assert media_type_of(content) == KINDS[kind]
    assert reason(data_url(content, "png")) is None
    assert decode_data_url(data_url(content, "png"), MAX_BYTES).media_type == KINDS[kind]


def test_a_picture_that_moves_is_read_too() -> None:
    frames = [halves(), halves().rotate(180)]
    for kind in ("GIF", "WEBP", "PNG", "AVIF"):
        content = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert media_type_of(content) == KINDS[kind]


@pytest.mark.parametrize(
    "head",
    [
        "data:image/png;base64",
        "DATA:Image/PNG;BASE64",
        "data:image/jpg;base64",
        "data:image/jpeg;base64",
        "data:image/png;charset=utf-8;base64",
        "data:image/png;name=a%20hat.png;base64",
        "data:image/png; charset=utf-8 ; base64 ",
        "data:application/octet-stream;base64",
        "data:text/html;base64",
        "data:;base64",
    ],
)
def test_the_bytes_decide_whatever_is_said_before_them(head: str) -> None:
    image = decode_data_url(f"{head},{BASE64}", MAX_BYTES)

    assert (image.content, image.media_type) == (PNG, "image/png")
    assert reason(f"{head},{BASE64}") is None


@pytest.mark.parametrize(
    "payload",
    [
        encodebytes(PNG).decode(),
        encodebytes(PNG).decode().replace("\n", "\r\n"),
        quote(encodebytes(PNG).decode(), safe=""),
        BASE64.replace("A", "A "),
        BASE64.rstrip("="),
        quote(BASE64, safe=""),
        BASE64 + "\n",
        urlsafe_b64encode(PNG).decode(),
        urlsafe_b64encode(PNG).decode().rstrip("="),
        BASE64 + "#top",
    ],
    ids=[
        "lines",
        "lines of Windows",
        "lines, escaped",
        "spaces",
        "no padding",
        "escaped",
        "a last line",
        "URL-safe",
        "URL-safe, no padding",
        "fragment",
    ],
)
def test_base64_is_read_in_every_spelling(payload: str) -> None:
    assert {"+", "/", "="} < set(BASE64)
    url = f"data:image/png;base64,{payload}"

    assert reason(url) is None
    assert decode_data_url(url, MAX_BYTES).content == PNG
    assert canonical_data_url(url, MAX_BYTES) == f"data:image/png;base64,{BASE64}"


def test_a_data_url_need_not_be_base64() -> None:
    url = f"data:image/png,{quote_from_bytes(PNG)}"

    assert reason(url) is None
    assert decode_data_url(url, MAX_BYTES).content == PNG


@given(st.binary(max_size=60), st.integers(1, 20))
def test_base64_broken_anywhere_gives_the_same_bytes(content: bytes, width: int) -> None:
    text = b64encode(content).decode()
    lines = "\n".join(text[at : at + width] for at in range(0, len(text), width))

    assert decode_base64(lines, 60) == decode_base64(lines.rstrip("="), 60) == content


CUT_OFF = "data:image/png;base64,iVBORw0KGgo"


@pytest.mark.parametrize(
    "url, why",
    [
        ("data:", "is a data: URL without a comma, and so without an image."),
        ("data:image/png;base64", "is a data: URL without a comma, and so without an image."),
        ("data:image/png;base64,", "is empty."),
        ("data:image/png,", "is empty."),
        ("data:image/png,abc", f"is no {READABLE} image."),
        ("data:image/png;base64,%%%%", "is not valid base64."),
        ("data:image/png;base64,iVBOR", "is not valid base64."),
        ("data:image/png;base64,iVBO=Rw0K", "is not valid base64."),
        ("data:image/png;base64,iVBO!w0K", "is not valid base64."),
        ("data:image/png;base64,üüüü", "is not valid base64."),
        ("data:image/png;base64,\ud800aaa", "is not valid base64."),
        ("data:image/png;base64,%41\ud800aa", "is not a valid URL."),
        (CUT_OFF, "is cut short."),
        (data_url(noise((70, 70))), "is larger than 10,000 bytes."),
        (data_url(PNG.ljust(MAX_BYTES + 1, b"\0")), "is larger than 10,000 bytes."),
        ("data:image/png," + quote_from_bytes(PNG + b"x" * 9999), "is larger than 10,000 bytes."),
    ],
)
def test_what_is_no_image_is_refused_with_its_reason(url: str, why: str) -> None:
    assert reason(url) == why


def test_a_data_url_of_exactly_the_largest_size_is_acceptable() -> None:
    assert reason(data_url(PNG.ljust(MAX_BYTES, b"\0"))) is None
    lines = encodebytes(PNG.ljust(MAX_BYTES, b"\0")).decode()
    assert reason(f"data:image/png;base64,{lines}") is None


@pytest.mark.parametrize(
    "content, found",
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40, "an HEIC image"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + b"\0" * 40, "an HEIC image"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 40, "a video"),
        (saved(halves(), "TIFF"), "a TIFF image"),
        (saved(halves(), "ICO"), "an icon"),
        (saved(halves(), "JPEG2000"), "a JPEG 2000 image"),
        (b"\xff\x0a" + b"\0" * 40, "a JPEG XL image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg width='1'></svg>", "an SVG drawing"),
        (b"<!DOCTYPE html><title>Not found</title>", "a page of HTML or XML"),
        (b"\n <HTML>", "a page of HTML or XML"),
        (b'{"error": "expired"}', "JSON"),
        (b"%PDF-1.7", "a PDF"),
        (b"8BPS\0\1", "a Photoshop file"),
        (b"PK\x03\x04", "a ZIP file"),
    ],
)
def test_another_form_is_refused_by_its_name(content: bytes, found: str) -> None:
    why = f"is {found}, which cannot be read: send a {READABLE} image."

    assert reason(data_url(content, "png")) == why


@pytest.mark.parametrize(
    "content", [b"RIFF\0\0\0\0WAVE", b"BM is how a text may begin", b"\xff\xd8", b"x" * 99]
)
def test_what_is_unknown_is_told_what_could_be_sent(content: bytes) -> None:
    assert reason(data_url(content, "png")) == f"is no {READABLE} image."


@given(st.binary(max_size=80))
def test_no_bytes_whatever_break_the_look_at_them(content: bytes) -> None:
    why = reason(data_url(content))

    assert why is None or why.endswith(".")
