"""Balances, keys, end users, generations and events of the system before, by the command."""

import asyncpg

from tests.moving.conftest import Command
from tests.moving.imported import everything, ledger, session
from tests.moving.old_system import BEGAN, OLD_KEY, OldSystem


async def test_a_balance_is_one_opening_movement_and_ids_are_kept(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store(subscription_tier="default", updated_at=BEGAN)
    await old.shows(store_id, 70)
    await old.moved(store_id, "purchase", 100)
    await old.moved(store_id, "deduction", -30, "req_1")
    closed_id = await old.store("closed.example", status="inactive")
    user_id = await old.user()
    await old.shows(user_id, 9, kind="user")
    await old.moved(user_id, "signup_bonus", 10, kind="user")
    await old.moved(user_id, "generation", -1, kind="user")
    visitor_id = await old.user()

    done = await storecredit("import", "--from", old.url)

    assert done.status == 0, done
    assert "All of it fits." in done.output
    assert "Written: 3 owners, 2 movements, 0 events." in done.output
    assert done.output.endswith("All of it agrees.\n")
    assert await ledger(admin, store_id) == [("grant", 70, 70, "import:opening")]
    assert await ledger(admin, user_id) == [("grant", 9, 9, "import:opening")]
    assert await ledger(admin, closed_id) == []
    stores = await admin.fetch(
        """SELECT store_id, name, shop_domain, status, created_at FROM storecredit.stores
           ORDER BY shop_domain DESC"""
    )
    assert [tuple(store) for store in stores] == [
        (store_id, "hats.example", "hats.example", "active", BEGAN),
        (closed_id, "closed.example", "closed.example", "suspended", BEGAN),
    ]
    assert await admin.fetchval("SELECT array_agg(user_id) FROM storecredit.users") == [user_id]
    # Whoever had no credits there comes in as anybody new does.
    assert visitor_id != user_id


async def test_a_second_run_changes_nothing(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    await old.key(store_id)
    await old.shows(store_id, 70)
    await old.generation(store_id, "completed", "req_1")
    await old.event("evt_1")
    assert (await storecredit("import", "--from", old.url)).status == 0
    before = await everything(admin)
    assert len(before["imported_owners"]) == 1

    again = await storecredit("import", "--from", old.url, "--history")

    assert again.status == 0, again
    assert "imported before: 1." in again.output
    assert "Written: 0 owners, 0 movements, 0 events." in again.output
    assert await everything(admin) == before


async def test_keys_are_known_by_their_hash_with_origins_for_their_domains(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    domains = ["Hats.example", "http://localhost:3000", "*.hats.example"]
    key_id = await old.key(store_id, allowed_domains=domains)
    revoked_id = await old.key(store_id, "wk_" + "0" * 32, is_active=False)

    done = await storecredit("import", "--from", old.url)

    assert done.status == 0, done
    assert f"key {key_id} lists '*.hats.example'" in done.output
    rows = await admin.fetch(
        """SELECT key_id, key_start, allowed_origins, revoked_at IS NOT NULL AS is_revoked
           FROM storecredit.store_api_keys ORDER BY revoked_at NULLS FIRST"""
    )
    hashed = await old.connection.fetchval(
        "SELECT key_hash FROM store_api_keys WHERE id = $1", key_id
    )
    assert [tuple(row) for row in rows] == [
        (key_id, f"wk_…{hashed[:8]}", ["http://localhost:3000", "https://hats.example"], False),
        (revoked_id, rows[1]["key_start"], [], True),
    ]
    assert OLD_KEY not in str(rows)


async def test_generations_keep_their_ids_and_those_under_way_fail_and_are_given_back(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    await old.shows(store_id, 6)
    await old.moved(store_id, "purchase", 10)
    for number in range(3):
        await old.moved(store_id, "deduction", -2, f"req_{number}")
    await old.moved(store_id, "refund", 2, "req_1")
    done_id = await old.generation(store_id, "completed", "req_0", completed_at=BEGAN)
    failed_id = await old.generation(
        store_id, "failed", "req_1", error_message="for ann@hats.example: no face"
    )
    under_way_id = await old.generation(store_id, "processing", "req_2", started_at=BEGAN)
    unpaid_id = await old.generation(store_id, "queued", "req_never")
    user_id = await old.user()
    await old.shows(user_id, 9, kind="user")
    await old.moved(user_id, "signup_bonus", 10, kind="user")
    await old.moved(user_id, "generation", -1, kind="user")
    of_user_id = await old.generation(user_id, "pending", kind="user")
    second_id = await old.generation(user_id, "pending", kind="user")

    done = await storecredit("import", "--from", old.url, "--json")

    found = {each["kind"]: each["count"] for each in done.json()["does_not_fit"]}
    assert found == {"session_under_way": 2, "session_without_charge": 2}
    assert await ledger(admin, store_id) == [
        ("grant", 6, 6, "import:opening"),
        ("grant", 2, 8, f"import:{under_way_id}"),
    ]
    assert await ledger(admin, user_id) == [
        ("grant", 9, 9, "import:opening"),
        ("grant", 1, 10, f"import:{of_user_id}"),
    ]
    failed = {"status": "failed", "credits": 0, "error_code": "GENERATION_FAILED"} | {
        "owner_id": store_id
    }
    assert await session(admin, done_id) == {
        "status": "completed",
        "credits": 0,
        "request_id": "req_0",
        "error_code": None,
        "owner_id": store_id,
    }
    assert await session(admin, failed_id) == failed | {"request_id": "req_1"}
    for session_id, request_id in [(under_way_id, "req_2"), (unpaid_id, "req_never")]:
        assert await session(admin, session_id) == failed | {"request_id": request_id}
    assert (await session(admin, second_id))["request_id"] == f"import:{second_id}"
    times = await admin.fetch(
        """SELECT session_id, started_at, completed_at = created_at AS ends_at_once
           FROM storecredit.sessions WHERE session_id = ANY ($1)""",
        [failed_id, under_way_id],
    )
    assert {tuple(row) for row in times} == {
        (failed_id, None, True),
        (under_way_id, BEGAN, False),
    }
    said = "SELECT session_id FROM storecredit.sessions WHERE error_message = $1"
    assert await admin.fetchval(said, "for [address]: no face") == failed_id


async def test_events_that_were_booked_there_are_known_here(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    await old.store()
    await old.event("evt_1", payload='{"email": "ann@hats.example"}')

    done = await storecredit("import", "--from", old.url)

    assert "1 events." in done.output
    # As the door for Paddle's webhooks asks.
    is_new = await admin.fetchval(
        "SELECT receive_provider_event('paddle', 'evt_1', 'transaction.completed', now(), '{}')"
    )
    assert is_new is False
    row = await admin.fetchrow("SELECT status, content FROM storecredit.provider_events")
    assert tuple(row or ()) == ("processed", None)


async def test_what_was_imported_of_an_end_user_is_erased_like_the_rest(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    user_id = await old.user()
    await old.shows(user_id, 9, kind="user")
    await old.generation(user_id, "failed", kind="user", error_message="no face of Ann")
    await storecredit("import", "--from", old.url)

    assert await admin.fetchval("SELECT erase_user($1)", user_id) == "erased"

    said = await admin.fetch("SELECT error_message FROM storecredit.sessions")
    assert [row[0] for row in said] == [None]
    assert (await storecredit("verify")).status == 0
