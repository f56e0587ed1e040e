"""A database whose statements are cancelled, by an operator or a time limit, is away, no more."""

import asyncio

import pytest

from tests.crash.audit import books_of
from tests.crash.deployment import Deployment

pytestmark = pytest.mark.timeout(300)

A_WHILE = 20
CANCELLING_SECONDS = 1.5
CANCEL_AND_CUT = """
    ALTER ROLE storecredit_app SET statement_timeout = '1ms';
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'storecredit_app'
"""
CANCEL_NO_MORE = """
    ALTER ROLE storecredit_app RESET statement_timeout;
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'storecredit_app'
"""


async def test_a_service_whose_statements_are_cancelled_goes_on_when_they_are_no_more(
    deployment: Deployment,
) -> None:
    service = await deployment.serve()
    async with deployment.load(service) as load:
        await load.until_acknowledged(A_WHILE)
        async with books_of(deployment.processes.data_dir) as books:
            await books.execute(CANCEL_AND_CUT)
            await asyncio.sleep(CANCELLING_SECONDS)
            await books.execute(CANCEL_NO_MORE)
        await load.until_acknowledged(A_WHILE)
        await load.stop()
        await load.ask_again()
        await deployment.assert_all_is_well(load)
        await deployment.assert_verified(service)
    assert load.unacknowledged == []
    assert await service.stop() == 0, service.log_tail()
