"""Paddle beside the service: a process of its own that no test kills, as Paddle is none of ours.

It delivers its webhooks until they are taken, some twice and in no order.
"""

from typing import Any

import httpx
import msgspec

from tests.crash.processes import Processes
from tests.crash.waiting import until

START_MAX_SECONDS = 60.0
DELIVERED_MAX_SECONDS = 90.0
SHARE_DELIVERED_TWICE = "0.3"
NOWHERE = "http://127.0.0.1:9/"


class PaddleProcess:
    """The stand-in's process, and the ways to make a buyer pay."""

    def __init__(self, settings: dict[str, str], client: httpx.AsyncClient) -> None:
        self.settings = {
            f"STORECREDIT_PADDLE_{name.upper()}": value for name, value in settings.items()
        }
        self._url = settings["api_url"]
        self._client = client

    @classmethod
    async def open(
        cls, processes: Processes, client: httpx.AsyncClient, seed: str
    ) -> "PaddleProcess":
        """Start it; returns when it can be reached."""
        process, output = processes.launch_outside(
            "stand_ins.paddle",
            *("--webhook-url", NOWHERE, "--duplicates", SHARE_DELIVERED_TWICE),
            *("--shuffle", "--seed", str(sum(seed.encode()))),
        )
        await until(
            lambda: output.read_bytes().endswith(b"\n") or not process.lives(),
            "Paddle's stand-in starts",
            START_MAX_SECONDS,
            process.log_tail,
        )
        assert process.lives(), process.log_tail()
        return cls(msgspec.json.decode(output.read_bytes()), client)

    async def deliver_to(self, url: str) -> None:
        """Where the service is now."""
        await self._control("deliver", on=True, to=f"{url}/webhooks/paddle")

    async def pay(self, transaction_id: str) -> None:
        """The buyer pays."""
        await self._control("pay", transaction_id=transaction_id)

    async def charge_back(self, transaction_id: str) -> None:
        """The buyer's bank takes all of the money back."""
        await self._control("adjust", transaction_id=transaction_id, action="chargeback")

    async def renew(self, transaction_id: str) -> None:
        """The next month of the subscription that the transaction began is paid."""
        state = await self.state()
        (begun,) = (each for each in state["transactions"] if each["id"] == transaction_id)
        await self._control("renew", subscription_id=begun["subscription_id"])

    async def state(self) -> dict[str, Any]:
        """Everything that was sold, and what came of it."""
        answer = await self._client.get(f"{self._url}/control/state")
        state: dict[str, Any] = answer.raise_for_status().json()
        return state

    async def _control(self, what: str, **asked: object) -> None:
        answer = await self._client.post(f"{self._url}/control/{what}", json=asked)
        assert answer.status_code == httpx.codes.OK, answer.text
