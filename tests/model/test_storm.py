"""Eighteen connections of random batches, replays and failures against each other, some cut off.

Whatever came of it, the ledgers are ones that the model could have written, and hold whatever
anybody was told.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from random import Random

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.servers import connect
from tests.conftest import SEARCH_PATH
from tests.model.ledger_model import CHARGES, RETURNS, AccountModel
from tests.model.storm import Caller, Told, cut_off
from tests.model.tables import Books, read_back

CONNECTIONS = 18
STORES, USERS = 6, 4


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection that finds the interface and the tables."""
    connection = await asyncpg.connect(database_url, server_settings={"search_path": SEARCH_PATH})
    yield connection
    await connection.close()


@pytest.fixture
async def models(database_url: str) -> dict[int, AccountModel]:
    """Accounts of stores, half of which may go beyond their balance, and of end users.

    The first user bears the first store's UUID.
    """
    connection = await connect(database_url)
    stores = [Owner.store(uuid7()) for _ in range(STORES)]
    users = [Owner.user(uuid7()) for _ in range(USERS - 1)]
    models: dict[int, AccountModel] = {}
    for place, owner in enumerate((*stores, Owner.user(stores[0].id), *users)):
        if owner.kind is OwnerKind.STORE:
            await connection.execute(
                "SELECT create_store($1, 'x', 'x', 'default', $2, 'opening')",
                owner.id,
                0 if place % 2 else 40,
            )
        else:
            await connection.execute("SELECT ensure_user($1, 40)", owner.id)
        account = await connection.fetchval("SELECT account_of($1, $2)", owner.kind, owner.id)
        models[account] = AccountModel(owner)
        if owner.kind is OwnerKind.STORE and place % 2:
            await connection.execute("SELECT set_overage_limit($1, 1000)", account)
    await connection.close()
    return models


async def storm(
    admin: asyncpg.Connection, url: str, models: dict[int, AccountModel], calls: int, seed: str
) -> None:
    print(f"seed {seed}")  # noqa: T201 - pytest shows it with a failure
    told = Told()
    callers = [Caller(url, models, told, Random(f"{seed} {n}")) for n in range(CONNECTIONS)]
    killer = asyncio.create_task(cut_off(admin, callers, Random(seed)))
    async with asyncio.TaskGroup() as group:
        for caller in callers:
            group.create_task(caller.run(calls))
    killer.cancel()
    await killer

    met = set(told.outcomes)
    assert met >= {"deducted", "overage", "already_deducted", "conflict", "created", "replayed"}
    assert met >= {"refunded", "already_refunded", "no_deduction", "failed", "completed", "closed"}
    assert "cut off" in met
    await admin.execute("SELECT pg_stat_force_next_flush()")
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await admin.fetchval(deadlocks) == 0
    books = await read_back(admin, list(models))
    for account, model in models.items():
        follows(model, books[account])
        holds_what_was_told(account, books[account], told)


def follows(model: AccountModel, books: Books) -> None:
    """Each movement follows from the one before; work and money stand together."""
    for row in books.rows:
        model.move(row.type, row.amount, row.request_id, row.session_id)
    assert model.rows == books.rows
    assert model.totals == books.totals
    paid = [row for row in books.rows if row.type in CHARGES and row.session_id]
    back = {row.session_id for row in books.rows if row.type in RETURNS and row.session_id}
    assert sorted(row.session_id for row in paid if row.session_id) == sorted(books.sessions)
    assert books.jobs == set(books.sessions)
    for session_id, session in books.sessions.items():
        assert session.status != "failed" or session_id in back
    bills = [(row.seq, row.amount) for row in books.rows if row.type == "overage_bill"]
    assert bills == [(bill.seq, bill.credits) for bill in books.bills]


def holds_what_was_told(account: int, books: Books, told: Told) -> None:
    """Each acknowledged outcome is there; that it is there once the table's key says."""
    by_request = {(row.request_id, row.type in CHARGES): row for row in books.rows}
    returned = {row.request_id for row in books.rows if row.type in RETURNS}
    added = {(row.request_id, row.amount) for row in books.rows if row.type == "grant"}
    for (of, request), amount in told.charged.items():
        assert of != account or by_request[request, True].amount == amount
    for (of, session_id), request in told.created.items():
        assert of != account or books.sessions[session_id].request_id == request
        assert of != account or by_request[request, True].session_id == session_id
    for of, request in told.returned:
        assert of != account or request in returned
    for of, session_id in told.failed:
        assert of != account or books.sessions[session_id].status == "failed"
    for (of, session_id), key in told.completed.items():
        assert of != account or books.sessions[session_id].result_key == key
    for (of, request), amount in told.added.items():
        assert of != account or (request, amount) in added


@pytest.mark.timeout(300)
async def test_callers_against_each_other_leave_ledgers_that_follow(
    admin: asyncpg.Connection, database_url: str, models: dict[int, AccountModel]
) -> None:
    await storm(admin, database_url, models, 25, "20")


@pytest.mark.torture
@pytest.mark.timeout(3600)
async def test_callers_against_each_other_leave_ledgers_that_follow_at_length(
    admin: asyncpg.Connection, database_url: str, models: dict[int, AccountModel]
) -> None:
    await storm(admin, database_url, models, 1500, secrets.token_hex(4))
