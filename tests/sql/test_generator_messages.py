"""What generators said, as the functions of a batch write it."""

import asyncpg

from tests.sql.books import open_store
from tests.sql.generations import create_one, session, start


async def test_each_failure_of_a_batch_keeps_its_own_message(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    plain, special = await open_store(app, 3), await open_store(app, 3)
    stores, ids = [], []
    for store_id in (plain, special):
        for n in range(2):
            stores.append(store_id)
            ids.append(await create_one(app, store_id, f"r{n}"))
        await start(app, store_id, *ids[-2:])
    # What stands twice in a batch takes its store the way of the one-store functions.
    stores.append(special)
    ids.append(ids[-1])

    await app.execute(
        "SELECT fail_generations_across_stores($1, $2, $3, $3, $4)",
        stores,
        ids,
        [f"E{n}" for n in range(5)],
        ["plain 0", None, "special 0", "special 1", "special 1, again"],
    )

    said = [
        (await session(books, store_id, session_id))["generator_message"]
        for store_id, session_id in zip(stores[:4], ids[:4], strict=True)
    ]
    assert said == ["plain 0", None, "special 0", "special 1"]


async def test_a_failure_without_a_message_leaves_the_last_one(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 2)
    ids = [await create_one(app, store_id, request_id) for request_id in ("r0", "r1")]
    await start(app, store_id, *ids)
    for session_id in ids:
        await app.execute(
            "SELECT postpone_store_generation($1, $2, 'busy', false)", store_id, session_id
        )

    await app.execute("SELECT fail_store_generation($1, $2, 'E', 'e')", store_id, ids[0])
    await app.execute(
        "SELECT fail_generations_across_stores($1, $2, '{E}', '{e}')", [store_id], [ids[1]]
    )

    for session_id in ids:
        assert (await session(books, store_id, session_id))["generator_message"] == "busy"
