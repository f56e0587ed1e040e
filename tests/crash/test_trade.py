"""SIGKILL while end users generate and money comes in: nothing is lost, nothing happens twice.

Beside the stores' load, end users call the app's door and buy packs, stores subscribe and buy
credits, payments are charged back, and Paddle delivers all of it twice and in no order.
"""

import pytest

from tests.crash.trading import TradingDeployment

pytestmark = pytest.mark.timeout(300)


async def test_everything_killed_while_money_comes_in_loses_and_repeats_nothing(
    trading: TradingDeployment,
) -> None:
    service = await trading.serve()
    async with trading.trade(service) as load:
        await load.until_traded(generations=20, payments=4)
        (await trading.processes.postmaster()).kill()
        await load.until_traded(generations=10, payments=2)
        (await trading.processes.postmaster()).kill()
        service.kill()
        service = await trading.serve()
        load.urls = [service.url]
        await load.until_traded(generations=10, payments=1)
        await load.stop()
        await load.ask_again()
        await trading.assert_all_is_well(load)
        await trading.assert_verified_by_command("--every-row")
    assert load.unacknowledged == []
    assert load.unacknowledged_wants == []
