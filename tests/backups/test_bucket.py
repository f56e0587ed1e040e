"""Backups in S3: put, listed, brought back, deleted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stand_ins.http_server import Received, StandIn, stand_in
from stand_ins.s3 import BUCKET, S3
from storecredit.backups.bucket import Bucket
from storecredit.backups.names import PlaceUnusable

URL = f"s3://{BUCKET}/shop/daily"
OLD = "storecredit-20260101T000000.000Z"


@pytest.fixture
def s3() -> S3:
    return S3()


@pytest.fixture
async def server(s3: S3, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandIn]:
    async with stand_in(s3) as server:
        for name, value in S3.variables(server.url("")).items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
async def bucket(server: StandIn) -> Bucket:
    return await asyncio.to_thread(Bucket, URL)


async def publish(bucket: Bucket, backup: Path, name: str) -> str:
    return await asyncio.to_thread(bucket.publish, backup, name)


async def test_a_backup_is_put_with_its_manifest_last_and_brought_back_as_it_was(
    bucket: Bucket, server: StandIn, s3: S3, backup: Path, tmp_path: Path
) -> None:
    assert await publish(bucket, backup, backup.name) == f"{URL}/{backup.name}"
    stored = dict(s3.objects)
    files = {path for path in backup.rglob("*") if path.is_file()}
    assert stored == {
        f"shop/daily/{backup.name}/{path.relative_to(backup)}": path.read_bytes() for path in files
    }
    puts = [each.path for each in server.received if each.method == "PUT"]
    assert [path.endswith("/manifest.json") for path in puts] == [False] * (len(puts) - 1) + [True]

    # A neighbour's objects, and what was cut off, are no backups.
    s3.objects["shop/daily/notes.txt"] = b"mine"
    s3.objects[f"shop/dailyx/{OLD}/manifest.json"] = b"{}"
    s3.objects[f"shop/daily/{OLD}/signing.key"] = b"cut off"
    assert await asyncio.to_thread(bucket.names) == [backup.name]

    brought = await asyncio.to_thread(bucket.fetch, backup.name, tmp_path / "room")
    for path in files:
        assert (brought / path.relative_to(backup)).read_bytes() == path.read_bytes()


async def test_a_large_file_goes_in_parts(bucket: Bucket, s3: S3, tmp_path: Path) -> None:
    content = bytes(range(256)) * 60_000
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft" / "manifest.json").write_bytes(content)
    await publish(bucket, tmp_path / "draft", OLD)
    assert s3.objects[f"shop/daily/{OLD}/manifest.json"] == content
    room = tmp_path / "room"
    brought = await asyncio.to_thread(bucket.fetch, OLD, room)
    assert (brought / "manifest.json").read_bytes() == content


async def test_what_fails_half_way_is_no_backup_and_is_removed_later(
    bucket: Bucket, s3: S3, backup: Path
) -> None:
    def is_manifest(request: Received) -> bool:
        return request.method == "PUT" and request.path.endswith("/manifest.json")

    s3.refuse = is_manifest
    with pytest.raises(PlaceUnusable, match=f"^{URL} cannot be used: "):
        await publish(bucket, backup, OLD)
    assert s3.objects
    assert await asyncio.to_thread(bucket.names) == []

    def draft() -> None:
        with bucket.draft():
            pass

    await asyncio.to_thread(draft)
    assert s3.objects == {}


async def test_a_deleted_backup_is_none_from_the_first_moment_on(
    bucket: Bucket, server: StandIn, s3: S3, backup: Path
) -> None:
    await publish(bucket, backup, OLD)
    await publish(bucket, backup, backup.name)
    server.received.clear()
    await asyncio.to_thread(bucket.delete, OLD)
    first = next(each for each in server.received if each.method == "POST")
    assert b"manifest.json" in first.body
    assert await asyncio.to_thread(bucket.names) == [backup.name]
    assert {key.split("/")[2] for key in s3.objects} == {backup.name}


async def test_missing_credentials_are_told_as_such(
    monkeypatch: pytest.MonkeyPatch, server: StandIn
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    # Where there is no role either: nothing listens at this address.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9/")
    bucket = await asyncio.to_thread(Bucket, URL)
    with pytest.raises(PlaceUnusable, match="there are no credentials: set AWS_ACCESS_KEY_ID"):
        await asyncio.to_thread(bucket.names)


async def test_what_the_store_refuses_is_told_without_the_secret(
    server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    bucket = await asyncio.to_thread(Bucket, URL)
    with pytest.raises(PlaceUnusable) as refused:
        await asyncio.to_thread(bucket.names)
    assert str(refused.value).startswith(f"{URL} cannot be used: ")
    assert "EXAMPLEKEY" not in str(refused.value)
