"""What clients asked and were answered, and what was done to the service: a line each, in order.

Every line is one object of JSON with `event` and `at` (seconds since 1970). The checker reads them
(`checking/history.py` says which there are) and nothing else of whoever wrote them.
"""

import json
import time
from collections import Counter
from pathlib import Path


class Record:
    """A file that is only written on to; a line that was noted is there whatever comes next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        """How many lines of each event; for progress alone."""
        # A clock that is set meanwhile must not change which of two was first.
        self._ahead = time.time() - time.monotonic()
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def note(self, event: str, **said: object) -> float:
        """Write a line; the moment that it bears."""
        at = self._ahead + time.monotonic()
        self._file.write(json.dumps({"event": event, "at": at, **said}) + "\n")
        self.counts[event] += 1
        return at

    def close(self) -> None:
        """Nothing more is noted."""
        self._file.close()
