"""Who is told of events: a receiver of the operator's and of a store, which takes most at once."""

import json
from random import Random
from typing import Final

from standardwebhooks.webhooks import Webhook

from stand_ins.http_server import Answer, Received
from tests.torture.asking import Asking, Wish
from tests.torture.parties import Party, admin_secret
from tests.torture.record import Record

REFUSED: Final = 0.05
"""The share of messages that it does not take at first."""


class Hearing:
    """Both receivers; whatever is taken is noted."""

    def __init__(self, record: Record, seed: str) -> None:
        self.url = ""
        self._secrets: dict[str, str] = {}
        self._record = record
        self._random = Random(f"{seed} hearing")
        self._is_over = False

    def end(self) -> None:
        """Take nothing more: what is told from now on need not be in the tables that are read then.

        The service goes on meanwhile, and tops up what ran low.
        """
        self._is_over = True

    async def register(self, asking: Asking, store: Party) -> None:
        """Be told everything that the operator, and that this store may hear."""
        ways = {
            "operator": ("/api/admin/webhooks", admin_secret),
            "store": ("/api/v1/webhooks", store.own_secret),
        }
        for who, (path, secret) in ways.items():
            body = {"url": f"{self.url}/{who}"}
            told = await asking.ask(Wish("endpoint", store.owner, "POST", path, secret, body))
            assert told is not None
            assert told.is_well, told
            self._secrets[who] = told.data["secret"]

    async def answer(self, request: Received) -> Answer:
        """Take what is signed as it was agreed; now and then ask for it later."""
        who = request.path.rpartition("/")[2]
        if self._is_over or self._random.random() < REFUSED or who not in self._secrets:
            return Answer(503)
        Webhook(self._secrets[who]).verify(request.body, dict(request.headers))
        message = json.loads(request.body)
        self._record.note(
            "heard",
            who=who,
            id=request.headers["webhook-id"],
            type=message["type"],
            data=message["data"],
        )
        return Answer(204, length=None)
