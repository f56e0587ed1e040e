"""A shop in which nobody pays: the service with its demo store, beside a stand-in for Paddle.

`make shop` runs it. The service is a process of its own that knows nothing of this, and takes the
options that are not known here. The shop ends when it does, and hands on what it is told to stop.
Its data is not that of `make run`, where there may be a store already, unless it is told where.
"""

import argparse
import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stand_ins.paddle.control import Delivery, paddle_on
from storecredit.processes import CannotListen, listen_on

HOST = "127.0.0.1"
DATA_DIR = Path("data/shop")


async def keep(port: int, paddle_port: int, options: Sequence[str]) -> int:
    """Keep the shop until its service ends; the service's exit status. Raises CannotListen."""
    # The service takes it: here is only seen that it can, before anything is started.
    listen_on(HOST, port, "`make shop SHOP_PORT=…`").close()
    listening = listen_on(HOST, paddle_port, "`make shop PADDLE_PORT=…`")
    delivery = Delivery(f"http://{HOST}:{port}/webhooks/paddle")
    async with paddle_on(listening, delivery) as paddle:
        variables = {
            f"STORECREDIT_{name}".upper(): value for name, value in paddle.settings().items()
        } | _data_dir(options)
        sys.stdout.write(_invitation(variables))
        sys.stdout.flush()
        return await _serve(variables, ("--demo", "--port", str(port), *options))


def _data_dir(options: Sequence[str]) -> dict[str, str]:
    """The variable that says where the shop's data is, where nobody says so."""
    variable, flag = "STORECREDIT_DATA_DIR", "--data-dir"
    is_named = variable in map(str.upper, os.environ) or any(
        option == flag or option.startswith(f"{flag}=") for option in options
    )
    return {} if is_named else {variable: str(DATA_DIR.resolve())}


def _invitation(variables: Mapping[str, str]) -> str:
    # Neither key nor secret is one: nothing but the stand-in takes them.
    assigned = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    return (
        f"For `storecredit billing` in another terminal, paste this there:\nexport {assigned}\n\n"
    )


async def _serve(variables: Mapping[str, str], options: Sequence[str]) -> int:
    service = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "storecredit", "serve", *options), env={**os.environ, **variables}
    )

    def hand_on(received: signal.Signals) -> None:
        # One Ctrl-C reaches both, and the service takes two at once for one.
        if service.returncode is None:
            service.send_signal(received)

    for received in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(received, hand_on, received)
    return await service.wait()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m stand_ins.shop", allow_abbrev=False)
    parser.add_argument("--port", type=int, default=8080, help="where the service listens")
    parser.add_argument("--paddle-port", type=int, default=8090, help="where the stand-in does")
    known, options = parser.parse_known_args()
    try:
        sys.exit(asyncio.run(keep(known.port, known.paddle_port, options)))
    except CannotListen as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
