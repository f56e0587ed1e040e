"""`POST /api/v1/generation/create`: bad input gets its documented error and costs nothing."""

import json
import socket
from collections.abc import AsyncIterator, Mapping

import pytest

from stand_ins.http_server import Answer, Received, json_answer, stand_in
from tests.image_files import data_url, picture
from tests.web.conftest import WorkerStarter
from tests.web.doors import CREATE, IMAGE, StoreClient, data_of, error_of
from tests.web.table_rows import Rows

PNG = picture()
SECRET = "swordfish"
"""Stands where input is wrong, and must not come back in an answer."""


def body(**fields: object) -> bytes:
    return json.dumps({"image_urls": [IMAGE]} | fields).encode()


def with_urls(*urls: object) -> bytes:
    return body(image_urls=urls)


def raw(field: bytes) -> bytes:
    """A valid body but for one more field, as it stands on the wire."""
    return b'{"image_urls":["' + IMAGE.encode() + b'"],' + field + b"}"


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.fixture
async def nothing_lost(store: StoreClient, rows: Rows) -> AsyncIterator[None]:
    """Whatever the test sends: no row of any table comes or goes, the balance stays."""
    before = await rows.counts()
    yield
    assert await rows.counts() == before
    assert (await rows.credits(store.store_id))["balance"] == 100


NO_BODY_OF_THIS_KIND: Mapping[str, bytes] = {
    "nothing": b"",
    "blank": b"  \n",
    "cut off": b'{"image_urls": [',
    "not JSON": b"image_urls=" + IMAGE.encode(),
    "two documents": body() + body(),
    "a byte order mark": b"\xef\xbb\xbf" + body(),
    "UTF-16": body().decode().encode("utf-16"),
    "an array": b"[]",
    "null": b"null",
    "a string": b'"swordfish"',
    "single quotes": body().replace(b'"', b"'"),
    "NaN": raw(b'"x":NaN'),
    "a number without end": raw(b'"x":' + b"9" * 100_000),
    "broken UTF-8": raw(b'"prompt":"swordfish\xff\xfe"'),
    "broken UTF-8 in a key": raw(b'"\xffswordfish":"a"'),
    "a surrogate in UTF-8": raw(b'"prompt":"\xed\xa0\x80"'),
    "a lone surrogate": raw(b'"prompt":"swordfish\\ud800"'),
    "a lone surrogate before text": raw(b'"prompt":"\\ud800swordfish"'),
    "a lone surrogate in metadata": raw(b'"metadata":{"\\udc00":"a"}'),
    "a raw NUL": raw(b'"prompt":"\x00"'),
    "nested 500 deep in a known field": b'{"image_urls":' + nested(500) + b"}",
    "nested 100,000 deep in a known field": b'{"image_urls":' + nested(100_000) + b"}",
    "nested 100,000 deep in an unknown field": raw(b'"x":' + nested(100_000)),
    "objects nested 100,000 deep": raw(b'"metadata":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
}


@pytest.mark.usefixtures("nothing_lost")
async def test_a_body_that_cannot_be_read_is_refused(store: StoreClient) -> None:
    for name, content in NO_BODY_OF_THIS_KIND.items():
        answer = await store.create_raw(content)
        assert answer.status_code == 400, f"{name}: {answer.text}"
        error = error_of(answer, 400, "VALIDATION_ERROR")
        assert error["message"].endswith("Nothing was charged or changed."), name
        [detail] = error["details"]
        assert detail["source"] == "body", name
        assert detail["message"].endswith("."), name
        assert SECRET not in answer.text, name


FORM = b"image_urls=swordfish"
PARTS = b'--swordfish\r\nContent-Disposition: form-data; name="image"\r\n\r\n\xff\xd8\r\n'
NO_JSON: Mapping[str, tuple[str, bytes, str]] = {
    "a form": ("application/x-www-form-urlencoded", FORM, "application/x-www-form-urlencoded"),
    "files": ("Multipart/Form-Data; boundary=swordfish", PARTS, "multipart/form-data"),
    "a text": ("text/plain", b"\xffswordfish", "text/plain"),
    "a picture": ("image/png", PNG, "image/png"),
}


@pytest.mark.usefixtures("nothing_lost")
async def test_a_form_or_file_is_told_by_its_media_type(store: StoreClient) -> None:
    for name, (content_type, content, told) in NO_JSON.items():
        answer = await store.create_raw(content, content_type=content_type)
        error = error_of(answer, 400, "VALIDATION_ERROR")
        said = f"The body is {told}; send JSON, with images as URLs or data: URLs."
        assert error["message"] == f"{said} Nothing was charged or changed.", name
        assert error["details"] == [{"source": "body", "message": said}], name
        assert SECRET not in answer.text, name


@pytest.mark.usefixtures("nothing_lost")
async def test_a_media_type_that_nobody_knows_is_not_repeated(store: StoreClient) -> None:
    answer = await store.create_raw(FORM, content_type="application/swordfish")
    [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
    assert detail["message"].startswith("JSON is malformed")
    assert SECRET not in answer.text


@pytest.mark.usefixtures("nothing_lost")
async def test_broken_json_that_curl_calls_a_form_is_told_as_json(store: StoreClient) -> None:
    answer = await store.create_raw(
        b' {"image_urls": [}', content_type="application/x-www-form-urlencoded"
    )
    [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
    assert detail["message"].startswith("JSON is malformed")


WRONG_FIELDS: Mapping[str, tuple[bytes, str]] = {
    "no image_urls": (b"{}", "image_urls"),
    "image_urls null": (body(image_urls=None), "image_urls"),
    "image_urls a string": (body(image_urls=IMAGE), "image_urls"),
    "image_urls an object": (body(image_urls={"0": IMAGE}), "image_urls"),
    "no image": (with_urls(), "image_urls"),
    "11 images": (with_urls(*[IMAGE] * 11), "image_urls"),
    "an image that is a number": (with_urls(IMAGE, 7), "image_urls[1]"),
    "an image that is null": (with_urls(None), "image_urls[0]"),
    "a prompt of 4,001 characters": (body(prompt="p" * 4001), "prompt"),
    "a prompt that is a number": (body(prompt=7), "prompt"),
    "a prompt that is a list": (body(prompt=[SECRET]), "prompt"),
    "metadata of 21 entries": (body(metadata={str(n): "" for n in range(21)}), "metadata"),
    "metadata that is a list": (body(metadata=[SECRET]), "metadata"),
    "metadata with a number": (body(metadata={SECRET: 7}), "metadata[...]"),
    "metadata with null": (body(metadata={SECRET: None}), "metadata[...]"),
    "metadata with an object": (body(metadata={SECRET: {}}), "metadata[...]"),
    "metadata with a long string": (body(metadata={"a": "v" * 501}), "metadata[...]"),
    "metadata with a long name": (body(metadata={"k" * 501: ""}), "metadata"),
}


@pytest.mark.usefixtures("nothing_lost")
async def test_a_wrong_field_is_named_and_its_value_not_repeated(store: StoreClient) -> None:
    for name, (content, key) in WRONG_FIELDS.items():
        answer = await store.create_raw(content)
        assert answer.status_code == 400, f"{name}: {answer.text}"
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert detail.get("key", "") == key, name
        assert detail["source"] == "body", name
        assert detail["message"], name
        assert SECRET not in answer.text, name


async def test_the_missing_field_is_named(store: StoreClient) -> None:
    [detail] = error_of(await store.create_raw(b"{}"), 400, "VALIDATION_ERROR")["details"]
    assert "image_urls" in detail["message"]


async def test_of_a_field_that_stands_twice_the_last_counts(store: StoreClient) -> None:
    twice = b'{"image_urls":["ftp://swordfish"],"image_urls":["' + IMAGE.encode() + b'"]}'
    data_of(await store.create_raw(twice), 201)
    twice = b'{"image_urls":["' + IMAGE.encode() + b'"],"image_urls":["ftp://swordfish"]}'
    error_of(await store.create_raw(twice), 400, "VALIDATION_ERROR")
    assert await store.balance() == 99


async def test_the_content_type_decides_nothing(store: StoreClient) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await store.create_raw(body(), content_type=content_type)
        data_of(answer, 201)


URLS_REFUSED: Mapping[str, str] = {
    "another scheme": "ftp://images.example/swordfish.png",
    "a file": "file:///etc/passwd",
    "no scheme": "images.example/swordfish.png",
    "no host": "https:///swordfish.png",
    "nothing": "",
    "a password": "https://user:swordfish@images.example/a.png",
    "a space": "https://images.example/sword fish",
    "a line break": "https://images.example/\r\nswordfish: 1",
    "a NUL": "https://images.example/\0",
    "a backslash": "https://images.example\\@127.0.0.1/",
    "too long": "https://images.example/" + "a" * 8192,
    "port 0": "https://images.example:0/",
    "port 99999": "https://images.example:99999/",
    "loopback": "http://127.0.0.1/swordfish",
    "loopback by name": "http://localhost:8080/swordfish",
    "loopback by a name below": "http://a.localhost/",
    "loopback by name and dot": "http://LOCALHOST./",
    "loopback of IPv6": "http://[::1]/",
    "loopback mapped to IPv6": "http://[::ffff:127.0.0.1]/",
    "loopback as one number": "http://2130706433/",
    "loopback in hexadecimal": "http://0x7f.1/",
    "loopback in octal": "http://0177.0.0.1/",
    "loopback in wide digits": "http://\uff11\uff12\uff17.0.0.1/",
    "unspecified": "http://0.0.0.0/",
    "private 10": "http://10.0.0.1/",
    "private 172.16": "https://172.16.5.4/",
    "private 192.168": "https://192.168.1.1/",
    "private of IPv6": "http://[fd00::1]/",
    "link-local, where clouds keep credentials": "http://169.254.169.254/latest/meta-data/",
    "link-local of IPv6": "http://[fe80::1]/",
    "shared": "http://100.64.0.1/",
    "multicast": "http://224.0.0.1/",
    "a type that is no image": "data:text/html;base64,PGI+",
    "an image of another form": data_url(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40),
    "no comma": "data:image/png;base64",
    "no base64": "data:image/png,swordfish",
    "bad base64": "data:image/png;base64,sword!fish",
    "base64 cut off": "data:image/png;base64,iVBORw0KGgo",
    "no image": "data:image/png;base64,c3dvcmRmaXNo",
    "an empty image": "data:image/png;base64,",
}
URLS_TAKEN: Mapping[str, str] = {
    "a JPEG that says PNG": data_url(picture("JPEG"), "png"),
    "a PNG that says jpg": data_url(picture("PNG"), "jpg"),
    "a GIF": data_url(picture("GIF"), "gif"),
    "a parameter": data_url(PNG).replace(";base64", ";name=a%20hat.png;base64"),
    "lines": data_url(PNG).replace("A", "A\r\n"),
    "no padding": data_url(PNG + b"\0" * (-len(PNG) % 3 + 1)).rstrip("="),
}


@pytest.mark.usefixtures("nothing_lost")
async def test_an_image_that_cannot_be_used_is_named_by_its_place(store: StoreClient) -> None:
    for name, url in URLS_REFUSED.items():
        answer = await store.create_raw(with_urls(IMAGE, url))
        assert answer.status_code == 400, f"{name}: {answer.text}"
        error = error_of(answer, 400, "VALIDATION_ERROR")
        assert "Nothing was charged" in error["message"]
        [detail] = error["details"]
        assert detail["key"] == "image_urls[1]", name
        assert SECRET not in answer.text, name


async def test_an_image_is_taken_as_people_have_it(store: StoreClient) -> None:
    assert URLS_TAKEN["no padding"] not in data_url(PNG)
    for url in URLS_TAKEN.values():
        data_of(await store.create_raw(with_urls(url)), 201)


@pytest.mark.usefixtures("nothing_lost")
async def test_every_image_that_cannot_be_used_is_named(store: StoreClient) -> None:
    answer = await store.create(image_urls=["ftp://a", IMAGE, "http://10.0.0.1/"])
    details = error_of(answer, 400, "VALIDATION_ERROR")["details"]
    assert [detail["key"] for detail in details] == ["image_urls[0]", "image_urls[2]"]


@pytest.mark.usefixtures("nothing_lost")
async def test_a_body_of_five_megabytes_is_too_large(store: StoreClient) -> None:
    answer = await store.create_raw(body(prompt="p" * 5_000_000))
    error = error_of(answer, 413, "PAYLOAD_TOO_LARGE")
    assert error["message"] == (
        "The body is larger than 4,194,304 bytes. Nothing was charged: send a large image by its "
        "https URL, or make it smaller."
    )


async def test_a_body_at_the_limit_is_read(store: StoreClient) -> None:
    content = body()
    content += b" " * (4 * 1024 * 1024 - len(content))
    data_of(await store.create_raw(content), 201)
    error_of(await store.create_raw(content + b" "), 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.usefixtures("nothing_lost")
async def test_absurd_headers_are_refused(store: StoreClient) -> None:
    for name, value in {
        "X-Request-Id": "",
        "Idempotency-Key": '""',
        "Host": "bad host",
        "Content-Length": "many",
    }.items():
        answer = await store.send("POST", CREATE, content=body(), headers={name: value})
        assert answer.status_code == 400, f"{name}: {answer.text}"
        error_of(answer, 400, "VALIDATION_ERROR")


async def test_an_image_whose_name_leads_to_a_private_address_fails_and_is_refunded(
    store: StoreClient, worker: WorkerStarter, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The world outside is the name service: it answers with loopback."""
    asked = []

    def resolve(host: str, port: int, *_: object, **__: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    session_id = await store.created("order-1", image_urls=["http://images.example/a.png"])
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with stand_in(Answer(body=picture())) as outside, worker():
        ended = await store.ended(session_id)
    assert asked == ["images.example"]
    assert outside.received == []
    assert_refunded(ended, "IMAGE_UNREACHABLE", "Image 1 points to a private or local address.")
    assert await rows.ledger(store.store_id, "refund") != []
    assert await store.balance() == 100


async def test_a_redirect_to_a_private_address_fails_and_is_refunded(
    store: StoreClient, worker: WorkerStarter, rows: Rows
) -> None:
    """Only the generator's own host may be private; what it redirects to may not."""

    def answer(request: Received) -> Answer:
        if request.method == "POST":
            return json_answer({"image_url": outside.url("/result.png")})
        return Answer(302, headers={"Location": outside.url("/secret", host="127.0.0.2")})

    session_id = await store.created("order-1")
    async with (
        stand_in(answer) as outside,
        worker(generator="http", generator_url=outside.url()),
    ):
        ended = await store.ended(session_id)
    assert [request.path for request in outside.received] == ["/", "/result.png"]
    assert_refunded(
        ended, "GENERATION_FAILED", "The generator's image points to a private or local address."
    )
    assert await rows.ledger(store.store_id, "refund") != []
    assert await store.balance() == 100


def assert_refunded(generation: dict[str, object], code: str, message: str) -> None:
    assert generation["status"] == "failed"
    assert generation["error_code"] == code
    assert generation["error_message"] == message
    assert generation["credits_refunded"] == 1
