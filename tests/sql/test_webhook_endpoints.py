"""Webhook endpoints as functions: what races, what nobody reads, what waits for an endpoint."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.conftest import Callers
from tests.sql.ledgers import credits_of, open_account, sqlstate_of
from tests.sql.listening import OPERATOR, Told, listen, told

CREATE = "SELECT create_webhook_endpoint($1, $2, $3, 'https://hats.example/', '{*}')"
SIGNS = "SELECT webhook_secret_signs($1, $2, $3)"
ROTATE = "SELECT * FROM rotate_webhook_secret($1, $2, $3, $4)"
RESEND = "SELECT * FROM resend_deliveries($1, $2, $3, $4, $5, $6)"
Page = tuple[int, int | None]
"""How many were sent again, and where to go on."""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def deaf(books: asyncpg.Connection) -> None:
    """Nobody listens but whom the test puts there."""
    await books.execute("TRUNCATE storecredit.webhook_endpoints CASCADE")


@pytest_asyncio.fixture(loop_scope="module")
async def account(books: asyncpg.Connection) -> Account:
    """A store's, with ten credits."""
    return await open_account(books, OwnerKind.STORE, 10)


async def happen(books: asyncpg.Connection, account: Account | None, *types: str) -> None:
    """Events of these types, one after the other."""
    id_ = None if account is None else account.id
    await books.execute(
        "SELECT storecredit.tell($1, $2, $3)", types, [id_] * len(types), ["{}"] * len(types)
    )


async def rows_of(books: asyncpg.Connection, endpoint_id: UUID) -> list[tuple[Any, ...]]:
    """Status, retries and whether it is due at once, in an ordered endpoint's way or another's."""
    rows = await books.fetch(
        """SELECT status, retries, CASE WHEN next_attempt_at = '-infinity' THEN 'in order'
               WHEN next_attempt_at <= now() THEN 'at once'
               WHEN next_attempt_at IS NOT NULL THEN 'later' END
           FROM storecredit.deliveries WHERE endpoint_id = $1 ORDER BY seq""",
        endpoint_id,
    )
    return [tuple(row) for row in rows]


async def end(books: asyncpg.Connection, endpoint_id: UUID, *statuses: str) -> list[int]:
    """Have the endpoint's deliveries end so, the oldest first; their seqs."""
    rows = await books.fetch(
        "SELECT seq FROM storecredit.deliveries WHERE endpoint_id = $1 ORDER BY seq", endpoint_id
    )
    seqs = [row["seq"] for row in rows]
    for seq, status in zip(seqs, statuses, strict=True):
        await books.execute(
            """UPDATE storecredit.deliveries
               SET status = $3, retries = 3, attempts = 4,
                   ended_at = CASE WHEN $3 <> 'pending' THEN now() END,
                   next_attempt_at = CASE WHEN $3 = 'pending' THEN now() + interval '1 hour' END
               WHERE endpoint_id = $1 AND seq = $2""",
            endpoint_id,
            seq,
            status,
        )
    return seqs


async def test_who_deletes_an_endpoint_holds_up_and_breaks_nothing_that_is_told_it(
    callers: Callers, books: asyncpg.Connection, account: Account
) -> None:
    endpoint_id = await listen(books, account, "*")
    deleting, spending = await callers(2)
    await spending.execute("SET lock_timeout = '2s'")
    async with deleting.transaction():
        deleted = "SELECT delete_webhook_endpoint($1, $2)"
        assert await deleting.fetchval(deleted, account.id, endpoint_id) is True
        await spending.execute(
            "SELECT deduct_from_accounts($1, '{10}', '{all}', NULL)", [account.id]
        )
    assert (await credits_of(books, account)).balance == 0
    assert await books.fetchval("SELECT count(*) FROM storecredit.webhook_endpoints") == 0


async def test_of_endpoints_made_at_once_none_is_one_too_many(
    callers: Callers, books: asyncpg.Connection, account: Account
) -> None:
    callers_ = await callers(6)
    for owner in (account.id, OPERATOR):
        outcomes = await asyncio.gather(
            *(
                caller.fetchval(f"{CREATE[:-1]}, p_endpoints_max => 4)", owner, uuid4(), b"s" * 32)
                for caller in callers_
            )
        )
        assert sorted(outcomes) == ["created"] * 4 + ["full"] * 2
    assert await books.fetchval("SELECT count(*) FROM storecredit.webhook_endpoints") == 8
    assert await books.fetchval("SELECT count(*) FROM storecredit.webhook_secrets") == 8


async def test_nobody_reads_a_secret_but_the_functions(app: Connection, account: Account) -> None:
    await app.execute(CREATE, account.id, uuid4(), b"s" * 32)
    for statement in (
        "SELECT secret FROM storecredit.webhook_secrets",
        "SELECT count(*) FROM storecredit.webhook_secrets",
        "COPY storecredit.webhook_secrets TO STDOUT",
    ):
        assert await sqlstate_of(app.execute(statement)) == "42501"


async def test_all_types_are_heard_by_whom_wants_all_those_of_later_versions_too(
    app: Connection, books: asyncpg.Connection, account: Account
) -> None:
    everything, one = await listen(books, account, "*"), await listen(books, account, "key.revoked")
    operators = await listen(books, OPERATOR, "*")
    await happen(books, account, "key.revoked", "of.later")
    await happen(books, None, "billing.problem")
    of_store = [Told("key.revoked", {}), Told("of.later", {})]
    assert await told(books, everything) == of_store
    assert await told(books, one) == of_store[:1]
    assert await told(books, operators) == [*of_store, Told("billing.problem", {})]
    # What tells of movements is asked for by those, too.
    await app.execute("SELECT deduct_from_accounts($1, '{10}', '{all}', NULL)", [account.id])
    types = [each.type for each in await told(books, everything)]
    assert types[2:] == ["credits.low", "credits.depleted"]


async def test_a_test_is_told_to_one_endpoint_alone(
    app: Connection, books: asyncpg.Connection, account: Account
) -> None:
    tested, other = await listen(books, account, "key.revoked"), await listen(books, account, "*")
    operators = await listen(books, OPERATOR, "*", is_ordered=True)
    outcome = "SELECT outcome FROM test_webhook_endpoint($1, $2)"
    assert await app.fetchval(outcome, account.id, tested) == "told"
    assert await told(books, tested) == [Told("webhook.test", {"endpoint_id": str(tested)})]
    assert await told(books, other) == await told(books, operators) == []
    assert await app.fetchval(outcome, OPERATOR, operators) == "told"
    assert await rows_of(books, operators) == [("pending", 0, "in order")]
    owners = "SELECT account_id FROM storecredit.events ORDER BY seq DESC LIMIT 2"
    assert [row["account_id"] for row in await books.fetch(owners)] == [None, account.id]


async def test_what_waits_for_an_endpoint_waits_in_the_way_that_it_is_told_from_now_on(
    app: Connection, books: asyncpg.Connection, account: Account
) -> None:
    endpoint_id = await listen(books, account, "*")
    await happen(books, account, "a", "b", "c")
    await end(books, endpoint_id, "pending", "delivered", "pending")
    update = "SELECT update_webhook_endpoint($1, $2, p_is_ordered => $3)"
    resumes = "SELECT resumes_at FROM storecredit.webhook_endpoints WHERE endpoint_id = $1"
    ended = ("delivered", 3, None)

    assert await app.fetchval(update, account.id, endpoint_id, True)
    in_order = ("pending", 3, "in order")
    assert await rows_of(books, endpoint_id) == [in_order, ended, in_order]
    await books.execute("UPDATE storecredit.webhook_endpoints SET resumes_at = now()")
    assert await app.fetchval(update, account.id, endpoint_id, True)
    assert await books.fetchval(resumes, endpoint_id) is not None, "nothing has changed"
    assert await app.fetchval(update, account.id, endpoint_id, False)
    assert await books.fetchval(resumes, endpoint_id) is None
    at_once = ("pending", 3, "at once")
    assert await rows_of(books, endpoint_id) == [at_once, ended, at_once]


@pytest.mark.parametrize("is_ordered", [False, True])
async def test_what_has_ended_since_then_is_sent_again_page_by_page(
    app: Connection, books: asyncpg.Connection, account: Account, is_ordered: bool
) -> None:
    endpoint_id = await listen(books, account, "*", is_ordered=is_ordered)
    await happen(books, account, *"abcdef")
    ends = ("failed", "delivered", "failed", "pending", "failed", "delivered")
    seqs = await end(books, endpoint_id, *ends)
    await books.execute(
        "UPDATE storecredit.events SET created_at = created_at - interval '1 hour' WHERE seq = $1",
        seqs[0],
    )
    since = datetime.now(UTC) - timedelta(minutes=30)

    async def resend(
        moment: datetime, statuses: list[str], most: int
    ) -> list[tuple[int, int | None]]:
        pages: list[tuple[int, int | None]] = []
        after: int | None = 0
        while after is not None:
            row = await app.fetchrow(RESEND, account.id, endpoint_id, moment, statuses, after, most)
            assert row is not None
            assert row["outcome"] == "pending"
            after = row["last_seq"]
            pages.append((row["resent"], after))
        return pages

    due = "in order" if is_ordered else "at once"
    assert await resend(since, ["failed"], 1) == [(1, seqs[2]), (1, seqs[4]), (0, None)]
    found = await rows_of(books, endpoint_id)
    assert found[2] == found[4] == ("pending", 0, due)
    assert [row[0] for row in found] == [
        *("failed", "delivered", "pending", "pending", "pending", "delivered")
    ]
    assert found[3] == ("pending", 3, "later"), "it was on its way already"
    assert await resend(LONG_AGO, ["failed", "delivered"], 10) == [(3, None)]
    assert await resend(LONG_AGO, ["failed", "delivered"], 10) == [(0, None)]


async def test_an_ordered_endpoint_that_waits_resumes_when_no_attempt_can_be_under_way(
    app: Connection, books: asyncpg.Connection, account: Account
) -> None:
    endpoint_id = await listen(books, account, "*", is_ordered=True)
    await happen(books, account, "a")
    event_id = await books.fetchval("SELECT event_id FROM storecredit.events ORDER BY seq DESC")
    resend = "SELECT resend_delivery($1, $2, $3, '60 s')"
    resumes = "SELECT resumes_at FROM storecredit.webhook_endpoints"

    async def resumed_after(wait: timedelta) -> timedelta:
        """By how much sooner it resumes now."""
        await books.execute(
            "UPDATE storecredit.webhook_endpoints SET resumes_at = now() + $1::interval", wait
        )
        before = await books.fetchval(resumes)
        assert await app.fetchval(resend, account.id, endpoint_id, event_id) == "pending"
        sooner: timedelta = before - await books.fetchval(resumes)
        return sooner

    assert await resumed_after(timedelta(seconds=20)) == timedelta(0)
    assert timedelta(hours=4) < await resumed_after(timedelta(hours=5)) < timedelta(hours=5)


async def test_a_secret_that_has_expired_is_kept_no_longer(
    app: Connection, books: asyncpg.Connection, account: Account
) -> None:
    endpoint_id = uuid4()
    await app.execute(CREATE, account.id, endpoint_id, b"1" * 32)
    for secret in (b"2", b"3"):
        await app.execute(ROTATE, account.id, endpoint_id, secret * 32, 60)
    await books.execute(
        """UPDATE storecredit.webhook_secrets SET expires_at = expires_at - interval '1 minute'
           WHERE endpoint_id = $1""",
        endpoint_id,
    )
    await app.execute(ROTATE, account.id, endpoint_id, b"4" * 32, 60)
    kept = """SELECT secret FROM storecredit.webhook_secrets WHERE endpoint_id = $1
        ORDER BY created_at"""
    secrets = [row["secret"][:1] for row in await books.fetch(kept, endpoint_id)]
    assert secrets == [b"3", b"4"]
    assert await sqlstate_of(app.execute(ROTATE, account.id, endpoint_id, b"short", 60)) == "23514"


async def test_whether_a_secret_signs_is_told_to_who_knows_it_of_their_own_endpoint(
    app: Connection, books: asyncpg.Connection, account: Account
) -> None:
    endpoint_id, other_id = uuid4(), uuid4()
    other = await open_account(books, OwnerKind.STORE, 0)
    await app.execute(CREATE, account.id, endpoint_id, b"1" * 32)
    await app.execute(CREATE, account.id, other_id, b"2" * 32)
    await app.execute(ROTATE, account.id, endpoint_id, b"3" * 32, 60)

    async def signs(account_id: int, secret: bytes) -> bool:
        found = await app.fetchval(SIGNS, account_id, endpoint_id, secret)
        assert isinstance(found, bool)
        return found

    assert [await signs(account.id, n * 32) for n in (b"1", b"2", b"3")] == [True, False, True]
    assert not await signs(other.id, b"3" * 32)
    assert not await signs(OPERATOR, b"3" * 32)
    await books.execute(
        """UPDATE storecredit.webhook_secrets SET expires_at = now()
           WHERE endpoint_id = $1 AND expires_at IS NOT NULL""",
        endpoint_id,
    )
    assert [await signs(account.id, n * 32) for n in (b"1", b"3")] == [False, True]


@pytest.mark.parametrize("minutes", [0, 1, 15, 25, 35, 59, 600, 100_000])
async def test_what_is_sent_again_has_happened_since_in_whatever_order_it_was_written(
    app: Connection, books: asyncpg.Connection, account: Account, minutes: int
) -> None:
    """As when transactions overlap, or a clock was set back."""
    ago = (90_000, 400, 50, 10, 40, 20, 30, 15, 35)
    endpoint_id = await listen(books, account, "credits.low")
    await happen(books, account, *["credits.low"] * len(ago))
    seqs = await end(books, endpoint_id, *["delivered"] * len(ago))
    await books.execute(
        """UPDATE storecredit.events e SET created_at = now() - i.ago * interval '1 minute'
           FROM unnest($1::bigint[], $2::int[]) i (seq, ago) WHERE e.seq = i.seq""",
        seqs,
        ago,
    )
    since = await books.fetchval("SELECT now() - $1 * interval '1 minute'", minutes)
    await app.fetchrow(RESEND, account.id, endpoint_id, since, ["delivered"], 0, 100)
    rows = await books.fetch(
        """SELECT seq FROM storecredit.deliveries
           WHERE endpoint_id = $1 AND status = 'pending' ORDER BY seq""",
        endpoint_id,
    )
    expected = [seq for seq, each in zip(seqs, ago, strict=True) if each < minutes]
    assert [row["seq"] for row in rows] == expected


@pytest.mark.parametrize("is_ordered", [False, True])
async def test_what_waited_when_it_was_disabled_is_given_up_however_soon_it_is_enabled(
    app: Connection, books: asyncpg.Connection, account: Account, is_ordered: bool
) -> None:
    endpoint_id = await listen(books, account, "credits.low", is_ordered=is_ordered)
    other_id = await listen(books, account, "credits.low")
    await happen(books, account, *["credits.low"] * 3)
    await end(books, endpoint_id, "delivered", "pending", "pending")
    set_status = "SELECT set_webhook_endpoint_status($1, $2, $3)"
    for status in ("disabled", "enabled", "enabled"):
        assert await app.fetchval(set_status, account.id, endpoint_id, status)
        await happen(books, account, "credits.low")
    statuses = [status for status, *_ in await rows_of(books, endpoint_id)]
    assert statuses == ["delivered", "failed", "failed", "failed", "pending", "pending"]
    assert {status for status, *_ in await rows_of(books, other_id)} == {"pending"}
    resent = await app.fetchrow(RESEND, account.id, endpoint_id, LONG_AGO, ["failed"], 0, 100)
    assert tuple(resent or ())[:2] == ("pending", 3)
