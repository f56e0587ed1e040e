"""The whole history of the system before, told in our movements."""

import asyncpg

from tests.moving.conftest import Command
from tests.moving.imported import ledger, session
from tests.moving.old_system import BEGAN, OldSystem


async def test_a_sound_ledger_comes_along_as_it_is(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    await old.shows(store_id, 118)
    bought_id = await old.moved(store_id, "purchase", 100, description="Pack of 100")
    await old.moved(store_id, "subscription", 20, "sub-march")
    await old.moved(store_id, "deduction", -2, "req_1")
    await old.moved(store_id, "deduction", -3, "req_2")
    await old.moved(store_id, "refund", 3, "req_2")
    done_id = await old.generation(store_id, "completed", "req_1")
    failed_id = await old.generation(store_id, "failed", "req_2")
    user_id = await old.user()
    await old.shows(user_id, 9, kind="user")
    await old.moved(user_id, "signup_bonus", 10, kind="user")
    spent_id = await old.moved(user_id, "generation", -1, kind="user")

    done = await storecredit("import", "--from", old.url, "--history")

    assert done.status == 0, done
    assert "All of it fits." in done.output
    assert done.output.endswith("All of it agrees.\n")
    assert await ledger(admin, store_id) == [
        ("purchase", 100, 100, f"import:{bought_id}"),
        ("subscription", 20, 120, "sub-march"),
        ("deduction", 2, 118, "req_1"),
        ("deduction", 3, 115, "req_2"),
        ("refund", 3, 118, "req_2"),
    ]
    assert await ledger(admin, user_id) == [
        ("signup_bonus", 10, 10, "signup"),
        ("deduction", 1, 9, f"import:{spent_id}"),
    ]
    row = await admin.fetchrow(
        """SELECT description, created_at FROM storecredit.movements
           WHERE type = 'purchase'"""
    )
    assert tuple(row or ()) == ("Pack of 100", BEGAN)
    credits = await admin.fetchrow(
        "SELECT balance, total_purchased, total_spent FROM store_credits WHERE store_id = $1",
        store_id,
    )
    assert tuple(credits or ()) == (118, 120, 2)
    assert (await session(admin, done_id))["credits"] == 2
    assert (await session(admin, failed_id))["credits"] == 3


async def test_overage_is_a_deduction_that_an_opening_pays_and_no_bill_asks_for(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    await old.shows(store_id, 0)
    await old.moved(store_id, "purchase", 5, "pack")
    await old.moved(store_id, "deduction", -5, "req_1")
    await old.moved(store_id, "overage", -4, "req_2")

    done = await storecredit("import", "--from", old.url, "--history", "--json")

    found = {each["kind"]: each["count"] for each in done.json()["does_not_fit"]}
    assert found == {"ledger_below_zero": 1}
    assert await ledger(admin, store_id) == [
        ("grant", 4, 4, "import:opening"),
        ("purchase", 5, 9, "pack"),
        ("deduction", 5, 4, "req_1"),
        ("deduction", 4, 0, "req_2"),
    ]
    assert await admin.fetchval("SELECT overage_used FROM store_credits") == 0


async def test_the_balance_that_was_shown_is_what_the_customer_has(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    more_id, less_id = await old.store("more.example"), await old.store("less.example")
    owing_id, unsaid_id = await old.store("owing.example"), await old.store("unsaid.example")
    for store_id in (more_id, less_id, owing_id, unsaid_id):
        await old.moved(store_id, "purchase", 10, "pack")
    await old.shows(more_id, 15)
    await old.shows(less_id, 7)
    await old.shows(owing_id, -2)

    done = await storecredit("import", "--from", old.url, "--history", "--json")

    assert {each["kind"]: each["count"] for each in done.json()["does_not_fit"]} == {
        "balance_mismatch": 3,
        "balance_missing": 1,
        "negative_balance": 1,
    }
    assert done.json()["verification"]["clean"] is True
    assert await ledger(admin, more_id) == [
        ("grant", 5, 5, "import:opening"),
        ("purchase", 10, 15, "pack"),
    ]
    assert await ledger(admin, less_id) == [
        ("purchase", 10, 10, "pack"),
        ("removal", 3, 7, "import:correction"),
    ]
    assert await ledger(admin, owing_id) == [
        ("purchase", 10, 10, "pack"),
        ("removal", 10, 0, "import:correction"),
    ]
    assert await ledger(admin, unsaid_id) == [("purchase", 10, 10, "pack")]


async def test_a_refund_gives_back_what_was_deducted_before_or_is_a_grant(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    await old.moved(store_id, "purchase", 10, "pack")
    await old.moved(store_id, "deduction", -2, "req_1")
    # At one moment: the deduction counts as the first.
    await old.moved(store_id, "refund", 2, "req_2", created_at=BEGAN.replace(hour=20))
    await old.moved(store_id, "deduction", -2, "req_2", created_at=BEGAN.replace(hour=20))
    much_id = await old.moved(store_id, "refund", 3, "req_1", created_at=BEGAN.replace(hour=21))
    never_id = await old.moved(store_id, "refund", 1, "req_3", created_at=BEGAN.replace(hour=22))
    await old.shows(store_id, 12)
    user_id = await old.user()
    await old.shows(user_id, 10, kind="user")
    await old.moved(user_id, "signup_bonus", 10, kind="user")
    spent_id = await old.moved(user_id, "generation", -1, kind="user")
    back_id = await old.moved(user_id, "refund", 1, kind="user")

    done = await storecredit("import", "--from", old.url, "--history", "--json")

    assert {each["kind"]: each["count"] for each in done.json()["does_not_fit"]} == {
        "refund_without_deduction": 2,
        "refund_without_request": 1,
    }
    assert await ledger(admin, store_id) == [
        ("purchase", 10, 10, "pack"),
        ("deduction", 2, 8, "req_1"),
        ("deduction", 2, 6, "req_2"),
        ("refund", 2, 8, "req_2"),
        ("grant", 3, 11, f"import:{much_id}"),
        ("grant", 1, 12, f"import:{never_id}"),
    ]
    assert await ledger(admin, user_id) == [
        ("signup_bonus", 10, 10, "signup"),
        ("deduction", 1, 9, f"import:{spent_id}"),
        ("grant", 1, 10, f"import:{back_id}"),
    ]


async def test_types_signs_and_request_ids_that_cannot_be_are_told_otherwise(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    await old.moved(store_id, "purchase", 10, "pack")
    await old.moved(store_id, "promo", 5, "spring")
    fee_id = await old.moved(store_id, "fee", -2)
    await old.moved(store_id, "purchase", -1, "pack-back")
    long_id = await old.moved(store_id, "deduction", -1, "x" * 201)
    ours_id = await old.moved(store_id, "deduction", -1, "import:opening")
    await old.moved(store_id, "deduction", 0, "req_0")
    await old.moved(store_id, "deduction", -1, "both")
    both_id = await old.moved(store_id, "overage", -2, "both")
    await old.shows(store_id, 7)

    done = await storecredit("import", "--from", old.url, "--history", "--json")

    assert {each["kind"]: each["count"] for each in done.json()["does_not_fit"]} == {
        "equal_request_ids": 1,
        "unusable_request_id": 2,
        "unknown_type": 2,
        "wrong_sign": 1,
    }
    assert await ledger(admin, store_id) == [
        ("purchase", 10, 10, "pack"),
        ("grant", 5, 15, "spring"),
        ("removal", 2, 13, f"import:{fee_id}"),
        ("removal", 1, 12, "pack-back"),
        ("deduction", 1, 11, f"import:{long_id}"),
        ("deduction", 1, 10, f"import:{ours_id}"),
        ("deduction", 1, 9, "both"),
        ("deduction", 2, 7, f"import:{both_id}"),
    ]


async def test_no_address_is_in_the_ledger(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    await old.shows(store_id, 7)
    await old.moved(
        store_id, "purchase", 10, "pack", description="By Ann <ann@hats.example>, thanks"
    )
    await old.moved(store_id, "deduction", -1, "r1", description="for=bob%40hats.example;x")
    await old.moved(store_id, "deduction", -2, "r2", description="no address: 5 @ 2")

    done = await storecredit("import", "--from", old.url, "--history", "--json")

    (misfit,) = done.json()["does_not_fit"]
    assert (misfit["kind"], misfit["count"]) == ("address_in_description", 2)
    assert "ann" not in str(misfit)
    said = await admin.fetch("SELECT description FROM storecredit.movements ORDER BY seq")
    assert [row[0] for row in said] == [
        "By Ann <[address]>, thanks",
        "[address];x",
        "no address: 5 @ 2",
    ]


async def test_descriptions_may_stay_behind(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    await old.shows(store_id, 10)
    await old.moved(store_id, "purchase", 10, "pack", description="By Ann <ann@hats.example>")
    given = ("import", "--from", old.url, "--history", "--no-descriptions", "--json")

    done = await storecredit(*given, "--as", "ann", "--reason", "moving day")

    assert done.json()["does_not_fit"] == []
    assert await admin.fetchval("SELECT description FROM storecredit.movements") == ""
    (entry,) = (await storecredit("audit", "--json")).json()["items"]
    assert (entry["action"], entry["actor"], entry["reason"]) == (
        "data.import",
        "ann",
        "moving day",
    )
    assert (entry["asked"], entry["outcome"]["movements"]) == ({"history": True}, 1)


async def test_a_generation_under_way_is_given_back_what_it_took(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    await old.shows(store_id, 7)
    await old.moved(store_id, "purchase", 10, "pack")
    await old.moved(store_id, "deduction", -3, "req_1")
    session_id = await old.generation(store_id, "processing", "req_1")
    again_id = await old.generation(store_id, "queued", "req_1")

    done = await storecredit("import", "--from", old.url, "--history", "--json")

    assert done.json()["verification"]["clean"] is True
    assert await ledger(admin, store_id) == [
        ("purchase", 10, 10, "pack"),
        ("deduction", 3, 7, "req_1"),
        ("refund", 3, 10, "req_1"),
    ]
    assert (await session(admin, session_id))["credits"] == 3
    assert (await session(admin, again_id))["credits"] == 0
