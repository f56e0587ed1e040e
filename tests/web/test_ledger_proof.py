"""`GET /api/v1/ledger/proof` and the operator's: what shows that a ledger is what was signed."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from storecredit.service import Service
from tests.sql.ledgers import open_user
from tests.web.checklist import (
    UNKNOWN,
    assert_only_a_working_key_is_let_in,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.doors import Operator, StoreClient, data_of, error_of

PATH = "/api/v1/ledger/proof"
LIST = "/checkpoints"
VERIFIER = Path(__file__).parents[2] / "clients" / "verify_ledger.py"


async def sign(service: Service) -> int:
    """The number of a new checkpoint of all that is new."""
    made = await service.checkpoints.make(at_once=True)
    assert made is not None
    return made.number


def verified(*words: str | Path) -> tuple[int, str]:
    """What the verifier says, run as outsiders run it."""
    ended = subprocess.run(
        [sys.executable, "-I", str(VERIFIER), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


async def test_a_store_proves_its_ledger_by_what_it_is_answered(
    service: Service, operator: Operator, store: StoreClient, tmp_path: Path
) -> None:
    await operator.store(credits=5)
    await store.created("first")
    await sign(service)
    earlier = tmp_path / "earlier.json"
    earlier.write_bytes((await store.get(PATH)).content)
    await store.created("second")
    await sign(service)
    answer = await store.get(PATH, since=1)
    proof = data_of(answer)
    (tmp_path / "proof.json").write_bytes(answer.content)
    whole = await store.get("/api/v1/credits/transactions", headers={"Accept": "text/csv"})
    (tmp_path / "ledger.csv").write_bytes(whole.content)
    page = await store.get("/api/v1/credits/transactions")
    (tmp_path / "ledger.json").write_bytes(page.content)

    assert proof["ledger_proof"]["owner_id"] == store.store_id
    assert (proof["ledger_proof"]["seq"], proof["checkpoint"]["number"]) == (3, 2)
    key = proof["checkpoint"]["public_key"]
    words = ("--key", key, "--proof", tmp_path / "proof.json", "--earlier", earlier)
    for ledger in ("ledger.csv", "ledger.json"):
        status, said = verified(*words, tmp_path / ledger)
        assert status == 0, said
        assert f"Movements 1 to 3 of store {store.store_id} are those that were signed." in said
    forged = whole.content.replace(b"second", b"secund", 1)
    assert forged != whole.content
    (tmp_path / "ledger.csv").write_bytes(forged)
    assert verified(*words, tmp_path / "ledger.csv")[0] == 1


async def test_the_operator_has_the_same_of_stores_and_end_users(
    service: Service, operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    user = await open_user(admin, 5)
    await sign(service)
    assert data_of(await operator.get(f"/stores/{store.store_id}/proof")) == data_of(
        await store.get(PATH)
    )
    of_user = data_of(await operator.get(f"/users/{user}/proof"))
    assert (of_user["ledger_proof"]["owner_kind"], of_user["ledger_proof"]["owner_id"]) == (
        "user",
        str(user),
    )
    error_of(await operator.get(f"/stores/{UNKNOWN}/proof"), 404, "NOT_FOUND")
    error_of(await operator.get(f"/users/{UNKNOWN}/proof"), 404, "NOT_FOUND")


async def test_checkpoints_are_listed_newest_first(
    service: Service, operator: Operator, store: StoreClient
) -> None:
    assert data_of(await operator.get(LIST)) == {"items": [], "next_cursor": None}
    for place in range(3):
        await store.created(f"r{place}")
        await sign(service)
    first = data_of(await operator.get(LIST, limit=2))
    assert [each["number"] for each in first["items"]] == [3, 2]
    second = data_of(await operator.get(LIST, limit=2, cursor=first["next_cursor"]))
    assert [each["number"] for each in second["items"]] == [1]
    assert second["next_cursor"] is None
    (key,) = {each["public_key"] for each in [*first["items"], *second["items"]]}
    assert len(bytes.fromhex(key)) == 32


async def test_what_is_not_there_yet_is_not_found(
    service: Service, operator: Operator, store: StoreClient
) -> None:
    error_of(await store.get(PATH), 404, "NOT_FOUND")
    await sign(service)
    late = await operator.store()
    error_of(await late.get(PATH), 404, "NOT_FOUND")
    await sign(service)
    assert data_of(await late.get(PATH))["ledger_proof"]["position"] == 1
    error_of(await late.get(PATH, checkpoint=1), 404, "NOT_FOUND")
    error_of(await store.get(PATH, checkpoint=3), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "query",
    [
        {"checkpoint": 0},
        {"checkpoint": "newest"},
        {"checkpoint": 2**63},
        {"since": 2},
        {"since": -1},
        {"from": "2026-11-29"},
    ],
)
async def test_bad_input_is_refused(
    query: dict[str, Any], service: Service, store: StoreClient
) -> None:
    await sign(service)
    await store.created("more")
    await sign(service)
    error_of(await store.get(PATH, **query), 400, "VALIDATION_ERROR")


async def test_a_proof_that_would_be_wrong_is_not_given(
    service: Service, store: StoreClient, admin: asyncpg.Connection
) -> None:
    await sign(service)
    await admin.execute("UPDATE storecredit.chain_links SET head = sha256(head)")
    error_of(await store.get(PATH), 503, "SERVICE_UNAVAILABLE")


async def test_who_is_let_in(operator: Operator, store: StoreClient) -> None:
    await assert_only_a_working_key_is_let_in(operator, "GET", PATH)
    await assert_other_methods_are_refused(store, PATH, "GET")
    await assert_reads_are_limited(operator, PATH)
    for path in (LIST, f"/stores/{store.store_id}/proof", f"/users/{UUID(int=7)}/proof"):
        await assert_only_the_operator_is_let_in(operator, "GET", path)
        await assert_other_methods_are_refused(operator, path, "GET")
