"""A clock that some processes are given by libfaketime, and that a test moves under way."""

import subprocess
from pathlib import Path
from typing import Final

from tests.web.real_clients import program

RIGHT: Final = "+0d"


class Clock:
    """What time the service's processes believe it is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(RIGHT)

    def set(self, offset: str) -> None:
        """From now on, as libfaketime writes it; replaced at once, as it may be read just now."""
        new = self._path.with_suffix(".new")
        new.write_text(offset)
        new.replace(self._path)

    @property
    def environment(self) -> dict[str, str]:
        where = [program("faketime"), "-m", "-f", RIGHT, "printenv", "LD_PRELOAD"]
        library = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
        return {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Files are as old as they are.
            "NO_FAKE_STAT": "1",
        }
