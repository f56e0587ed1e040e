"""Our own links to results: tokens that stand for a key until they expire."""

import time
from hashlib import sha256
from pathlib import Path
from typing import Final

from itsdangerous import BadData, URLSafeSerializer
from pydantic import SecretStr

from storecredit.data_files.signing_key import signing_key as kept_or_given
from storecredit.generation.results.keys import media_type_of

TOKEN_MAX_CHARACTERS: Final = 512
_SALT: Final = b"storecredit.result"


class ResultLinks:
    """Signs links, and knows its own; they lead to a result wherever it is kept.

    Built once, at start-up: it reads its signing key in the data directory, and makes one if there
    is none. Raises `ValueError` for a signing key that is too short to sign anything.
    """

    def __init__(self, data_dir: Path, signing_key: SecretStr | None) -> None:
        self._serializer = URLSafeSerializer(
            kept_or_given(data_dir, signing_key),
            salt=_SALT,
            signer_kwargs={"key_derivation": "hmac", "digest_method": sha256},
        )

    def sign(self, key: str, *, lifetime_seconds: float) -> str:
        """A URL-safe token that stands for `key` until `lifetime_seconds` from now.

        Raises `ValueError` for what is no key.
        """
        media_type_of(key)
        return self._serializer.dumps([key, time.time() + lifetime_seconds])

    def verify(self, token: str) -> str | None:
        """The key that a token stands for; None if it is forged, mangled or expired."""
        if len(token) > TOKEN_MAX_CHARACTERS or not token.isascii():
            return None
        try:
            key, expires_at = self._serializer.loads(token)
        except BadData:
            return None
        if time.time() >= expires_at:
            return None
        return str(key)
