"""Keys that the system before had issued, over HTTP, on a service that has moved in."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Storecredit, storecredit_in
from tests.moving.old_system import OLD_KEY, OldSystem


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Storecredit]:
    """The command, and what it serves."""
    with storecredit_in(tmp_path) as command:
        yield command


async def test_an_old_key_goes_on_working(
    old: OldSystem, service: Storecredit, database_url: str
) -> None:
    store_id = await old.store()
    key_id = await old.key(store_id)
    await old.shows(store_id, 7)
    await old.moved(store_id, "purchase", 10, "pack")
    await old.moved(store_id, "deduction", -3, "req_1")
    done_id = await old.generation(store_id, "completed", "req_1")
    unpaid_id = await old.generation(store_id, "completed", "req_unpaid")
    await old.key(await old.store("closed.example", status="inactive"), "wk_closed_0001")
    here = ("--database-url", database_url)
    assert service("import", "--history", "--from", old.url, *here).status == 0
    serving = service.serve(*here)

    def got(path: str, key: str = OLD_KEY) -> httpx.Response:
        return httpx.get(f"{serving.url}/api/v1/{path}", headers={"Authorization": f"Bearer {key}"})

    for _ in range(2):  # from the database, and from memory
        assert got("credits/balance").json()["data"]["balance"] == 7
    made = httpx.post(
        f"{serving.url}/api/v1/credits/spend",
        headers={"Authorization": f"Bearer {OLD_KEY}", "Idempotency-Key": "order-1"},
        json={"amount": 2},
    )
    assert made.is_success, made.text
    assert got("credits/balance").json()["data"]["balance"] == 5
    generation = got(f"generation/{done_id}").json()["data"]
    assert (generation["status"], generation["request_id"]) == ("completed", "req_1")
    listed = got("generations").json()["data"]["items"]
    assert {each["session_id"] for each in listed} == {str(done_id), str(unpaid_id)}
    for named in ("req_1", done_id, unpaid_id):
        shown = service("request", "show", named, "--json", *here)
        assert "completed" in shown.output, shown
    assert got("credits/balance", "wk_0123456789").json()["error"]["code"] == "INVALID_API_KEY"
    assert got("credits/balance", "wk_").status_code == 401
    assert got("credits/balance", "wk_closed_0001").json()["error"]["code"] == "STORE_SUSPENDED"

    assert service("key", "revoke", "hats.example", key_id, *here).status == 0
    assert got("credits/balance").json()["error"]["code"] == "API_KEY_REVOKED"
    assert OLD_KEY not in serving.log_path.read_text()
