"""What came of one attempt, as far as the receiver has a say in it."""

from datetime import datetime
from typing import Final

import msgspec

_SUCCESS: Final = range(200, 300)
_GONE: Final = 410


class Answer(msgspec.Struct, frozen=True):
    """What came of one attempt.

    `status_code` None: there was no answer. `error`: why it failed where the status does not say
    it; None: it does. `kept`: the first bytes of the answer as text. `asked_seconds`: how long the
    receiver wants to be left alone.
    """

    attempted_at: datetime
    milliseconds: int
    status_code: int | None = None
    error: str | None = None
    kept: str | None = None
    asked_seconds: float | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver has taken it: a status 2xx, and the answer came whole."""
        return self.error is None and self.status_code in _SUCCESS

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more (RFC 9110, section 15.5.11)."""
        return self.error is None and self.status_code == _GONE
