"""What reads bytes from outside, each as a function of any bytes: read, or refused as documented.

A target catches the refusals that are promised, and no other exception. What it reads it holds
against a rule of its own, where there is one. None waits, asks a network or keeps anything.
"""

import hmac
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import Any

import msgspec

from storecredit import telemetry
from storecredit.billing.paddle.messages import CONTENT_TYPES, Transaction
from storecredit.billing.paddle.reading import (
    MalformedEvent,
    UnreadableContent,
    about,
    keep,
    read_content,
    read_event,
    read_references,
)
from storecredit.billing.paddle.signature import Signatures
from storecredit.generation.content_coding import decoded_body
from storecredit.generation.generators.error_answers import failure_of, read_error
from storecredit.generation.image_containers import (
    bare_jpeg,
    bare_png,
    ends_whole,
    jpeg_end_probe,
    orientation,
    webp_size,
)
from storecredit.generation.image_decoding import is_large
from storecredit.generation.image_errors import ImageUnreadable
from storecredit.generation.image_forms import canonical_data_url, is_data_url, media_type_of
from storecredit.generation.image_sources import refusal
from storecredit.generation.sessions import FAILURE_TEXT_MAX
from storecredit.ledger.owner_cursors import read_cursor, written
from storecredit.operator import audit_cursors
from storecredit.settings import Settings
from storecredit.stores.api_keys import is_well_formed, key_hash
from storecredit.web.http.headers import bearer_of
from storecredit.web.http.moments import span
from storecredit.web.http.paging import seq_cursor, uuid_cursor
from storecredit.web.trpc import superjson
from storecredit.web.trpc.calls import Asked, Procedure, calls_of, inputs_of
from storecredit.web.trpc.errors import TrpcError
from storecredit.web.trpc.inputs import checked
from storecredit.web.trpc.procedures import PROCEDURES
from storecredit.web.trpc.superjson import UNDEFINED, NotSuperjson
from tests.fuzzing import seeds

ROOM_BYTES = 1000
"""What an image or an answer may grow to here."""
LONGER_THAN_A_WORD = 40


@dataclass(frozen=True, slots=True)
class Target:
    """What is called with any bytes, and inputs to begin with: ones that are read."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


def api_key(data: bytes) -> None:
    """`Authorization`, as its bytes come."""
    key = bearer_of(data.decode("latin-1"))
    if key is None:
        return
    assert len(key_hash(key)) == 32
    if is_well_formed(key):
        other = key[:-1] + ("1" if key.endswith("0") else "0")
        assert not is_well_formed(other), "a checksum tells one letter from another"


@cache
def _signatures() -> Signatures:
    given = {"paddle_webhook_secret": seeds.PADDLE_SECRET, "paddle_webhook_tolerance_seconds": 5}
    return Signatures(Settings.model_validate(given), clock=lambda: seeds.NOW)


def paddle_signature(data: bytes) -> None:
    """A line of `Paddle-Signature`, then the body."""
    line, _, body = data.partition(b"\n")
    header = line.decode("latin-1")
    if _signatures().is_authentic(body, header):
        moments = (str(seeds.NOW + seconds).encode() for seconds in range(-5, 6))
        secret = seeds.PADDLE_SECRET.encode()
        signed = (hmac.new(secret, at + b":" + body, "sha256").hexdigest() for at in moments)
        assert any(each in header for each in signed), "nobody signed it"


def paddle_event(data: bytes) -> None:
    """The body of a webhook: read, kept, and what was kept read again."""
    try:
        event = read_event(data)
        kept = keep(event)
    except (MalformedEvent, UnreadableContent):
        return
    if kept is None:
        assert event.event_type not in CONTENT_TYPES
        return
    about(event.event_type, kept)
    with suppress(UnreadableContent):
        read_references(event.event_type, kept)
    with suppress(UnreadableContent):
        content = read_content(event.event_type, kept)
        if isinstance(content, Transaction):
            _reckon(content)


def _reckon(transaction: Transaction) -> None:
    if transaction.totals is not None:
        assert transaction.paid >= 0
    for _, line in transaction.lines:
        assert line.units is not None
    assert all(transaction.markers)


def trpc_request(data: bytes) -> None:
    """How it is asked (0: one call, 1: a batch), a space, which procedures; in a line, then input.

    Each input is checked for its procedure, and each error written as it is answered.
    """
    head, _, body = data.partition(b"\n")
    batch, _, path = head.decode("latin-1").partition(" ")

    async def given() -> bytes:
        return body

    asked = Asked(
        method="POST",
        path=path,
        parameters={"batch": batch},
        request_ids=("order-1",),
        content_type="application/json",
        accept=None,
        trpc_accept=None,
        last_event_id=None,
        body=given,
    )
    try:
        calls = calls_of(asked, PROCEDURES)
        inputs = _ended(inputs_of(asked, calls))
    except (TrpcError, NotSuperjson):
        return
    for call in calls:
        error = call.target if isinstance(call.target, TrpcError) else None
        if isinstance(call.target, Procedure) and call.target.input is not None:
            try:
                checked(call.target.input, inputs.get(call.index, UNDEFINED))
            except TrpcError as refused:
                error = refused
        if error is not None:
            assert msgspec.json.encode(error.shape(call.path))


def _ended(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What comes of one that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits")


def superjson_value(data: bytes) -> None:
    """The input of one call; what it says of types is the sender's."""
    with suppress(msgspec.DecodeError, UnicodeError, RecursionError, NotSuperjson):
        superjson.deserialize(msgspec.json.decode(data))


def generator_answer(data: bytes) -> None:
    """Headers, an empty line and the body of what a generator answers in place of an image."""
    head, _, body = data.partition(b"\n\n")
    status, *lines = head.decode("latin-1").split("\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    answer = read_error({"429": 429, "500": 500, "400": 400}.get(status, 200), headers, body)
    failure = failure_of("The generator", answer)
    assert str(failure).startswith("The generator")
    assert len(answer.generator_message) <= FAILURE_TEXT_MAX
    wait = answer.asked_wait_seconds
    assert wait is None or wait >= 0


def compressed_answer(data: bytes) -> None:
    """A line with the coding that is said, then the body: it grows to the limit and no further."""
    coding, _, body = data.partition(b"\n")
    with suppress(ImageUnreadable):
        made = decoded_body(body, coding.decode("latin-1"), ROOM_BYTES)
        assert len(made) <= max(ROOM_BYTES, len(body))


def cursor(data: bytes) -> None:
    """A cursor of any list, or a moment, in a query."""
    text = data.decode("utf-8", "replace")
    for read in (seq_cursor, uuid_cursor, audit_cursors.check, span):
        with suppress(ValueError):
            read(text)
    try:
        place = read_cursor(text)
    except ValueError:
        return
    assert read_cursor(written(place)) == place


def image_url(data: bytes) -> None:
    """The URL of an image to be: `data:` or another."""
    text = data.decode("utf-8", "replace")
    refused = refusal(text, allow_private_hosts=False, max_bytes=ROOM_BYTES)
    if refused is not None and len(text) > LONGER_THAN_A_WORD:
        assert text not in refused, "no message quotes a URL"
    if is_data_url(text):
        canonical = None
        with suppress(ImageUnreadable):
            canonical = canonical_data_url(text, ROOM_BYTES)
        assert (canonical is None) == (refused is not None)
        if canonical is not None:
            assert canonical_data_url(canonical, ROOM_BYTES) == canonical


def image_header(data: bytes) -> None:
    """An image file: which it is, how large, what of it is needed. No pixel is decoded."""
    media_type = media_type_of(data)
    with suppress(ImageUnreadable):
        is_large(data)
        assert media_type is not None
    ends_whole(data)
    webp_size(data)
    orientation(data)
    jpeg_end_probe(data)
    for strip in (bare_png, bare_jpeg):
        bare, beside = strip(data)
        assert len(bare) <= len(data) + 12, "nothing is added but an end"
        orientation(beside.exif)


def silence() -> None:
    """Have nothing logged: a line to an input would be most of the work."""
    telemetry.configure("json", "critical", StringIO())


TARGETS = {
    "api_key": Target(api_key, seeds.api_keys),
    "paddle_signature": Target(paddle_signature, seeds.paddle_signatures),
    "paddle_event": Target(paddle_event, seeds.paddle_events),
    "trpc_request": Target(trpc_request, seeds.trpc_requests),
    "superjson_value": Target(superjson_value, seeds.superjson_values),
    "generator_answer": Target(generator_answer, seeds.generator_answers),
    "compressed_answer": Target(compressed_answer, seeds.compressed_answers),
    "cursor": Target(cursor, seeds.cursors),
    "image_url": Target(image_url, seeds.image_urls),
    "image_header": Target(image_header, seeds.image_headers),
}
