"""The stand-in as a process of its own, for tests that kill ours.

    python -m stand_ins.paddle --port 0 --webhook-url http://…/webhooks/paddle

prints one line of JSON (`api_url`, `api_key`, `webhook_secret`), delivers every event until it is
taken, and obeys `POST /control/…` (see `control.py`).
"""

import argparse
import asyncio
import contextlib
import json
import sys

from stand_ins.paddle.api import API_KEY, WEBHOOK_SECRET
from stand_ins.paddle.control import Delivery, paddle_on
from storecredit.processes import CannotListen, listen_on


async def run(options: argparse.Namespace) -> None:
    """Until killed. Raises CannotListen."""
    listening = listen_on("127.0.0.1", options.port, "--port")
    delivery = Delivery(options.webhook_url, options.duplicates, options.shuffle, options.seed)
    async with paddle_on(listening, delivery, options.api_key, options.webhook_secret) as paddle:
        told = {
            "api_url": paddle.url,
            "api_key": paddle.api_key,
            "webhook_secret": paddle.webhook_secret,
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m stand_ins.paddle")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--webhook-url", default="", help="where events are delivered to")
    parser.add_argument("--api-key", default=API_KEY)
    parser.add_argument("--webhook-secret", default=WEBHOOK_SECRET)
    parser.add_argument("--duplicates", type=float, default=0.0, help="share delivered twice")
    parser.add_argument("--shuffle", action="store_true", help="deliver out of order")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run(options))
    except CannotListen as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
