"""What is personal of an erased user goes, in the database and on disk; the ledger stays."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from storecredit.generation.erasure import Erasure
from storecredit.generation.lifecycle import Created, GenerationInput
from storecredit.generation.results.store import open_results
from storecredit.ledger.owners import Account, Owner
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings
from tests.image_files import data_url, picture
from tests.log_stream import LogStream
from tests.passing_time import pass_time
from tests.web.conftest import WorkerStarter, http_client
from tests.web.doors import ENDING_SECONDS_MAX, Operator, data_of, error_of
from tests.web.table_rows import of_all_buckets
from tests.web.test_blocked_users import becomes
from tests.web.users import UserClient, ended, refusal_of, user_of

SECRET = "Ada, bride"
PERSONAL = ("input", "metadata", "error_message", "generator_message", "result_key")


async def everything(admin: asyncpg.Connection) -> str:
    """All rows of all our tables, as text."""
    tables = await admin.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'storecredit'::regnamespace"
    )
    rows = [
        str(dict(row))
        for table in tables
        for row in await of_all_buckets(admin, f'SELECT * FROM "{table["relname"]}"')
    ]
    return "\n".join(rows)


async def ledger(admin: asyncpg.Connection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await of_all_buckets(admin, "TABLE movements ORDER BY 1, 2")]


def files(data_dir: Path, owner_id: UUID | str) -> set[str]:
    return {path.name for path in (data_dir / "results" / str(owner_id)).glob("*")}


async def erased(operator: Operator, user: UserClient) -> dict[str, Any]:
    view: dict[str, Any] = data_of(await operator.post(f"/users/{user.user_id}/erase"))
    assert view["status"] == "erased"
    return view


@pytest.fixture
def erasure(database: Database, settings: Settings) -> Erasure:
    """As the sweep calls it."""
    return Erasure(database, open_results(settings), settings)


@pytest.mark.several_buckets
async def test_what_was_sent_told_and_made_is_removed_and_the_ledger_stays(
    operator: Operator,
    user: UserClient,
    worker: WorkerStarter,
    admin: asyncpg.Connection,
    data_dir: Path,
) -> None:
    hat = {"type": SECRET, "url": data_url(picture())}
    other = user_of(user.http)
    async with worker(generator_attempts=1):
        done = await ended(user, await user.created("done", accessories=[hat]))
        broken = {"modelImageUrl": data_url(picture()[:40]), "accessories": [hat]}
        failed = await ended(user, await user.created("failed", **broken))
        kept = await ended(other, await other.created("done", accessories=[hat]))
    waiting = await user.created("waiting", accessories=[hat])
    assert (done["status"], failed["status"]) == ("completed", "failed")
    await of_all_buckets(
        admin,
        """UPDATE sessions SET generator_message = $1, error_message = $1,
               failed_attempts = jsonb_build_array(jsonb_build_object('said', $1::text))
           WHERE session_id = $2""",
        SECRET,
        failed["id"],
    )
    assert (await everything(admin)).count(SECRET) > 1
    before = await ledger(admin)
    assert (await user.http.get(done["result_url"])).status_code == 200

    view = await erased(operator, user)

    assert view["blocked_at"] == view["erased_at"]
    assert view["balance"] == 9, "what waited has come back"
    rows = await of_all_buckets(
        admin,
        "SELECT s.* FROM sessions s JOIN accounts USING (account_id) WHERE owner_id = $1",
        user.user_id,
    )
    assert {str(row["session_id"]): row["status"] for row in rows} == {
        str(done["id"]): "completed",
        str(failed["id"]): "failed",
        waiting: "failed",
    }
    for row in rows:
        assert all(row[name] is None for name in PERSONAL), row
        assert row["fingerprint"] == b"", "what was sent could be guessed from its hash"
    after = await ledger(admin)
    assert after[: len(before)] == before or set(before) < set(after)
    [refund] = set(after) - set(before)
    assert "waiting" in refund
    assert files(data_dir, user.user_id) == set()
    assert (await user.http.get(done["result_url"])).status_code == 404
    assert data_of(await operator.get("/verify"))["clean"]
    # Another's is untouched.
    assert len(files(data_dir, other.user_id)) == 1
    assert (await other.generation(str(kept["id"])))["result_url"] is not None
    assert (await everything(admin)).count(SECRET) == 1, "the other's accessory"


async def charge(
    operator: Operator, user: UserClient, what: str, request_id: str
) -> httpx.Response:
    """The operator's app spends or holds two of the user's credits, and says what for."""
    body = {"amount": 2, "metadata": {"for": SECRET}}
    headers = {"Idempotency-Key": request_id}
    return await operator.send("POST", f"/users/{user.user_id}/{what}", headers=headers, json=body)


async def held(operator: Operator, user: UserClient, request_id: str) -> str:
    """The path of a new hold."""
    made = data_of(await charge(operator, user, "holds", request_id), 201)
    return f"/users/{user.user_id}/holds/{made['hold_id']}"


@pytest.mark.several_buckets
async def test_what_was_sent_with_spends_and_holds_is_removed_and_nothing_moves(
    operator: Operator, user: UserClient, admin: asyncpg.Connection
) -> None:
    assert await user.balance() == 10
    data_of(await charge(operator, user, "spend", "spend-1"), 201)
    over, open_ = [await held(operator, user, f"hold-{number}") for number in range(2)]
    data_of(await operator.post(f"{over}/capture", amount=1))
    await of_all_buckets(admin, "UPDATE holds SET description = $1", SECRET)
    assert SECRET in await everything(admin)
    before = await ledger(admin)

    assert (await erased(operator, user))["balance"] == 5

    assert SECRET not in await everything(admin)
    assert await ledger(admin) == before
    for hold, status in ((over, "captured"), (open_, "held")):
        told = data_of(await operator.get(hold))
        assert (told["status"], told["description"], told["metadata"]) == (status, "", None)
    # Nor is anybody told of what was sent: not even that it was.
    for what, request_id in (("holds", "hold-1"), ("holds", "new"), ("spend", "spend-1")):
        error_of(await charge(operator, user, what, request_id), 409, "USER_ERASED")
    assert await ledger(admin) == before
    assert data_of(await operator.get("/verify"))["clean"]


async def test_holds_of_an_erased_user_end_as_they_would(
    service: Service,
    database: Database,
    operator: Operator,
    user: UserClient,
    admin: asyncpg.Connection,
) -> None:
    assert await user.balance() == 10
    holds = [await held(operator, user, f"hold-{number}") for number in range(4)]
    await erased(operator, user)
    begun = len(await ledger(admin))
    assert data_of(await operator.post(f"{holds[0]}/capture", amount=1))["captured"] == 1
    assert data_of(await operator.send("POST", f"{holds[1]}/release"))["released"] == 2
    data_of(await operator.post(f"{holds[2]}/extend", expires_in_seconds=3600))
    await pass_time(admin, timedelta(minutes=10))
    assert await service.expiry.sweep() == 1
    assert data_of(await operator.get(holds[2]))["status"] == "held"
    assert data_of(await operator.get(holds[3]))["status"] == "expired"
    await pass_time(admin, timedelta(minutes=50))
    error_of(await operator.post(f"{holds[2]}/capture"), 409, "HOLD_ENDED")

    ends = await admin.fetch("SELECT type, amount FROM movements ORDER BY seq OFFSET $1", begun)
    of_two = [("release", 2), ("hold_expiry", 2), ("hold_expiry", 2)]
    assert [tuple(row) for row in ends] == [("capture", 1), ("release", 1), *of_two]
    assert data_of(await operator.get(f"/users/{user.user_id}"))["balance"] == 9
    for every_row in (False, True):
        assert (await verify(database, every_row=every_row)).clean


async def test_an_erased_user_stays_out_and_is_never_made_anew(
    settings: Settings,
    database: Database,
    operator: Operator,
    user: UserClient,
    admin: asyncpg.Connection,
    log: LogStream,
) -> None:
    assert await user.balance() == 10
    first = await erased(operator, user)
    path = f"/users/{user.user_id}"
    for _ in range(2):
        assert await erased(operator, user) == first, "again is the same"
    await becomes(user, 403)
    error_of(await operator.post(f"{path}/unblock"), 409, "USER_ERASED")
    assert data_of(await operator.post(f"{path}/block")) == first
    # A process that has never heard of the user, and a token of the day after.
    async with assembled(settings, database) as service, http_client(service) as api:
        newcomer = user_of(api, user.user_id, is_anonymous=False)
        refusal_of(await newcomer.create("r"), 403, "FORBIDDEN", "generation.create")
    assert await admin.fetchval("SELECT count(*) FROM movements") == 1
    assert await admin.fetchval("SELECT count(*) FROM users") == 1
    assert data_of(await operator.get(path)) == first
    assert len(log.events("user_erased")) == 1


async def test_a_worker_that_is_at_it_finds_it_ended_and_leaves_nothing(
    operator: Operator,
    user: UserClient,
    worker: WorkerStarter,
    admin: asyncpg.Connection,
    data_dir: Path,
) -> None:
    session_id = await user.created("under way")
    account_id = await admin.fetchval("SELECT account_of('user', $1)", user.user_id)
    started = await admin.fetchval(
        "SELECT outcome FROM start_generations(ARRAY[$1::bigint], ARRAY[$2::uuid])",
        account_id,
        session_id,
    )
    assert started == "started"
    await erased(operator, user)
    completed = await admin.fetchval(
        "SELECT outcome FROM complete_generations(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY['k'])",
        account_id,
        session_id,
    )
    assert completed == "already_failed", "its result is thrown away"
    await admin.fetchrow(
        "SELECT * FROM postpone_generation($1, $2, 'words', true)", account_id, session_id
    )
    async with worker(), asyncio.timeout(ENDING_SECONDS_MAX):
        while True:
            if not await admin.fetchval("SELECT count(*) FROM pgqueuer"):
                break
            await asyncio.sleep(0.02)
    [row] = await admin.fetch("SELECT * FROM sessions")
    assert (row["status"], row["result_key"], row["generator_message"]) == ("failed", None, None)
    types = await admin.fetch("SELECT type, amount FROM movements ORDER BY seq")
    assert [row["type"] for row in types] == ["signup_bonus", "deduction", "refund"]
    assert files(data_dir, user.user_id) == set()
    assert data_of(await operator.get("/verify"))["clean"]


async def test_what_comes_late_is_found_by_the_sweep(
    service: Service,
    operator: Operator,
    user: UserClient,
    erasure: Erasure,
    admin: asyncpg.Connection,
    data_dir: Path,
    settings: Settings,
) -> None:
    await user.created("early")
    await erased(operator, user)
    assert await erasure.due(10) == [], "once more later"
    # A call that was under way: it writes a session, and an attempt its result, and both die.
    account_id = await admin.fetchval("SELECT account_of('user', $1)", user.user_id)
    account = Account(account_id, Owner.user(user.user_id))
    created = await service.parts.lifecycle.create(
        account, "late", GenerationInput((SECRET,)), {"accessory_1": SECRET}, credits=1
    )
    assert isinstance(created, Created)
    late = created.session_id
    directory = data_dir / "results" / str(user.user_id)
    directory.mkdir(parents=True, exist_ok=True)
    for name in (f"{late}.png", f".{late}.jpg.0123456789abcdef.draft", f"{UUID(int=6)}.png"):
        (directory / name).write_bytes(picture())
    await service.sweep.sweep()
    assert SECRET in await everything(admin), "it is not due yet"

    later = settings.generation_deadline_seconds + 1
    await admin.execute(
        """UPDATE storecredit.users SET erased_at = erased_at - make_interval(secs => $1),
               erasure_due_at = erasure_due_at - make_interval(secs => $1)""",
        later,
    )
    await service.sweep.sweep()

    assert SECRET not in await everything(admin)
    assert files(data_dir, user.user_id) == {f"{UUID(int=6)}.png"}, "of no session of the user's"
    assert await admin.fetchval("SELECT erasure_due_at FROM storecredit.users") is None
    assert await admin.fetchval("SELECT count(*) FROM sessions WHERE status = 'failed'") == 2
    assert data_of(await operator.get(f"/users/{user.user_id}"))["balance"] == 10
    assert data_of(await operator.get("/verify"))["clean"]


async def test_a_disk_that_fails_is_tried_again_and_keeps_nobody_else(
    service: Service,
    operator: Operator,
    user: UserClient,
    worker: WorkerStarter,
    log: LogStream,
    admin: asyncpg.Connection,
    data_dir: Path,
) -> None:
    other = user_of(user.http)
    async with worker():
        session_ids = [await each.created("r") for each in (user, other)]
        for each, session_id in zip((user, other), session_ids, strict=True):
            await ended(each, session_id)
    for each in (user, other):
        assert await admin.fetchval("SELECT erase_user($1)", each.user_id) == "erased"
    # In the place of the first one's result there is what cannot be unlinked.
    [name] = files(data_dir, user.user_id)
    path = data_dir / "results" / str(user.user_id) / name
    path.unlink()
    path.mkdir()
    await service.sweep.sweep()
    assert files(data_dir, other.user_id) == set()
    assert [line["user_id"] for line in log.events("erasure_not_settled")] == [str(user.user_id)]
    path.rmdir()
    path.write_bytes(b"again")
    await service.sweep.sweep()
    assert files(data_dir, user.user_id) == set()
    keys = "SELECT count(*) FROM sessions WHERE result_key IS NOT NULL"
    assert await admin.fetchval(keys) == 0


async def test_a_store_of_the_same_id_keeps_its_results(
    operator: Operator, worker: WorkerStarter, data_dir: Path
) -> None:
    store = await operator.store()
    twin = user_of(operator.http, UUID(store.store_id))
    async with worker():
        kept = await store.ended(await store.created("r"))
        await ended(twin, await twin.created("r"))
    assert len(files(data_dir, store.store_id)) == 2
    await erased(operator, twin)
    assert files(data_dir, store.store_id) == {f"{kept['session_id']}.png"}
    assert (await store.http.get(kept["result_url"])).status_code == 200
    assert await store.balance() == 99
    assert (await store.create("next")).status_code == 201
