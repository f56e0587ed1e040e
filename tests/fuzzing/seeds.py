"""Inputs to begin with: each of them is read. None is kept as a file; all are made here."""

import gzip
import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from stand_ins.paddle.webhooks import sign
from storecredit.ledger.owner_cursors import ByBalance, ByName, written
from storecredit.stores.api_keys import IMPORTED_PREFIX, new_key
from tests.image_files import (
    data_url,
    halves,
    jpeg_segment,
    jpeg_with,
    picture,
    png_chunk,
    png_that_declares,
    png_with,
    saved,
    webp_that_declares,
)

NOW = 1_700_000_000
PADDLE_SECRET = "pdl_ntfset_not_a_real_one"
ID = UUID("0192f000-0000-7000-8000-000000000001")
AT = "2026-01-02T03:04:05.678Z"
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"


def api_keys() -> Sequence[bytes]:
    drawn = [new_key(drawn=bytes([place]) * 32) for place in range(3)]
    return [f"Bearer {key}".encode() for key in (*drawn, f"{IMPORTED_PREFIX}0123456789abcdef")]


def paddle_signatures() -> Sequence[bytes]:
    bodies = (b"{}", '{"name":"Zoë"}'.encode())
    secrets = ((PADDLE_SECRET,), ("the new one", PADDLE_SECRET))
    return [
        sign(body, *signers, at=NOW).encode() + b"\n" + body
        for body in bodies
        for signers in secrets
    ]


def paddle_events() -> Sequence[bytes]:
    claims = {"checkout_id": str(ID), "store_id": str(ID), "credits": "100", "request_id": "a"}
    period = {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-02-01T00:00:00+05:30"}
    totals = {"subtotal": "1800", "discount": "300", "total": "1500"}
    item = {
        "price": {
            "id": "pri_1",
            "unit_price": {"amount": "1800", "currency_code": "USD"},
            "billing_cycle": {"interval": "month", "frequency": 1},
            "custom_data": {"storecredit_charge": "overage:0192f000-1"},
        },
        "quantity": 1,
    }
    line = {"price_id": "pri_1", "quantity": -1, "proration": {"rate": "0.5"}, "totals": totals}
    entities = {
        "transaction.completed": {
            "id": "txn_1",
            "origin": "api",
            "currency_code": "usd",
            "billed_at": AT,
            "details": {"totals": totals, "line_items": [line]},
            "custom_data": claims,
            "billing_period": period,
            "items": [item],
        },
        "subscription.updated": {
            "id": "sub_1",
            "status": "active",
            "current_billing_period": period,
            "items": [item],
        },
        "adjustment.created": {
            "id": "adj_1",
            "action": "refund",
            "status": "approved",
            "transaction_id": "txn_1",
            "currency_code": "USD",
            "totals": totals,
        },
        "customer.created": {"id": "ctm_1"},
    }
    return [
        _json({"event_id": "evt_1", "event_type": type_, "occurred_at": AT, "data": entity})
        for type_, entity in entities.items()
    ]


def superjson_values() -> Sequence[bytes]:
    return [
        _json({"json": {"a": AT, "b": None}, "meta": {"values": {"a": ["Date"]}, "v": 1}}),
        _json({"json": {"a": [AT]}, "meta": {"values": {"a": ["set", {"0": ["Date"]}]}}}),
        _json({"json": "-0", "meta": {"values": ["number"], "v": 1}}),
        _json(
            {"json": {"a": {"b": 1}, "c": None}, "meta": {"referentialEqualities": {"a": ["c"]}}}
        ),
        _json({"json": {"a.b": 1, "c": [1]}, "meta": {"values": {"a\\.b": ["bigint"]}, "v": 1}}),
    ]


def trpc_requests() -> Sequence[bytes]:
    created = {"modelImageUrl": "https://a.example/a", "outfitImageUrl": data_url(picture())}
    inputs: dict[str, dict[str, object]] = {
        "generation.create": created
        | {"accessories": [{"type": "hat", "url": "https://a.example"}]},
        "generation.getById": {"sessionId": str(ID), "wait": 1},
        "generation.getHistory": {"limit": 1, "offset": 0, "status": "queued"},
        "credits.getTransactions": {"limit": 1, "offset": 0},
        "credits.purchase": {"packId": "small"},
    }
    alone = [f"0 {path}\n".encode() + _json({"json": each}) for path, each in inputs.items()]
    batch = {str(place): {"json": each} for place, each in enumerate(list(inputs.values())[1:4])}
    paths = ",".join(list(inputs)[1:4])
    return [*alone, f"1 {paths}\n".encode() + _json(batch), b"1 credits.getBalance,%41\n{}"]


def generator_answers() -> Sequence[bytes]:
    bodies = {
        "429\nretry-after: 3\nretry-after-ms: 250\nx-ratelimit-remaining-requests: 0"
        "\nx-ratelimit-reset-requests: 1m30s": {
            "error": {"code": "rate_limit_exceeded", "message": "Please try again in 1.5s."}
        },
        "400": {"error": {"type": "image_generation_user_error", "message": "safety system"}},
        "500\nretry-after: Wed, 21 Oct 2026 07:28:00 GMT\ndate: Wed, 21 Oct 2026 07:27:00 GMT": {
            "detail": [{"msg": "litellm.BadRequestError: OpenAIException - no", "type": "x"}]
        },
        "200": {"candidates": [{"finishReason": "SAFETY"}], "promptFeedback": {"blockReason": "X"}},
        "402": {"error": {"details": [{"retryDelay": "3.5s"}], "status": "RESOURCE_EXHAUSTED"}},
    }
    return [head.encode() + b"\n\n" + _json(body) for head, body in bodies.items()]


def compressed_answers() -> Sequence[bytes]:
    small, large = b"x" * 100, b"x" * 100_000
    bare = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return [
        b"gzip\n" + gzip.compress(small, mtime=0),
        b"gzip\n" + gzip.compress(large, mtime=0),
        b"deflate\n" + zlib.compress(small),
        b"deflate\n" + bare.compress(small) + bare.flush(),
        b"identity\n" + small,
    ]


def cursors() -> Sequence[bytes]:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    places = (written(ByName(ID, "Zoë")), written(ByBalance(ID, 5, at)), str(ID), "123", "1.2.3")
    moments = ("2026-11-29", "2026-11-29T10:30:00.5+05:30", "1795948200.5", "2026-11-29 24:00 UTC")
    return [text.encode() for text in (*places, *moments)]


def image_urls() -> Sequence[bytes]:
    png = picture(size=(1, 1))
    urls = (
        data_url(png),
        data_url(png).replace(";base64", ";a=b; BASE64").replace("+", "-").replace("/", "_"),
        "data:," + "".join(f"%{byte:02x}" for byte in png),
        "https://a.example/a.png",
        "http://user@10.0.0.1:80/a",
        "https://[::ffff:10.0.0.1]/a",
        "https://bücher.example/ä?b#c",
        "http://0x7f.1/",
    )
    return [url.encode() for url in urls]


def image_headers() -> Sequence[bytes]:
    """Of forms whose header Pillow reads in Python: what native code makes of bytes is not ours."""
    return [
        picture(),
        png_that_declares((60_000, 60_000)),
        png_with(png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"x" * 1000))),
        png_with(png_chunk(b"eXIf", EXIF[6:])),
        picture("JPEG"),
        jpeg_with(jpeg_segment(0xE1, EXIF)),
        jpeg_with(jpeg_segment(0xE2, b"ICC_PROFILE\0\x01\x01" + b"x" * 20)),
        picture("JPEG")[:-2],
        saved(halves(), "GIF"),
        picture("BMP"),
        webp_that_declares((16_000, 16_000)),
    ]


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
