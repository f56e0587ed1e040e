"""Sign-ins: by token, key and link, each at its own door, and over with whatever is behind them."""

import asyncio
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from itsdangerous import Signer
from pydantic import SecretStr

from storecredit.generation.results.store import open_results
from storecredit.operator.actions import OperatorActions
from storecredit.operator.audit import ActionContext
from storecredit.operator.drawing import drawn, seed_of_form
from storecredit.operator.sign_ins import Door, NewSignIn, SignIns
from storecredit.operator.stores import MadeStore, NewStore, StoreChanges
from storecredit.operator.tokens import ADMINISTRATOR, Principal, Scope
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.web.table_rows import of_all_buckets

pytestmark = pytest.mark.several_buckets

ANN = ActionContext("ann", "api", "req-1")
ADMIN_TOKEN = "the operator's own, été"
OVER = "UPDATE storecredit.{} SET created_at = now() - interval '2 d', expires_at = now()"


def settings_of(data_dir: Path, token: str | None = ADMIN_TOKEN) -> Settings:
    return Settings(data_dir=data_dir, admin_token=None if token is None else SecretStr(token))


@pytest.fixture
def acting(buckets: Buckets, tmp_path: Path) -> OperatorActions:
    settings = settings_of(tmp_path)
    return OperatorActions.over(buckets, open_results(settings), settings)


@pytest.fixture
def sign_ins(acting: OperatorActions) -> SignIns:
    return acting.sign_ins


async def store_of(acting: OperatorActions) -> MadeStore:
    return await acting.stores.make(ANN, NewStore("Hats", "hats.example"))


async def token_of(acting: OperatorActions, name: str = "ann", **more: Any) -> tuple[UUID, str]:
    made = await acting.tokens.create(ANN, name, {Scope.READ, Scope.KEYS}, **more)
    assert made.token is not None
    return made.admin_token.token_id, made.token


async def by_link(sign_ins: SignIns, store: MadeStore, **more: Any) -> NewSignIn:
    link = await sign_ins.portal_link(store.store.store_id, "store", behind=store.key_id, **more)
    return begun(await sign_ins.with_link(link.code, "portal"))


def begun(new: NewSignIn | None) -> NewSignIn:
    assert new is not None
    return new


async def test_an_operator_signs_in_with_either_token(
    acting: OperatorActions, sign_ins: SignIns
) -> None:
    admin = begun(await sign_ins.with_token(ADMIN_TOKEN))
    named = begun(await sign_ins.with_token((await token_of(acting))[1]))
    assert (admin.sign_in.actor, admin.sign_in.principal) == ("admin", ADMINISTRATOR)
    ann = Principal("ann", frozenset({Scope.READ, Scope.KEYS}))
    assert (named.sign_in.actor, named.sign_in.principal) == ("ann", ann)
    for new in (admin, named):
        lasts = new.sign_in.expires_at - new.sign_in.created_at
        assert (new.sign_in.door, new.sign_in.store_id, lasts) == (
            "console",
            None,
            timedelta(hours=12),
        )
        assert await sign_ins.find(new.cookie, "console") == new.sign_in
        assert new.cookie not in repr(new)
        assert new.sign_in.csrf_token not in repr(new)
    assert admin.sign_in.csrf_token != named.sign_in.csrf_token


async def test_a_store_signs_in_with_its_key(acting: OperatorActions, sign_ins: SignIns) -> None:
    store = await store_of(acting)
    new = begun(await sign_ins.with_key(store.key or ""))
    assert (new.sign_in.door, new.sign_in.principal, new.sign_in.actor) == ("portal", None, "store")
    assert new.sign_in.store_id == store.store.store_id
    assert new.sign_in.expires_at - new.sign_in.created_at == timedelta(hours=1)
    assert await sign_ins.find(new.cookie, "portal") == new.sign_in


async def test_what_works_not_signs_nobody_in(
    acting: OperatorActions, sign_ins: SignIns, buckets: Buckets, tmp_path: Path
) -> None:
    store = await store_of(acting)
    _, token = await token_of(acting)
    key = store.key or ""
    for wrong in (
        "",
        " ",
        "x",
        f"{ADMIN_TOKEN} ",
        ADMIN_TOKEN[:-1],
        f"{token}x",
        key,
        "\0",
        "\udcff",
    ):
        assert await sign_ins.with_token(wrong) is None, wrong
    for wrong in ("", key[:-1], f"{key}x", token, ADMIN_TOKEN, "\0", "\udcff"):
        assert await sign_ins.with_key(wrong) is None, wrong
    no_token = SignIns(buckets, settings_of(tmp_path, None))
    assert await no_token.with_token("") is None


async def test_a_link_signs_in_once_at_its_own_door(
    acting: OperatorActions, sign_ins: SignIns
) -> None:
    store = await store_of(acting)
    portal = await sign_ins.portal_link(store.store.store_id, "ann", seconds=7200, link_seconds=60)
    console = await sign_ins.console_link()
    assert portal.code not in repr(portal)
    wrong_doors: tuple[tuple[str, Door], ...] = (
        (portal.code, "console"),
        (console.code, "portal"),
        (portal.code[:-1], "portal"),
    )
    for code, door in wrong_doors:
        assert await sign_ins.with_link(code, door) is None
    for wrong in ("", portal.code + "x", "\0", "\udcff", "x" * 100_000):
        assert await sign_ins.with_link(wrong, "portal") is None

    in_portal = begun(await sign_ins.with_link(portal.code, "portal")).sign_in
    assert (in_portal.store_id, in_portal.actor) == (store.store.store_id, "ann")
    assert in_portal.expires_at - in_portal.created_at == timedelta(seconds=7200)
    in_console = begun(await sign_ins.with_link(console.code, "console")).sign_in
    assert in_console.principal == replace(ADMINISTRATOR, has_token=False)
    assert in_console.store_id is None
    assert await sign_ins.with_link(portal.code, "portal") is None
    assert await sign_ins.with_link(console.code, "console") is None


async def test_of_many_who_use_a_link_at_once_one_is_signed_in(
    acting: OperatorActions, sign_ins: SignIns, admin: asyncpg.Connection
) -> None:
    store = await store_of(acting)
    for _ in range(10):
        link = await sign_ins.portal_link(store.store.store_id, "ann")
        tries = [sign_ins.with_link(link.code, "portal") for _ in range(8)]
        assert [new is None for new in await asyncio.gather(*tries)].count(False) == 1
    assert await admin.fetchval("SELECT count(*) FROM storecredit.sign_ins") == 10
    assert await admin.fetchval("SELECT count(*) FROM storecredit.sign_in_links") == 0


async def test_a_second_use_waits_for_the_first_and_finds_the_link_gone(
    acting: OperatorActions, sign_ins: SignIns, database: Database, admin: asyncpg.Connection
) -> None:
    store = await store_of(acting)
    link = await sign_ins.portal_link(store.store.store_id, "ann")
    async with database.transaction():
        begun(await sign_ins.with_link(link.code, "portal"))
        second = asyncio.create_task(sign_ins.with_link(link.code, "portal"))
        while not await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not second.done()
            await asyncio.sleep(0.01)
    assert await second is None


async def test_a_cookie_of_one_door_is_none_at_the_other(
    acting: OperatorActions, sign_ins: SignIns
) -> None:
    store = await store_of(acting)
    console = begun(await sign_ins.with_token(ADMIN_TOKEN)).cookie
    portal = (await by_link(sign_ins, store)).cookie
    assert await sign_ins.find(console, "portal") is None
    assert await sign_ins.find(portal, "console") is None
    await sign_ins.end(console, "portal")
    await sign_ins.end(portal, "console")
    assert await sign_ins.find(console, "console") is not None
    assert await sign_ins.find(portal, "portal") is not None


async def test_row_and_signature_each_keep_the_doors_apart(
    acting: OperatorActions, sign_ins: SignIns, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    store = await store_of(acting)
    cookie = begun(await sign_ins.with_token(ADMIN_TOKEN)).cookie
    for_portals = Signer(
        (tmp_path / "signing.key").read_bytes(),
        salt=b"storecredit.sign-in.portal",
        key_derivation="hmac",
        digest_method=sha256,
    )
    signed_anew = for_portals.sign(cookie.rpartition(".")[0]).decode()
    assert await sign_ins.find(signed_anew, "portal") is None
    await sign_ins.end(signed_anew, "portal")
    assert await sign_ins.find(cookie, "console") is not None
    await admin.execute(
        "UPDATE storecredit.sign_ins SET door = 'portal', store_id = $1", store.store.store_id
    )
    assert await sign_ins.find(cookie, "portal") is None
    assert await sign_ins.find(signed_anew, "portal") is not None


async def test_a_cookie_that_was_touched_is_none(
    sign_ins: SignIns, buckets: Buckets, tmp_path: Path
) -> None:
    cookie = begun(await sign_ins.with_token(ADMIN_TOKEN)).cookie
    secret, _, signature = cookie.rpartition(".")
    other_key = SignIns(buckets, settings_of(tmp_path / "elsewhere"))
    assert await other_key.find(cookie, "console") is None
    with_two = begun(await sign_ins.with_token(ADMIN_TOKEN)).cookie.rpartition(".")
    touched = [cookie[:end] for end in range(len(cookie))]
    touched += [f"{cookie}=", f"{cookie}.", f" {cookie}", f'"{cookie}"', f"é{cookie}", "x" * 10_000]
    touched += [f"{secret}.{with_two[2]}", f"{with_two[0]}.{signature}", secret, f"{secret}."]
    letters = string.ascii_letters + string.digits + "-_"
    for place, letter in enumerate(cookie):
        changed = letters[(letters.index(letter) + 1) % 64] if letter in letters else "!"
        touched.append(cookie[:place] + changed + cookie[place + 1 :])
    for each in touched:
        assert await sign_ins.find(each, "console") is None, each
        await sign_ins.end(each, "console")
    assert await sign_ins.find(cookie, "console") is not None


async def test_who_signs_out_is_out_and_nobody_else_is(sign_ins: SignIns) -> None:
    one, other = [begun(await sign_ins.with_token(ADMIN_TOKEN)).cookie for _ in range(2)]
    for _ in range(2):
        await sign_ins.end(one, "console")
        assert await sign_ins.find(one, "console") is None
    assert await sign_ins.find(other, "console") is not None


async def test_a_sign_in_ends_with_the_operators_token(
    acting: OperatorActions, sign_ins: SignIns, admin: asyncpg.Connection
) -> None:
    store = await store_of(acting)
    ann = Principal("ann", frozenset({Scope.KEYS}))
    token_id, token = await token_of(acting)
    _, bobs = await token_of(acting, "bob", expires_at=datetime.now(UTC) + timedelta(days=1))
    console = begun(await sign_ins.with_token(token)).cookie
    bob = begun(await sign_ins.with_token(bobs)).cookie
    links = [await sign_ins.portal_link(store.store.store_id, "ann", behind=ann) for _ in range(2)]
    portal = begun(await sign_ins.with_link(links[0].code, "portal")).cookie

    assert await acting.tokens.revoke(ANN, token_id)
    assert await sign_ins.find(console, "console") is None
    assert await sign_ins.find(portal, "portal") is None
    assert await sign_ins.with_link(links[1].code, "portal") is None
    assert await sign_ins.with_token(token) is None
    assert await sign_ins.find(bob, "console") is not None
    await admin.execute("UPDATE storecredit.admin_tokens SET expires_at = now() WHERE name = 'bob'")
    assert await sign_ins.find(bob, "console") is None
    assert await sign_ins.with_token(bobs) is None


async def test_what_a_token_may_is_asked_anew(
    acting: OperatorActions, sign_ins: SignIns, admin: asyncpg.Connection
) -> None:
    cookie = begun(await sign_ins.with_token((await token_of(acting))[1])).cookie
    await admin.execute("UPDATE storecredit.admin_tokens SET scopes = '{read}'")
    found = await sign_ins.find(cookie, "console")
    assert found is not None
    assert found.principal == Principal("ann", frozenset({Scope.READ}))


@pytest.mark.parametrize("changed", ["another of the operator's", None])
async def test_a_sign_in_ends_when_the_admin_token_is_another(
    acting: OperatorActions,
    sign_ins: SignIns,
    buckets: Buckets,
    tmp_path: Path,
    changed: str | None,
) -> None:
    store = await store_of(acting)
    console = begun(await sign_ins.with_token(ADMIN_TOKEN)).cookie
    named = begun(await sign_ins.with_token((await token_of(acting))[1])).cookie
    links = [
        await sign_ins.portal_link(store.store.store_id, "admin", behind=ADMINISTRATOR)
        for _ in range(2)
    ]
    portal = begun(await sign_ins.with_link(links[0].code, "portal")).cookie

    restarted = SignIns(buckets, settings_of(tmp_path, changed))
    assert await restarted.find(console, "console") is None
    assert await restarted.find(portal, "portal") is None
    assert await restarted.with_link(links[1].code, "portal") is None
    assert await restarted.find(named, "console") is not None
    as_before = SignIns(buckets, settings_of(tmp_path))
    assert await as_before.find(console, "console") is not None
    assert await as_before.with_link(links[1].code, "portal") is not None


async def test_a_commands_link_to_the_console_asks_for_no_token(
    buckets: Buckets, tmp_path: Path
) -> None:
    # Of another data directory, and without the token that the service has.
    commands = SignIns(buckets, settings_of(tmp_path / "elsewhere", None))
    link = await commands.console_link("ann")
    assert not (tmp_path / "elsewhere").exists()
    sign_ins = SignIns(buckets, settings_of(tmp_path))
    new = begun(await sign_ins.with_link(link.code, "console"))
    assert new.sign_in.principal == Principal("ann", frozenset({Scope.ALL}), has_token=False)
    assert new.sign_in.actor == "ann"
    restarted = SignIns(buckets, settings_of(tmp_path, "another"))
    assert await restarted.find(new.cookie, "console") == new.sign_in
    await restarted.end(new.cookie, "console")
    assert await sign_ins.find(new.cookie, "console") is None


async def test_what_a_form_draws_is_its_own_and_its_sign_ins(sign_ins: SignIns) -> None:
    codes = [(await sign_ins.console_link()).code for _ in range(2)]
    first, second = [begun(await sign_ins.with_link(code, "console")) for code in codes]
    found = await sign_ins.find(first.cookie, "console")
    assert found is not None
    assert found.seed == first.sign_in.seed != second.sign_in.seed
    assert seed_of_form(found.seed, "form_1") != seed_of_form(found.seed, "form_2")
    assert drawn(found.seed) == drawn(found.seed) != drawn(second.sign_in.seed)
    assert drawn(None) != drawn(None)
    context = ActionContext("ann", "console", "form_1", seed=found.seed)
    for told in (repr(found), repr(context)):
        assert repr(found.seed) not in told


async def test_a_portal_ends_with_the_key_behind_it(
    acting: OperatorActions, sign_ins: SignIns, admin: asyncpg.Connection
) -> None:
    store = await store_of(acting)
    store_id = store.store.store_id
    with_key = begun(await sign_ins.with_key(store.key or "")).cookie
    linked = (await by_link(sign_ins, store)).cookie
    unused = await sign_ins.portal_link(store_id, "store", behind=store.key_id)
    by_command = await sign_ins.portal_link(store_id, "ann")
    operators = begun(await sign_ins.with_link(by_command.code, "portal")).cookie
    rotated = await acting.stores.rotate_key(ANN, store_id, store.key_id, grace_seconds=3600)
    assert rotated is not None
    newer = begun(await sign_ins.with_key(rotated.key or "")).cookie

    # As long as the old key works for its grace.
    assert await sign_ins.find(linked, "portal") is not None
    await of_all_buckets(
        admin, "UPDATE store_api_keys SET expires_at = now() WHERE key_id = $1", store.key_id
    )
    for cookie in (with_key, linked):
        assert await sign_ins.find(cookie, "portal") is None
    assert await sign_ins.with_link(unused.code, "portal") is None
    assert await sign_ins.with_key(store.key or "") is None
    for cookie in (newer, operators):
        assert await sign_ins.find(cookie, "portal") is not None
    assert await acting.stores.revoke_key(ANN, store_id, rotated.api_key.key_id)
    assert await sign_ins.find(newer, "portal") is None
    assert await sign_ins.with_key(rotated.key or "") is None
    assert await sign_ins.find(operators, "portal") is not None


async def test_nobody_is_in_the_portal_of_a_suspended_store(
    acting: OperatorActions, sign_ins: SignIns
) -> None:
    store, other = await store_of(acting), await store_of(acting)
    store_id = store.store.store_id
    cookie = (await by_link(sign_ins, store)).cookie
    others = (await by_link(sign_ins, other)).cookie
    link = await sign_ins.portal_link(store_id, "ann")

    await acting.stores.change(ANN, store_id, StoreChanges(status="suspended"))
    assert await sign_ins.find(cookie, "portal") is None
    assert await sign_ins.with_link(link.code, "portal") is None
    assert await sign_ins.with_key(store.key or "") is None
    assert await sign_ins.find(others, "portal") is not None
    await acting.stores.change(ANN, store_id, StoreChanges(status="active"))
    assert await sign_ins.with_link(link.code, "portal") is not None


async def test_what_is_over_is_over_and_removed_in_passing(
    acting: OperatorActions, sign_ins: SignIns, admin: asyncpg.Connection
) -> None:
    store = await store_of(acting)
    cookie = begun(await sign_ins.with_token(ADMIN_TOKEN)).cookie
    link = await sign_ins.console_link()
    for table in ("sign_ins", "sign_in_links"):
        await admin.execute(OVER.format(table))
    assert await sign_ins.find(cookie, "console") is None
    assert await sign_ins.with_link(link.code, "console") is None

    # Behind more that is over than is removed in passing.
    await _fill(admin, 250)
    late = await sign_ins.console_link()
    just_over = "UPDATE storecredit.sign_in_links SET expires_at = now() WHERE expires_at > now()"
    assert await admin.execute(just_over) == "UPDATE 1"
    assert await sign_ins.with_link(late.code, "console") is None

    await admin.execute("DELETE FROM storecredit.sign_ins; DELETE FROM storecredit.sign_in_links")
    await _fill(admin, 250)
    for left in (150, 50, 0):
        await sign_ins.portal_link(store.store.store_id, "ann")
        for table in ("sign_ins", "sign_in_links"):
            over = f"SELECT count(*) FROM storecredit.{table} WHERE expires_at <= now()"
            assert await admin.fetchval(over) == left
    assert await admin.fetchval("SELECT count(*) FROM storecredit.sign_in_links") == 3


async def _fill(admin: asyncpg.Connection, rows: int) -> None:
    await admin.execute(
        """INSERT INTO storecredit.sign_ins
               (sign_in_id, expires_at, door, actor, secret_hash, admin_mark)
           SELECT gen_random_uuid(), now(), 'console', 'admin', sha256(n::text::bytea), sha256('')
           FROM generate_series(1, $1) n""",
        rows,
    )
    await admin.execute(
        """INSERT INTO storecredit.sign_in_links
               (code_hash, expires_at, door, issued_by, sign_in_seconds, admin_mark)
           SELECT sha256(n::text::bytea), now(), 'console', 'admin', 1, sha256('')
           FROM generate_series(1, $1) n""",
        rows,
    )


@pytest.mark.parametrize("seconds", [0, -1, 86_401])
async def test_a_time_that_is_too_long_or_none_is_refused(
    acting: OperatorActions, sign_ins: SignIns, seconds: int
) -> None:
    store_id = (await store_of(acting)).store.store_id
    with pytest.raises(ValueError, match="a sign-in lasts"):
        await sign_ins.portal_link(store_id, "ann", seconds=seconds)
    with pytest.raises(ValueError, match="a link works"):
        await sign_ins.portal_link(store_id, "ann", link_seconds=seconds)


async def test_nothing_that_lets_anybody_in_is_kept(
    acting: OperatorActions, sign_ins: SignIns, admin: asyncpg.Connection
) -> None:
    store = await store_of(acting)
    console = begun(await sign_ins.with_token(ADMIN_TOKEN))
    portal = begun(await sign_ins.with_key(store.key or ""))
    links = [await sign_ins.console_link(), await sign_ins.portal_link(store.store.store_id, "ann")]
    kept = b"".join(
        [
            str(await of_all_buckets(admin, f"SELECT t::text FROM {table} t")).encode()
            + b"".join(
                value
                for row in await of_all_buckets(admin, f"SELECT * FROM {table}")
                for value in row.values()
                if isinstance(value, bytes)
            )
            for table in ("sign_ins", "sign_in_links", "audit_log", "store_api_keys")
        ]
    )
    secrets = [ADMIN_TOKEN, store.key or "", *(link.code for link in links)]
    for new in (console, portal):
        secrets += [new.cookie, *new.cookie.split("."), new.sign_in.csrf_token]
    for secret in secrets:
        for spelt in (secret.encode(), secret.encode().hex().encode()):
            assert spelt not in kept
    # Nor what a list of likely tokens, hashed, would show.
    mark = await admin.fetchval(
        "SELECT admin_mark FROM storecredit.sign_ins WHERE admin_mark IS NOT NULL"
    )
    assert len(mark) == 32
    assert mark != await admin.fetchval("SELECT sha256(convert_to($1, 'utf8'))", ADMIN_TOKEN)


async def test_they_are_found_by_an_index(database: Database, admin: asyncpg.Connection) -> None:
    await _fill(admin, 5000)
    await admin.execute("ANALYZE storecredit.sign_ins; ANALYZE storecredit.sign_in_links")
    for table, column in (("sign_ins", "secret_hash"), ("sign_in_links", "code_hash")):
        plan = await admin.fetch(
            f"EXPLAIN SELECT * FROM storecredit.{table} WHERE {column} = sha256('x')"
        )
        assert "Index" in str(plan[0]), plan


async def test_a_database_that_only_reads_finds_and_begins_nothing(
    acting: OperatorActions,
    sign_ins: SignIns,
    database: Database,
    admin: asyncpg.Connection,
) -> None:
    store = await store_of(acting)
    store_id = store.store.store_id
    cookie = (await by_link(sign_ins, store)).cookie
    link = await sign_ins.portal_link(store_id, "ann")
    async with database.transaction():
        await database.fetchval("SELECT set_config('transaction_read_only', 'on', true)")
        assert await sign_ins.find(cookie, "portal") is not None
    doors: tuple[Door, ...] = ("console", "portal")
    for attempt in (
        lambda: sign_ins.with_token(ADMIN_TOKEN),
        lambda: sign_ins.with_key(store.key or ""),
        lambda: sign_ins.with_link(link.code, doors[1]),
        sign_ins.console_link,
        lambda: sign_ins.portal_link(store_id, "ann"),
    ):
        with pytest.raises(DatabaseUnavailable):
            await _while_it_only_reads(database, attempt)
    assert await sign_ins.find(cookie, "portal") is not None
    assert not await _while_it_only_reads(database, lambda: sign_ins.end(cookie, doors[1]))
    assert await sign_ins.find(cookie, "portal") is None, "it is ended once that can be written"
    assert await admin.fetchval("SELECT count(*) FROM storecredit.sign_in_links") == 1


async def _while_it_only_reads(database: Database, attempt: Any) -> Any:
    async with database.transaction():
        await database.fetchval("SELECT set_config('transaction_read_only', 'on', true)")
        return await attempt()
