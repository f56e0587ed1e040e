"""Only a hot standby is behind the URL: nothing can be written, and then it is promoted."""

import time

import httpx

from tests.e2e.conftest import Storecredit
from tests.postgres.replication.callers import BRIEF_WAITS, Shop, assert_refused_for_now
from tests.postgres.replication.nodes import Pair


async def test_a_service_on_a_standby_says_not_now_until_its_promotion(
    pair: Pair, shop: Shop, command: Storecredit
) -> None:
    await pair.make_synchronous()
    url = pair.url(target_session_attrs="primary")
    serving = command.serve("--no-worker", STORECREDIT_DATABASE_URL=url, **BRIEF_WAITS)
    async with httpx.AsyncClient(base_url=serving.url, timeout=60) as client:
        assert (await shop.answered(client, "before")).status_code == 201
        pair.primary.kill()

        assert_refused_for_now(await shop.create(client, "meanwhile"))
        assert_refused_for_now(await shop.create(client, "before"))
        assert_refused_for_now(await client.get("/health/ready"))
        assert (await client.get("/health/live")).status_code == 200

        await pair.standby.promote()
        promoted_at = time.monotonic()
        replay = await shop.answered(client, "before")
        print(f"taken up {time.monotonic() - promoted_at:.2f} s later")  # noqa: T201 - shown with -s
        assert replay.status_code == 200
        assert (await shop.answered(client, "meanwhile")).status_code == 201
        assert (await client.get("/health/ready")).status_code == 200
