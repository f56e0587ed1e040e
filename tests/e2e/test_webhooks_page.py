"""The receivers of docs/webhooks.md, run as they stand there: what they take, and do once."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from storecredit.webhooks.catalogue import CATALOGUE, EventType
from storecredit.webhooks.event_schemas import event_example
from tests.e2e.page_commands import Page
from tests.postgres.replication.nodes import free_port
from tests.web.node import compiled, node

PAGE: Final = Page("docs/webhooks.md")
SECRET: Final = "whsec_c3RvcmVjcmVkaXQgdGVsbHMgb2YgaXQsIDMyIGJ5dGVz"
OTHER_SECRET: Final = "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCwgMzIgYnl0ZXM="
CONNECT_ATTEMPTS: Final = 8
"""Half a second before the second, then twice as long each."""
EVENTS: Final = {event.name: event for event in CATALOGUE}


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
def listening(command: list[str], directory: Path) -> Iterator[tuple[httpx.Client, Path]]:
    """A receiver that runs, a way to it, and the file that it writes to."""
    port, said = free_port(), directory / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={"WEBHOOK_SECRET": SECRET, "PORT": str(port)},
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


def body_of(event: EventType, **data: object) -> str:
    example = event_example(event)
    return json.dumps(example | {"data": example["data"] | data}, ensure_ascii=False)


def signed(
    body: str, event_id: str = "evt_1", *secrets: str, ago: timedelta = timedelta()
) -> dict[str, str]:
    """The headers of a delivery made so long ago."""
    moment = datetime.now(UTC) - ago
    signatures = [Webhook(each).sign(event_id, moment, body) for each in secrets or (SECRET,)]
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


@pytest.mark.parametrize("receiver", [python_receiver, typescript_receiver])
def test_a_receiver_writes_one_mail_for_each_time_that_credits_are_low(
    receiver: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    low = body_of(EVENTS["credits.low"], balance=41)
    added = body_of(EVENTS["credits.added"])
    again = body_of(EVENTS["credits.low"], balance=7, request_id="Größe 7")
    with listening(receiver(tmp_path), tmp_path) as (client, said):

        def status(body: str, headers: dict[str, str]) -> int:
            return client.post("/", content=body.encode(), headers=headers).status_code

        assert status(low, signed(low)) == 204
        assert status(low, signed(low)) == 204, "the same event once more"
        assert status(added, signed(added, "evt_2")) == 204
        # While a secret is replaced there are two signatures.
        assert status(again, signed(again, "evt_3", OTHER_SECRET, SECRET)) == 204

        forged = body_of(EVENTS["credits.low"], balance=1)
        assert status(forged, signed(low, "evt_4")) == 400
        assert status(forged, signed(forged, "evt_5", OTHER_SECRET)) == 400
        assert status(forged, signed(forged, "evt_6", ago=timedelta(minutes=6))) == 400
        assert status(forged, signed(forged) | {"webhook-id": "evt_7"}) == 400
        assert status(forged, signed(forged) | {"webhook-signature": "v1"}) == 400
        assert status(forged, {"content-type": "application/json"}) == 400

        told = [line for line in said.read_text().splitlines() if line.startswith("Subject")]
    assert told == [f"Subject: Only {balance} credits left" for balance in (41, 7)]
