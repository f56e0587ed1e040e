"""`storecredit verify` tells what was imported from what was tampered with afterwards."""

import json

import asyncpg
import pytest

from tests.moving.conftest import Command
from tests.moving.old_system import OldSystem


async def imported(old: OldSystem, storecredit: Command) -> None:
    """A store whose history needs an opening, a grant and a removal; generations of every kind."""
    store_id = await old.store()
    await old.moved(store_id, "overage", -2, "req_0")
    await old.moved(store_id, "purchase", 10, "pack")
    await old.moved(store_id, "deduction", -2, "req_1")
    await old.moved(store_id, "deduction", -2, "req_2")
    await old.moved(store_id, "refund", 2, "req_2")
    await old.moved(store_id, "refund", 1, "req_9")
    await old.moved(store_id, "fee", -1)
    await old.shows(store_id, 6)
    await old.generation(store_id, "completed", "req_1")
    await old.generation(store_id, "failed", "req_2")
    await old.generation(store_id, "completed", "req_other")
    assert (await storecredit("import", "--history", "--from", old.url)).status == 0


async def test_every_row_of_an_import_is_sound(old: OldSystem, storecredit: Command) -> None:
    await imported(old, storecredit)

    done = await storecredit("verify", "--every-row")

    assert done.status == 0, done


@pytest.mark.parametrize(
    "tampering, kind",
    [
        ("UPDATE sessions SET credits = 0 WHERE request_id = 'req_1'", "generation_amount"),
        (
            """UPDATE sessions SET status = 'queued', completed_at = NULL
               WHERE request_id = 'req_other'""",
            "impossible_session",
        ),
        (
            "UPDATE sessions SET credits = 1 WHERE request_id = 'req_other'",
            "session_without_deduction",
        ),
        ("UPDATE sessions SET credits = -1 WHERE request_id = 'req_other'", "impossible_session"),
        ("UPDATE movements SET amount = 9 WHERE request_id = 'import:opening'", "running_balance"),
        ("DELETE FROM grants WHERE seq = 1", "movement_without_grant"),
        ("DELETE FROM movements WHERE request_id = 'import:correction'", "movements_missing"),
    ],
)
async def test_what_was_tampered_with_is_named(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection, tampering: str, kind: str
) -> None:
    await imported(old, storecredit)
    assert await admin.execute(f"SET search_path = storecredit; {tampering}")

    done = await storecredit("verify", "--json")

    found = {each["kind"] for each in json.loads(done.output)["discrepancies"]}
    assert kind in found
