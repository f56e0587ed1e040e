"""The `storecredit` command: commands only, no logic of their own."""

import asyncio
import sys

from storecredit import service, telemetry
from storecredit.settings import Settings


def main() -> None:
    settings = Settings()
    telemetry.configure(settings.log_format, settings.log_level)

    async def run() -> None:
        stop = asyncio.Event()
        service.stop_on_signals(stop)
        await service.serve(settings, service.listen(settings), stop)

    asyncio.run(run())
