"""SIGKILL while end users generate and money comes in: nothing is lost, nothing happens twice.

Beside the stores' load, end users call the app's door and buy packs, stores subscribe and buy
credits, payments are charged back, and Paddle delivers all of it twice and in no order.
"""

import pytest

from tests.crash.selling_deployment import SellingDeployment

pytestmark = pytest.mark.timeout(300)


async def test_everything_killed_while_money_comes_in_loses_and_repeats_nothing(
    selling: SellingDeployment,
) -> None:
    service = await selling.serve()
    async with selling.purchase_load(service) as load:
        await load.until_bought(generations=20, payments=4)
        (await selling.processes.postmaster()).kill()
        await load.until_bought(generations=10, payments=2)
        (await selling.processes.postmaster()).kill()
        service.kill()
        service = await selling.serve()
        load.urls = [service.url]
        await load.until_bought(generations=10, payments=1)
        await load.stop()
        await load.ask_again()
        await selling.assert_all_is_well(load)
        await selling.assert_verified_by_command("--every-row")
    assert load.unacknowledged == []
    assert load.unacknowledged_wants == []
