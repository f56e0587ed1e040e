"""Who an end user is: the subject of a token that somebody else issued.

Hides the form of tokens (JWT, RFC 7519) and how they are verified. Promises that a token decides
nothing about its own verification: the key is the one the settings give, and the algorithm is
that key's (RFC 8725, 2.1 and 3.1). A token is never logged.
"""

import time
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Final, Protocol
from uuid import UUID

import jwt
from jwt.warnings import InsecureKeyLengthWarning
from pydantic import SecretStr

from storecredit import telemetry
from storecredit.settings import Settings
from storecredit.users.token_keys import FetchedKeys, TokenKeysUnavailable

__all__ = ["TokenKeysUnavailable", "Tokens"]

log = telemetry.get_logger("users.tokens")

TOKEN_MAX_CHARACTERS: Final = 8192
SECRET_MIN_BYTES: Final = 32
"""What HS256 asks for (RFC 7518, 3.2). The issuer has chosen the secret, and an app that is in use
cannot be made to notice: a shorter one works, and the log says what it is worth."""
LEEWAY_SECONDS: Final = 5.0
"""How far the issuer's clock may be from ours."""


class TokenKeys(Protocol):
    """Where the key of a token comes from."""

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of that name, with its algorithm. Raises TokenKeysUnavailable."""

    async def close(self) -> None:
        """Let go of connections."""


class Tokens:
    """Verifies the tokens of end users, of the one kind that the settings name."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives the seconds by which fetched keys grow old, and never goes back."""
        self._keys = _keys(settings, clock)
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._secret_is_short = _is_short(settings.jwt_secret)
        if self._secret_is_short:
            log.warning("jwt_secret_too_short", bytes_wanted=SECRET_MIN_BYTES)

    async def user_id(self, token: str) -> UUID | None:
        """The user a token names; None: it is not valid, now, here, for this audience.

        Raises TokenKeysUnavailable when the keys cannot be had, so that nothing can be said.
        """
        if self._keys is None or len(token) > TOKEN_MAX_CHARACTERS:
            return None
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, UnicodeError):
            return None
        key = await self._keys.key(header.get("kid"))
        return None if key is None else self._verified(token, key)

    async def close(self) -> None:
        """Let go of connections."""
        if self._keys is not None:
            await self._keys.close()

    def _verified(self, token: str, key: jwt.PyJWK) -> UUID | None:
        try:
            with warnings.catch_warnings():
                # Said once, at the start.
                warnings.simplefilter("ignore", InsecureKeyLengthWarning)
                claims = jwt.decode(
                    token,
                    key,
                    algorithms=[key.algorithm_name],
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=LEEWAY_SECONDS,
                    options={
                        "require": ["exp", "sub", "aud"],
                        "enforce_minimum_key_length": not self._secret_is_short,
                    },
                )
        except jwt.PyJWTError:
            return None
        return _uuid(claims["sub"])


def _uuid(subject: str) -> UUID | None:
    """The UUID a subject is; only the usual spelling is one (RFC 9562, 4)."""
    try:
        user_id = UUID(subject)
    except ValueError:
        return None
    return user_id if str(user_id) == subject.lower() else None


def _is_short(secret: SecretStr | None) -> bool:
    return secret is not None and len(secret.get_secret_value().encode()) < SECRET_MIN_BYTES


def _keys(settings: Settings, clock: Callable[[], float]) -> TokenKeys | None:
    if settings.jwt_secret is not None:
        return _Secret(settings.jwt_secret)
    if settings.jwks_url is not None:
        return FetchedKeys(settings.jwks_url, settings.jwks_algorithms, clock)
    return None


class _Secret:
    """The one key of HS256 tokens; the name that a token gives its key means nothing here."""

    def __init__(self, secret: SecretStr) -> None:
        octets = urlsafe_b64encode(secret.get_secret_value().encode()).decode()
        self._key = jwt.PyJWK({"kty": "oct", "alg": "HS256", "k": octets.rstrip("=")})

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:  # noqa: ARG002 - see above
        return self._key

    async def close(self) -> None:
        """Nothing is held."""
