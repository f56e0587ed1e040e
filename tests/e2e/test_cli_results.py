"""Commands where results are in an S3 bucket: a user erased, a backup, settings that cannot be."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from stand_ins.s3 import error
from tests.e2e.in_process import InProcess
from tests.s3_bucket import PREFIX, URL, RunningBucket, running_bucket

AWAY = error(HTTPStatus.NOT_FOUND, "NoSuchBucket")


@pytest.fixture
async def bucket(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningBucket]:
    monkeypatch.setenv("STORECREDIT_RESULTS", URL)
    async with running_bucket(monkeypatch) as running:
        yield running


@pytest.fixture
def storecredit(database_url: str) -> InProcess:
    return InProcess(database_url)


async def test_a_users_results_are_deleted_by_the_command_or_by_the_next_sweep(
    storecredit: InProcess, bucket: RunningBucket, admin: asyncpg.Connection
) -> None:
    user_id, session_id = uuid4(), uuid4()
    await admin.execute("SELECT ensure_user($1, 10)", user_id)
    key = f"{user_id}/{session_id}.png"
    await admin.execute(
        """INSERT INTO sessions (account_id, session_id, created_at, completed_at, status,
               request_id, fingerprint, credits, result_key)
           VALUES (account_of('user', $1), $2, now(), now(), 'completed', 'one', '', 1, $3)""",
        user_id,
        session_id,
        key,
    )
    bucket.s3.objects[f"{PREFIX}/{key}"] = b"an image"
    bucket.answers(AWAY)
    left = await asyncio.to_thread(storecredit, "user", "erase", user_id)
    assert left.status == 0
    assert f"{URL} cannot be used: there is no such bucket." in left.errors
    assert "next sweep" in left.errors
    bucket.comes_back()
    done = await asyncio.to_thread(storecredit, "user", "erase", user_id)
    assert done.status == 0
    assert "sweep" not in done.errors
    assert bucket.names() == set()
    assert await admin.fetchval("SELECT result_key FROM sessions") is None


def test_a_backup_has_no_results_to_take(
    storecredit: InProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STORECREDIT_RESULTS", URL)
    told = storecredit("backup", tmp_path / "backups", "--results").sentence()
    assert f"The results are in {URL}" in told
    assert not (tmp_path / "backups").exists()


def test_settings_that_cannot_be_are_told_in_a_sentence(
    storecredit: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in ("/var/results", "https://key:secret@bucket", "s3://bucket//results"):
        monkeypatch.setenv("STORECREDIT_RESULTS", wrong)
        told = storecredit("store", "list").sentence(2)
        assert "The setting STORECREDIT_RESULTS is wrong" in told
        assert "secret" not in told
    monkeypatch.setenv("STORECREDIT_RESULTS", URL)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    told = storecredit("store", "list").sentence()
    assert "AWS_ENDPOINT_URL is no address" in told
