"""A standby behind a real PgBouncer is promoted, and PgBouncer goes on telling what it heard."""

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database
from tests.postgres.poolers.conftest import documented
from tests.postgres.poolers.pgbouncer import pgbouncer
from tests.postgres.replication.nodes import Pair

LOGIN = "credits_service"


async def test_a_promoted_standby_is_taken_up_whatever_the_pooler_says(pair: Pair) -> None:
    primary = await asyncpg.connect(pair.primary.url)
    await primary.execute(documented("sql"))
    await primary.close()
    await pair.make_synchronous()
    settings = dict(line.split(" = ") for line in documented("ini").splitlines())
    with pgbouncer(pair.standby.url, **settings) as made:
        async with made.running(LOGIN) as bouncer:
            url = bouncer.url(LOGIN)
            with pytest.raises(DatabaseUnavailable, match="is a standby"):
                await Database.open(url)
            await pair.standby.promote()
            heard = await asyncpg.connect(url)
            assert heard.get_settings().in_hot_standby == "on"
            await heard.close()
            database = await Database.open(url)
            assert await database.fetchval("SELECT NOT pg_is_in_recovery()")
            await database.close()
