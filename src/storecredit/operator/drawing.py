"""Secrets that are shown once, to whom they are shown by the answer to a form.

Of a form that was sent twice a browser shows the second answer, and of one whose answer was lost
none. So the same form draws the same secret: for a while its repetition can be shown it again, and
nothing is kept for that. It is drawn from the form's id, a secret of the sign-in that only the
browser has, and a key that only the service has: without all three nobody draws it anew.
"""

import hmac
import secrets
from hashlib import sha256
from typing import Final

RANDOM_BYTES: Final = 32
AGAIN_SECONDS_MAX: Final = 300
"""After so long a form that is sent again is not shown what it made."""


def seed_of_form(seed: bytes, form_id: str) -> bytes:
    """What the secrets of one form are drawn from; `seed`: its sign-in's."""
    return hmac.digest(seed, form_id.encode(), sha256)


def drawn(seed: bytes | None) -> bytes:
    """`RANDOM_BYTES` that nobody can guess: the same for the same seed, without one new ones."""
    if seed is None:
        return secrets.token_bytes(RANDOM_BYTES)
    return hmac.digest(seed, b"storecredit drawn", sha256)
