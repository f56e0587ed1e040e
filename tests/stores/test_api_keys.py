"""Whose key it is: look-ups, what is remembered of them, and what ends it, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.listener import LEASE_SECONDS, Listener
from storecredit.postgres.pool import Database
from storecredit.stores.api_keys import CHANNEL, ApiKeys, IssuedKey, new_key
from storecredit.stores.callers import (
    CALLERS_BY_HASH,
    LONGEST_LISTINGS,
    Caller,
    RefusalCause,
    Refused,
)
from storecredit.stores.lookups import CACHED_SECONDS_MAX
from storecredit.stores.stores import Store, Stores
from tests.postgres.commits import Line
from tests.running_listener import Clock, Heard, running, until

ORIGIN = "https://corner.example"
# What the functions do, without the announcement: only then can a test see what is remembered.
REVOKE_UNANNOUNCED = "UPDATE storecredit.store_api_keys SET revoked_at = now()"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def listener(database: Database, clock: Clock) -> AsyncIterator[Listener]:
    """A running listener, whose lease ends only when the test's clock says so."""
    listener = Listener(database, CHANNEL, clock=clock)
    async with running(listener):
        await until(listener.is_fresh)
        yield listener


@pytest.fixture
async def api_keys(database: Database, listener: Listener, clock: Clock) -> AsyncIterator[ApiKeys]:
    api_keys = ApiKeys(database, listener, clock=clock)
    yield api_keys
    await api_keys.close()


@pytest.fixture
def heard(api_keys: ApiKeys, listener: Listener) -> Heard:
    """Subscribed after the keys: what it heard, they have heard."""
    return Heard(listener)


@pytest.fixture
async def store(database: Database) -> Store:
    return await Stores(database).create(name="Corner", shop_domain="c.example", tier="growth")


@pytest.fixture
async def issued(api_keys: ApiKeys, store: Store, heard: Heard) -> IssuedKey:
    issued = await api_keys.create(
        store.store_id, label="checkout", allowed_origins=[f"{ORIGIN.upper()}:443/"]
    )
    assert issued is not None
    await heard.next()
    return issued


def refused(issued: IssuedKey, cause: RefusalCause) -> Refused:
    """What its holder is told of a key that no longer works."""
    return Refused(issued.api_key.store_id, cause)


async def test_a_new_key_says_whose_it_is(
    api_keys: ApiKeys, store: Store, issued: IssuedKey
) -> None:
    caller = await api_keys.authenticate(issued.key)
    assert isinstance(caller, Caller)
    assert (caller.store_id, caller.tier) == (store.store_id, "growth")
    assert caller.allowed_origins == {ORIGIN}
    assert caller.allows("https://Corner.Example:443")
    assert not caller.allows("http://corner.example")
    assert not caller.allows("null")


async def test_of_a_key_only_its_hash_and_its_start_are_kept(
    api_keys: ApiKeys, issued: IssuedKey, admin: asyncpg.Connection
) -> None:
    row = await admin.fetchval("SELECT k::text FROM storecredit.store_api_keys k")
    assert issued.key[:12] in row
    assert issued.key[12:] not in row
    assert issued.key not in repr(issued)
    assert await api_keys.list(issued.api_key.store_id) == (issued.api_key,)


async def test_a_key_that_is_malformed_or_unknown_is_nobodys(
    api_keys: ApiKeys, issued: IssuedKey
) -> None:
    for key in ("", "Bearer", issued.key[:-1], issued.key + "0", new_key()):
        assert await api_keys.authenticate(key) is None


async def test_a_revoked_key_is_refused_as_soon_as_it_is_heard(
    api_keys: ApiKeys, issued: IssuedKey, heard: Heard, admin: asyncpg.Connection
) -> None:
    assert isinstance(await api_keys.authenticate(issued.key), Caller)
    # By another process.
    await admin.execute(
        "SELECT revoke_store_api_key($1, $2)", issued.api_key.store_id, issued.api_key.key_id
    )
    await heard.next()
    assert await api_keys.authenticate(issued.key) == refused(issued, RefusalCause.REVOKED)


async def test_a_suspended_stores_keys_are_refused_until_it_is_active_again(
    api_keys: ApiKeys, issued: IssuedKey, heard: Heard, database: Database
) -> None:
    stores = Stores(database)
    assert isinstance(await api_keys.authenticate(issued.key), Caller)
    await stores.update(issued.api_key.store_id, status="suspended")
    await heard.next()
    assert await api_keys.authenticate(issued.key) == refused(issued, RefusalCause.SUSPENDED)
    assert not await api_keys.origin_is_listed(ORIGIN)
    await stores.update(issued.api_key.store_id, status="active")
    assert isinstance(await api_keys.authenticate(issued.key), Caller)


async def test_a_change_of_one_store_leaves_the_others_remembered(
    api_keys: ApiKeys,
    issued: IssuedKey,
    heard: Heard,
    database: Database,
    admin: asyncpg.Connection,
) -> None:
    stores = Stores(database)
    other = await stores.create(name="Other", shop_domain="o.example")
    assert isinstance(await api_keys.authenticate(issued.key), Caller)
    await admin.execute(REVOKE_UNANNOUNCED)
    await stores.update(other.store_id, tier="scale")
    await heard.next()
    assert isinstance(await api_keys.authenticate(issued.key), Caller)
    await stores.update(issued.api_key.store_id, tier="scale")
    await heard.next()
    assert await api_keys.authenticate(issued.key) == refused(issued, RefusalCause.REVOKED)


async def test_what_is_remembered_counts_only_while_the_lease_lasts(
    api_keys: ApiKeys, issued: IssuedKey, clock: Clock, admin: asyncpg.Connection
) -> None:
    assert isinstance(await api_keys.authenticate(issued.key), Caller)
    await admin.execute(REVOKE_UNANNOUNCED)
    assert isinstance(await api_keys.authenticate(issued.key), Caller)
    clock.now += LEASE_SECONDS
    assert await api_keys.authenticate(issued.key) == refused(issued, RefusalCause.REVOKED)


async def test_what_is_remembered_is_asked_again_after_a_minute(
    api_keys: ApiKeys,
    issued: IssuedKey,
    clock: Clock,
    listener: Listener,
    admin: asyncpg.Connection,
) -> None:
    assert isinstance(await api_keys.authenticate(issued.key), Caller)
    await admin.execute(REVOKE_UNANNOUNCED)
    clock.now += CACHED_SECONDS_MAX - 1
    await until(listener.is_fresh)
    assert isinstance(await api_keys.authenticate(issued.key), Caller)
    clock.now += 1
    await until(listener.is_fresh)
    assert await api_keys.authenticate(issued.key) == refused(issued, RefusalCause.REVOKED)


async def test_an_expired_key_is_refused(api_keys: ApiKeys, store: Store) -> None:
    issued = await api_keys.create(store.store_id, expires_at=datetime.now(UTC))
    assert issued is not None
    assert await api_keys.authenticate(issued.key) == refused(issued, RefusalCause.EXPIRED)


async def test_a_key_is_not_remembered_past_its_expiry(
    api_keys: ApiKeys, store: Store, heard: Heard, clock: Clock, admin: asyncpg.Connection
) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=50)
    issued = await api_keys.create(store.store_id, expires_at=expires_at)
    assert issued is not None
    await heard.next()
    assert isinstance(await api_keys.authenticate(issued.key), Caller)
    await admin.execute(REVOKE_UNANNOUNCED)
    clock.now += 50
    await until(heard.listener.is_fresh)
    assert await api_keys.authenticate(issued.key) == refused(issued, RefusalCause.REVOKED)


async def test_a_rotated_key_works_on_for_its_grace_and_not_without(
    api_keys: ApiKeys, store: Store, issued: IssuedKey, heard: Heard
) -> None:
    second = await api_keys.rotate(store.store_id, issued.api_key.key_id, grace_seconds=60)
    assert second is not None
    assert second.api_key.allowed_origins == {ORIGIN}
    for key in (issued.key, second.key):
        assert isinstance(await api_keys.authenticate(key), Caller)
    await heard.next()
    third = await api_keys.rotate(store.store_id, second.api_key.key_id)
    assert third is not None
    await heard.next()
    assert await api_keys.authenticate(second.key) == refused(second, RefusalCause.EXPIRED)
    assert isinstance(await api_keys.authenticate(third.key), Caller)
    assert await api_keys.rotate(store.store_id, second.api_key.key_id) is None


async def test_of_several_causes_the_one_that_cannot_be_mended_is_told(
    api_keys: ApiKeys, store: Store, issued: IssuedKey, database: Database
) -> None:
    await Stores(database).update(store.store_id, status="suspended")
    expired = await api_keys.create(store.store_id, expires_at=datetime.now(UTC))
    assert expired is not None
    assert await api_keys.authenticate(expired.key) == refused(expired, RefusalCause.EXPIRED)
    assert await api_keys.revoke(store.store_id, expired.api_key.key_id)
    assert await api_keys.authenticate(expired.key) == refused(expired, RefusalCause.REVOKED)


async def test_new_origins_replace_the_old_and_are_heard(
    api_keys: ApiKeys, store: Store, issued: IssuedKey, heard: Heard
) -> None:
    key_id = issued.api_key.key_id
    assert await api_keys.origin_is_listed(ORIGIN)
    changed = await api_keys.update(
        store.store_id, key_id, allowed_origins=["https://Other.example/"]
    )
    await heard.next()
    assert changed is not None
    assert changed.label == "checkout"
    assert changed.allowed_origins == {"https://other.example"}
    caller = await api_keys.authenticate(issued.key)
    assert isinstance(caller, Caller)
    assert caller.allowed_origins == {"https://other.example"}
    assert not await api_keys.origin_is_listed(ORIGIN)

    relabelled = await api_keys.update(store.store_id, key_id, label="till")
    assert relabelled is not None
    assert relabelled.label == "till"
    assert relabelled.allowed_origins == changed.allowed_origins
    emptied = await api_keys.update(store.store_id, key_id, allowed_origins=[])
    assert emptied is not None
    assert emptied.allowed_origins == frozenset()
    with pytest.raises(ValueError, match="not a web origin"):
        await api_keys.update(store.store_id, key_id, allowed_origins=["other.example"])

    assert await api_keys.update(uuid4(), key_id, label="another store's") is None
    assert await api_keys.revoke(store.store_id, key_id)
    assert await api_keys.update(store.store_id, key_id, label="too late") is None


async def test_operators_are_told_in_words_what_cannot_be(api_keys: ApiKeys, store: Store) -> None:
    with pytest.raises(ValueError, match=r"'corner\.example' is not a web origin"):
        await api_keys.create(store.store_id, allowed_origins=["corner.example"])
    origins = [f"https://{n}.example" for n in range(101)]
    with pytest.raises(ValueError, match="at most 100 origins"):
        await api_keys.create(store.store_id, allowed_origins=origins)
    with pytest.raises(ValueError, match="at most 100 characters"):
        await api_keys.create(store.store_id, label="x" * 101)
    with pytest.raises(ValueError, match="grace time"):
        await api_keys.rotate(store.store_id, uuid4(), grace_seconds=-1)
    assert await api_keys.create(uuid4()) is None
    assert await api_keys.revoke(store.store_id, uuid4()) is False
    assert await api_keys.list(store.store_id) == ()


async def test_a_preflight_is_for_an_origin_that_a_working_key_lists(
    api_keys: ApiKeys, store: Store, issued: IssuedKey, heard: Heard
) -> None:
    assert await api_keys.origin_is_listed(ORIGIN)
    assert not await api_keys.origin_is_listed("https://other.example")
    assert not await api_keys.origin_is_listed("null")
    second = await api_keys.create(store.store_id, allowed_origins=["https://other.example"])
    assert second is not None
    assert await api_keys.origin_is_listed("https://other.example")
    await heard.next()
    for key in (issued, second):
        assert await api_keys.revoke(store.store_id, key.api_key.key_id)
        await heard.next()
    assert not await api_keys.origin_is_listed(ORIGIN)


async def test_a_database_that_is_away_is_no_refusal(
    database_url: str, tmp_path: Path, clock: Clock
) -> None:
    async with Line(database_url, tmp_path).open() as line:
        database = await Database.open(line.url)
        api_keys = ApiKeys(database, Listener(database, CHANNEL), clock=clock)
        line.is_away = True
        with pytest.raises(DatabaseUnavailable):
            await api_keys.authenticate(new_key())
        with pytest.raises(DatabaseUnavailable):
            await api_keys.origin_is_listed(ORIGIN)
        assert await api_keys.authenticate("malformed") is None
        await database.close()


@pytest.mark.parametrize(
    "query, argument, index",
    [
        (CALLERS_BY_HASH, [b"\0" * 32] * 64, "one_key_per_hash"),
        (LONGEST_LISTINGS, [ORIGIN] * 64, "store_api_keys_allowed_origins"),
    ],
)
async def test_a_look_up_uses_its_index(
    admin: asyncpg.Connection, store: Store, query: str, argument: object, index: str
) -> None:
    await admin.execute(
        "INSERT INTO storecredit.store_api_keys"
        " (store_id, key_id, key_hash, key_start, allowed_origins)"
        " SELECT $1, gen_random_uuid(), sha256(n::text::bytea), 'sc_live_abcd',"
        "   ARRAY['https://' || n || '.example'] FROM generate_series(1, 5000) n",
        store.store_id,
    )
    await admin.execute("VACUUM ANALYZE storecredit.store_api_keys")
    plan = await admin.fetch(f"EXPLAIN {query}", argument)
    assert index in "\n".join(row[0] for row in plan)
