"""An app that lets people in before they sign up (Supabase): credits come when they do."""

from uuid import uuid4

from storecredit.postgres.pool import Database
from storecredit.service import assembled
from storecredit.settings import Settings
from tests.log_stream import LogStream
from tests.web.conftest import http_client
from tests.web.users import result_of, user_of


async def test_starter_credits_come_with_the_sign_up(
    settings: Settings, database: Database, log: LogStream
) -> None:
    withholding = settings.model_copy(update={"anonymous_starter_credits": False})
    async with assembled(withholding, database) as service, http_client(service) as api:
        user_id = uuid4()
        anonymous = user_of(api, user_id, is_anonymous=True)
        signed_up = user_of(api, user_id, is_anonymous=False)
        assert await anonymous.balance() == 0
        assert await signed_up.balance() == 10
        assert await anonymous.balance() == 10, "a token from before is still good"
        movements = result_of(await signed_up.query("credits.getTransactions"))
        assert [each["amount"] for each in movements] == [10]
    assert len(log.events("starter_credits_given")) == 1
