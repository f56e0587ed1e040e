"""The functions and tables of stores and their API keys, driven as the application's role."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from storecredit.postgres.errors import StatementRefused
from storecredit.postgres.pool import Database
from storecredit.stores.api_keys import CHANNEL
from storecredit.stores.stores import Store, Stores

SOON = timedelta(minutes=5)
HASHES = [bytes([number]) * 32 for number in range(8)]


@pytest.fixture
def stores(database: Database) -> Stores:
    return Stores(database)


@pytest.fixture
async def store(stores: Stores) -> Store:
    return await stores.create(name="Corner shop", shop_domain="corner.example")


@pytest.fixture
async def announced(admin: asyncpg.Connection) -> AsyncIterator[list[object]]:
    """The payloads announced so far; complete after any statement of `admin`."""
    payloads: list[object] = []

    def hear(*announcement: object) -> None:
        payloads.append(announcement[-1])

    await admin.add_listener(CHANNEL, hear)
    yield payloads
    await admin.remove_listener(CHANNEL, hear)


async def make_key(
    database: Database,
    store_id: UUID,
    *,
    key_hash: bytes = HASHES[0],
    origins: tuple[str, ...] = (),
    expires_at: datetime | None = None,
) -> UUID:
    key_id = uuid7()
    made = await database.fetchval(
        "SELECT create_store_api_key($1, $2, $3, 'sc_live_abcd', 'checkout', $4, $5)",
        store_id,
        key_id,
        key_hash,
        list(origins),
        expires_at,
    )
    assert made is True
    return key_id


async def rows(admin: asyncpg.Connection, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await admin.fetch(query)]


async def key_row(admin: asyncpg.Connection, key_id: UUID) -> dict[str, Any]:
    row = await admin.fetchrow("SELECT * FROM store_api_keys WHERE key_id = $1", key_id)
    assert row is not None
    return dict(row)


async def rotate(
    database: Database, store_id: UUID, key_id: UUID, grace_seconds: int = 0
) -> tuple[bool, UUID]:
    new_key_id = uuid7()
    rotated: bool = await database.fetchval(
        "SELECT rotate_store_api_key($1, $2, $3, $4, 'sc_live_efgh', $5)",
        store_id,
        key_id,
        new_key_id,
        HASHES[7],
        grace_seconds,
    )
    return rotated, new_key_id


async def test_a_store_comes_with_its_account_and_its_opening_credits(
    stores: Stores, admin: asyncpg.Connection
) -> None:
    store = await stores.create(
        name="Corner shop",
        shop_domain="corner.example",
        tier="growth",
        credit_count=100,
        request_id="req_open",
    )
    assert (store.name, store.shop_domain, store.tier, store.status) == (
        "Corner shop",
        "corner.example",
        "growth",
        "active",
    )
    assert await rows(admin, "SELECT * FROM store_credits") == [
        (store.store_id, 100, 100, 0, 1, *[0] * 6)
    ]
    assert await rows(
        admin,
        "SELECT store_id, seq, type, amount, balance_after, request_id, description"
        " FROM store_credit_transactions",
    ) == [(store.store_id, 1, "grant", 100, 100, "req_open", "Opening credits")]
    assert await stores.get(store.store_id) == store


async def test_a_store_without_opening_credits_has_none_and_no_ledger_row(
    store: Store, admin: asyncpg.Connection
) -> None:
    assert await rows(admin, "SELECT * FROM store_credits") == [(store.store_id, *[0] * 10)]
    assert await admin.fetchval("SELECT count(*) FROM store_credit_transactions") == 0


@pytest.mark.parametrize(
    "credit_count, request_id, sqlstate",
    [(100, None, "SC003"), (100, "", "SC003"), (-1, "req_open", "SC002")],
)
async def test_opening_credits_that_are_refused_leave_no_store_behind(
    stores: Stores,
    admin: asyncpg.Connection,
    credit_count: int,
    request_id: str | None,
    sqlstate: str,
) -> None:
    with pytest.raises(StatementRefused) as refused:
        await stores.create(
            name="a", shop_domain="b", credit_count=credit_count, request_id=request_id
        )
    assert refused.value.sqlstate == sqlstate
    assert await admin.fetchval("SELECT count(*) FROM stores") == 0
    assert await admin.fetchval("SELECT count(*) FROM store_credits") == 0


async def test_a_store_id_is_used_once(database: Database, store: Store) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        await database.fetchrow("SELECT create_store($1, 'again', 'b')", store.store_id)


async def test_a_store_without_an_account_is_impossible(
    store: Store, admin: asyncpg.Connection
) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await admin.execute(
            "INSERT INTO storecredit.stores (store_id, name, shop_domain) VALUES ($1, 'a', 'b')",
            uuid4(),
        )
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await admin.execute("DELETE FROM accounts WHERE owner_id = $1", store.store_id)


async def test_only_what_is_given_of_a_store_is_changed(stores: Stores, store: Store) -> None:
    changed = await stores.update(store.store_id, tier="scale")
    assert changed is not None
    assert changed.tier == "scale"
    assert changed.updated_at > store.updated_at
    suspended = await stores.update(store.store_id, status="suspended", name="Old shop")
    assert suspended is not None
    assert (suspended.name, suspended.shop_domain, suspended.tier, suspended.status) == (
        "Old shop",
        "corner.example",
        "scale",
        "suspended",
    )


async def test_a_store_that_is_not_there_is_none(stores: Stores, store: Store) -> None:
    assert await stores.get(uuid4()) is None
    assert await stores.update(uuid4(), tier="scale") is None


async def test_a_text_that_cannot_be_kept_is_refused_in_words(stores: Stores, store: Store) -> None:
    good: dict[str, Any] = {"name": "a", "shop_domain": "b"}
    for field, text in (
        ("name", ""),
        ("name", "x" * 201),
        ("shop_domain", "x" * 254),
        ("shop_domain", "Hats & Co"),
        ("tier", "x" * 51),
        ("tier", "a\0b"),
    ):
        with pytest.raises(ValueError, match=field):
            await stores.create(**{**good, field: text})
        with pytest.raises(ValueError, match=field):
            await stores.update(store.store_id, **{**good, field: text})
    assert (await stores.list()).items == (store,)


async def test_stores_are_listed_newest_first_page_by_page(stores: Stores) -> None:
    made = [await stores.create(name=f"{n}", shop_domain=f"{n}.example") for n in range(5)]
    first = await stores.list(2)
    second = await stores.list(2, first.next_cursor)
    last = await stores.list(2, second.next_cursor)
    assert [*first.items, *second.items, *last.items] == made[::-1]
    assert last.next_cursor is None
    assert (await stores.list(5)).next_cursor is None
    for limit in (0, 101):
        with pytest.raises(ValueError, match="1 to 100"):
            await stores.list(limit)


async def test_a_key_needs_a_store(database: Database, admin: asyncpg.Connection) -> None:
    made = await database.fetchval(
        "SELECT create_store_api_key($1, $2, $3, 'sc_live_abcd')", uuid4(), uuid7(), HASHES[0]
    )
    assert made is False
    assert await admin.fetchval("SELECT count(*) FROM store_api_keys") == 0


async def test_a_revoked_key_keeps_the_time_of_its_first_revocation(
    database: Database, store: Store, admin: asyncpg.Connection
) -> None:
    key_id = await make_key(database, store.store_id)
    revoked_at = None
    for _ in range(2):
        revoke = "SELECT revoke_store_api_key($1, $2)"
        assert await database.fetchval(revoke, store.store_id, key_id) is True
        row = await key_row(admin, key_id)
        revoked_at = revoked_at or row["revoked_at"]
        assert revoked_at is not None
        assert row["revoked_at"] == revoked_at


async def test_a_store_cannot_touch_another_stores_key(
    database: Database, stores: Stores, store: Store, admin: asyncpg.Connection
) -> None:
    other = await stores.create(name="Other", shop_domain="other.example")
    key_id = await make_key(database, store.store_id)
    before = await key_row(admin, key_id)
    for owner in (other.store_id, uuid4()):
        revoke = "SELECT revoke_store_api_key($1, $2)"
        assert await database.fetchval(revoke, owner, key_id) is False
        assert (await rotate(database, owner, key_id))[0] is False
    assert await key_row(admin, key_id) == before
    assert await admin.fetchval("SELECT count(*) FROM store_api_keys") == 1


async def test_a_rotated_key_hands_on_its_label_and_origins_and_expires_after_its_grace(
    database: Database, store: Store, admin: asyncpg.Connection
) -> None:
    key_id = await make_key(database, store.store_id, origins=("https://corner.example",))
    rotated, new_key_id = await rotate(database, store.store_id, key_id, grace_seconds=3600)
    assert rotated
    old, new = await key_row(admin, key_id), await key_row(admin, new_key_id)
    assert old["expires_at"] == new["created_at"] + timedelta(hours=1)
    assert old["revoked_at"] is None
    assert (new["store_id"], new["label"], new["allowed_origins"], new["expires_at"]) == (
        store.store_id,
        "checkout",
        ["https://corner.example"],
        None,
    )
    assert (new["key_hash"], new["key_start"]) == (HASHES[7], "sc_live_efgh")


async def test_a_grace_time_never_makes_a_key_last_longer(
    database: Database, store: Store, admin: asyncpg.Connection
) -> None:
    expires_at = datetime.now(UTC) + SOON
    key_id = await make_key(database, store.store_id, expires_at=expires_at)
    assert (await rotate(database, store.store_id, key_id, grace_seconds=3600))[0]
    assert (await key_row(admin, key_id))["expires_at"] == expires_at


@pytest.mark.parametrize("grace_seconds", [0, -5])
async def test_a_key_that_no_longer_works_cannot_be_rotated(
    database: Database, store: Store, admin: asyncpg.Connection, grace_seconds: int
) -> None:
    revoked = await make_key(database, store.store_id, key_hash=HASHES[1])
    await database.fetchval("SELECT revoke_store_api_key($1, $2)", store.store_id, revoked)
    replaced = await make_key(database, store.store_id, key_hash=HASHES[2])
    assert (await rotate(database, store.store_id, replaced, grace_seconds))[0]
    for key_id in (revoked, replaced):
        assert (await rotate(database, store.store_id, key_id, grace_seconds))[0] is False
    assert await admin.fetchval("SELECT count(*) FROM store_api_keys") == 3


async def test_every_change_of_a_key_or_its_store_is_announced(
    database: Database,
    stores: Stores,
    store: Store,
    announced: list[object],
    admin: asyncpg.Connection,
) -> None:
    key_id = await make_key(database, store.store_id)
    await rotate(database, store.store_id, key_id)
    await database.fetchval("SELECT revoke_store_api_key($1, $2)", store.store_id, key_id)
    await stores.update(store.store_id, status="suspended")
    await stores.update(store.store_id, tier="scale")
    await admin.execute("SELECT 1")
    assert announced == [str(store.store_id)] * 5


async def test_what_changed_nothing_is_not_announced(
    database: Database, stores: Stores, announced: list[object], admin: asyncpg.Connection
) -> None:
    await stores.update(uuid4(), tier="scale")
    await rotate(database, uuid4(), uuid4())
    await database.fetchval("SELECT revoke_store_api_key($1, $2)", uuid4(), uuid4())
    await admin.execute("SELECT 1")
    assert announced == []
