"""Buckets: how they are written, and what is told when one cannot be used."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

import obstore
import pytest

from stand_ins.http_server import Answer, StandIn, stand_in
from stand_ins.s3 import BUCKET, S3, SECRET_KEY
from storecredit.object_storage.addresses import BucketAddress
from storecredit.object_storage.bucket import OpenBucket
from storecredit.object_storage.errors import BucketUnusable

ODD_PREFIXES = [
    "a b",
    "a+b",
    "a%20b",
    "ü/é/☃",
    "a'b\"c",
    "a#b?c",
    "~x",
    "a=b&c,d;e@f$g:h",
    "(x)!*{y}[z]",
    "a\\b",
    "...",
    "s3:",
]


@pytest.mark.parametrize(
    "text, bucket, prefix",
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-1/a/b/", "my.bucket-1", "a/b"),
        *((f"s3://bucket/{prefix}", "bucket", prefix) for prefix in ODD_PREFIXES),
    ],
)
def test_an_address_is_taken_letter_by_letter(text: str, bucket: str, prefix: str) -> None:
    assert BucketAddress.read(text) == BucketAddress(bucket, prefix)
    assert BucketAddress.read(str(BucketAddress(bucket, prefix))) == BucketAddress(bucket, prefix)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bucket/prefix",
        "/var/results",
        "https://bucket/prefix",
        "s3:bucket",
        "s3://",
        "s3:///prefix",
        "s3://b",
        "s3://key:secret@bucket/prefix",
        "s3://bucket:9000/prefix",
        "s3://bucket//prefix",
        "s3://bucket/a//b",
        "s3://bucket/./b",
        "s3://bucket/a/../b",
        "s3://bucket/a\nb",
        "s3://bucket/a\0b",
        f"s3://bucket/{'p' * 513}",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(it is|the prefix is) "):
        BucketAddress.read(text)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandIn]:
    async with stand_in(S3()) as server:
        for name, value in S3.variables(server.url("")).items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.mark.parametrize("prefix", ODD_PREFIXES)
async def test_objects_lie_below_the_prefix_as_it_is_written(server: StandIn, prefix: str) -> None:
    s3 = S3()
    server.handler = s3
    bucket = OpenBucket(f"s3://{BUCKET}/{prefix}")
    assert bucket.url == f"s3://{BUCKET}/{prefix}"
    await obstore.put_async(bucket.store, "a/b.png", b"content")
    assert s3.objects == {f"{prefix}/a/b.png": b"content"}
    read = await (await obstore.get_async(bucket.store, "a/b.png")).bytes_async()
    assert bytes(read) == b"content"


def refusal(status: HTTPStatus, code: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>of {SECRET_KEY}</Message></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})


@pytest.mark.parametrize(
    "answer, said",
    [
        (refusal(HTTPStatus.FORBIDDEN, "AccessDenied"), "the credentials do not allow it"),
        (refusal(HTTPStatus.FORBIDDEN, "InvalidAccessKeyId"), "AWS_ACCESS_KEY_ID is not known"),
        (refusal(HTTPStatus.FORBIDDEN, "SignatureDoesNotMatch"), "AWS_SECRET_ACCESS_KEY is not"),
        (refusal(HTTPStatus.NOT_FOUND, "NoSuchBucket"), "there is no such bucket"),
        (refusal(HTTPStatus.BAD_REQUEST, "ExpiredToken"), "the credentials have expired"),
        (
            refusal(HTTPStatus.BAD_REQUEST, "AuthorizationHeaderMalformed"),
            "it is in another region",
        ),
        (refusal(HTTPStatus.FORBIDDEN, "RequestTimeTooSkewed"), "this machine's clock is wrong"),
        (
            refusal(HTTPStatus.SERVICE_UNAVAILABLE, "SlowDown"),
            r"it answers 503 Service Unavailable \(SlowDown\)",
        ),
        (Answer(507), "it answers 507 Insufficient Storage"),
        (Answer(403, b"<html>"), "it answers 403 Forbidden"),
        (Answer(break_off=True), "it breaks the connection off"),
        (Answer(length=5, hang=True, headers={"ETag": '"e"'}), "it does not answer in time"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_fails_is_a_sentence_without_names_and_keys(
    server: StandIn, answer: Answer, said: str
) -> None:
    server.handler = lambda _: answer
    # A busy machine may take a second for an answer.
    patience = 1 if answer.hang else 60
    bucket = OpenBucket(f"s3://{BUCKET}/prefix", request_seconds=patience, retry_seconds=1)
    with pytest.raises(BucketUnusable, match=f": {said}.*\\.$") as failed, bucket.told():
        await obstore.delete_async(bucket.store, ["whose/which.png"])
    told = str(failed.value)
    assert told.startswith(f"s3://{BUCKET}/prefix cannot be used: ")
    for secret in (SECRET_KEY, "AKIA", "which.png", "whose", "http://", "\n"):
        assert secret not in told


async def test_who_is_not_there_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stand_in(S3()) as server:
        for name, value in S3.variables(server.url("")).items():
            monkeypatch.setenv(name, value)
    bucket = OpenBucket(f"s3://{BUCKET}", retry_seconds=0.1)
    with pytest.raises(BucketUnusable, match=r": it cannot be reached\.$"), bucket.told():
        await obstore.put_async(bucket.store, "a.png", b"")


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://s3.example", "http://", "http://["])
def test_an_endpoint_that_is_none_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(BucketUnusable, match="AWS_ENDPOINT_URL is no address"):
        OpenBucket(f"s3://{BUCKET}")


async def test_what_is_no_failure_of_the_bucket_stays_what_it_is(server: StandIn) -> None:
    bucket = await asyncio.to_thread(OpenBucket, f"s3://{BUCKET}")
    with pytest.raises(ZeroDivisionError), bucket.told():
        raise ZeroDivisionError
