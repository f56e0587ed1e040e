"""The receivers of docs/webhooks.md, run as they stand there, and told by the service."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg
import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from storecredit.ledger.owners import Account
from storecredit.postgres.pool import Database
from storecredit.webhooks.deliverer import Deliverer
from storecredit.webhooks.delivery_records import DeliveryRecords
from storecredit.webhooks.endpoints import Endpoints, IssuedSecret
from tests.e2e.page_commands import Page
from tests.free_ports import free_port
from tests.sql.full_accounts import deduct
from tests.web.node import compiled, node
from tests.webhooks.endpoints import Endpoint, State, add_credits, add_endpoint, states

PAGE: Final = Page("docs/webhooks.md")
CONNECT_ATTEMPTS: Final = 8
"""Half a second before the second, then twice as long each."""


def python_receiver(directory: Path) -> list[str]:
    (directory / "receiver.py").write_text(PAGE.block_of("python"), encoding="utf-8")
    return [sys.executable, "receiver.py"]


def typescript_receiver(directory: Path) -> list[str]:
    (directory / "receiver.ts").write_text(PAGE.block_of("typescript"), encoding="utf-8")
    # The types of Node.js are not held to what the compiler asks of ours.
    options = {"types": ["node"], "skipLibCheck": True, "module": "nodenext"}
    assert compiled(directory, moduleResolution="nodenext", **options) == ""
    return [node(), "receiver.js"]


@contextmanager
def listening(
    command: list[str], directory: Path, port: int, secret: str
) -> Iterator[tuple[httpx.Client, Path]]:
    """A receiver that runs, another way to it, and the file that it writes to."""
    said = directory / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={"WEBHOOK_SECRET": secret, "PORT": str(port)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    transport = httpx.HTTPTransport(retries=CONNECT_ATTEMPTS)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport) as client:
            yield client, said
    finally:
        process.kill()
        process.wait()


def signed(body: str, secret: str, ago: timedelta = timedelta()) -> dict[str, str]:
    """The headers of a delivery made so long ago."""
    moment = datetime.now(UTC) - ago
    return {
        "content-type": "application/json",
        "webhook-id": "evt_forged",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_forged", moment, body),
    }


def refusals(client: httpx.Client, endpoint: Endpoint) -> list[int]:
    """What somebody else is answered who posts here."""
    body = '{"type": "credits.low", "data": {"balance": 1}}'
    right = signed(body, endpoint.secret)
    forged = (
        {"content-type": "application/json"},
        signed(body, "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCwgMzIgYnl0ZXM="),
        signed(body, endpoint.secret, ago=timedelta(minutes=6)),
        right | {"webhook-id": "evt_other"},
        right | {"webhook-signature": "v1"},
        signed(body.replace("1", "2"), endpoint.secret),
    )
    return [client.post("/", content=body, headers=each).status_code for each in forged]


@pytest.mark.parametrize("receiver", [python_receiver, typescript_receiver])
async def test_a_receiver_writes_one_mail_for_each_time_that_credits_are_low(
    receiver: Callable[[Path], list[str]],
    admin: asyncpg.Connection,
    database: Database,
    store: Account,
    deliverer: Deliverer,
    tmp_path: Path,
) -> None:
    port = free_port()
    endpoint = await add_endpoint(admin, store.id, f"http://127.0.0.1:{port}/", ["*"])
    command = receiver(tmp_path)
    with listening(command, tmp_path, port, endpoint.secret) as (client, said):
        assert refusals(client, endpoint) == [400] * 6

        await deduct(admin, store, 95, "Größe 7")
        assert await deliverer.deliver_due() == 1
        event_id = await admin.fetchval("SELECT event_id FROM storecredit.events")
        await DeliveryRecords(database).resend(store.id, endpoint.id, event_id)
        assert await deliverer.deliver_due() == 1, "the same event once more"
        # While a secret is replaced there are two signatures, and this receiver knows the old one.
        assert isinstance(await Endpoints(database).rotate(store.id, endpoint.id), IssuedSecret)
        await add_credits(admin, store, 40)
        await deduct(admin, store, 42, "second")
        assert await deliverer.deliver_due() == 2

        told = [line for line in said.read_text().splitlines() if line.startswith("Subject")]
    assert await states(admin, endpoint) == [
        State("delivered", 2, 0),
        State("delivered", 1, 0),
        State("delivered", 1, 0),
    ]
    assert told == [f"Subject: Only {balance} credits left" for balance in (5, 3)]
