"""The key that links to results and cookies of sign-ins are signed with, each with its own salt.

Of the setting or, without one, in a file that the first process to come makes.
"""

import secrets
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from storecredit.data_files.durable_files import write_once

SIGNING_KEY: Final = "signing.key"
"""The file's name in a data directory."""
SIGNING_KEY_BYTES: Final = 32
SIGNING_KEY_MIN_CHARACTERS: Final = 16


def signing_key(data_dir: Path, given: SecretStr | None) -> bytes:
    """The key: `given`, or what is kept in `data_dir`, where one is made if there is none.

    Raises `ValueError` for one that is too short to sign anything, or a file that is damaged;
    `OSError` if the disk fails.
    """
    return _kept(data_dir) if given is None else _checked(given)


def _checked(given: SecretStr) -> bytes:
    secret = given.get_secret_value()
    if len(secret) < SIGNING_KEY_MIN_CHARACTERS:
        raise ValueError(
            f"STORECREDIT_SIGNING_KEY must have at least {SIGNING_KEY_MIN_CHARACTERS} characters."
        )
    return secret.encode()


def _kept(data_dir: Path) -> bytes:
    path = data_dir / SIGNING_KEY
    if not path.exists():
        write_once(path, secrets.token_bytes(SIGNING_KEY_BYTES))
    secret = path.read_bytes()
    if len(secret) != SIGNING_KEY_BYTES:
        raise ValueError(
            f"{path} is damaged: delete it to make a new one (old links and sign-ins then end)."
        )
    return secret
