"""Who an end user is: the subject of a token that somebody else issued.

Hides the form of tokens (JWT, RFC 7519) and how they are verified. Promises that a token decides
nothing about its own verification: the key is one that the settings give, found by its name, and
the algorithm is that key's (RFC 8725, 2.1 and 3.1). A token is never logged.

While an issuer goes over from a shared secret to published keys (Supabase, signing keys), tokens of
both kinds are about: both may be configured. Then a token that names a published key is judged by
that key alone, and any other by the secret, with HS256, as tokens of the old kind name no key or
one that is not published. What the secret did not sign may name a key that was published a moment
ago, or none where there is only one: it is looked for as without a secret.

Whom a token names is remembered for a while, since verifying it costs more than all else of a call,
and an app sends the same one with every call for an hour: never past its own end, and never for
longer than `VERIFIED_SECONDS`, so that a key which its issuer takes back lets nobody in for longer.
"""

import hashlib
import time
import warnings
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

import jwt
from cachetools import LRUCache
from jwt.warnings import InsecureKeyLengthWarning
from pydantic import SecretStr

from storecredit import telemetry
from storecredit.settings import Settings
from storecredit.users.token_keys import FetchedKeys, TokenKeysUnavailable

__all__ = ["TokenKeysUnavailable", "TokenUser", "Tokens"]

log = telemetry.get_logger("users.tokens")

TOKEN_MAX_CHARACTERS: Final = 8192
SECRET_MIN_BYTES: Final = 32
"""What HS256 asks for (RFC 7518, 3.2). The issuer has chosen the secret, and an app that is in use
cannot be made to notice: a shorter one works, and the log says what it is worth."""
LEEWAY_SECONDS: Final = 5.0
"""How far the issuer's clock may be from ours."""
VERIFIED_SECONDS: Final = 30.0
"""How long a token that was verified is not verified again."""
VERIFIED_MAX: Final = 20_000
"""Tokens remembered, by their hash: a few megabytes."""


@dataclass(frozen=True, slots=True)
class TokenUser:
    """Whom a token names; `is_anonymous`: who has not signed up, as Supabase's tokens say it.

    https://supabase.com/docs/guides/auth/auth-anonymous: the claim `is_anonymous`; the id stays the
    same when the user signs up.
    """

    user_id: UUID
    is_anonymous: bool = False


@dataclass(frozen=True, slots=True)
class _Verified:
    user: TokenUser
    usable_until: float


class TokenKeys(Protocol):
    """Where the key of a token comes from."""

    def keys(self, key_id: str | None) -> AsyncGenerator[jwt.PyJWK, None]:
        """The keys that may have signed a token which names this key, each with its algorithm.

        Raises TokenKeysUnavailable when the next one cannot be had.
        """

    async def close(self) -> None:
        """Let go of connections."""


class Tokens:
    """Verifies the tokens of end users, of the kinds that the settings name."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives the seconds by which what is remembered grows old, and never goes back."""
        self._clock = clock
        self._verified: LRUCache[bytes, _Verified] = LRUCache(VERIFIED_MAX)
        self._keys = _keys(settings, clock)
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._secret_is_short = _is_short(settings.jwt_secret)
        if self._secret_is_short:
            log.warning("jwt_secret_too_short", bytes_wanted=SECRET_MIN_BYTES)

    async def user(self, token: str) -> TokenUser | None:
        """The user a token names; None: it is not valid, now, here, for this audience.

        Raises TokenKeysUnavailable when the keys cannot be had, so that nothing can be said.
        """
        if self._keys is None or len(token) > TOKEN_MAX_CHARACTERS:
            return None
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        verified = self._verified.get(digest)
        if verified is not None and self._clock() < verified.usable_until:
            return verified.user
        claims = await self._verify(token, self._keys)
        user = None if claims is None else _user(claims)
        if claims is not None and user is not None:
            now = time.time()
            # An end may be too far away for a float: it is compared, and not added to.
            lasts_seconds = min(int(claims["exp"]), now + VERIFIED_SECONDS) - now
            self._verified[digest] = _Verified(user, self._clock() + lasts_seconds)
        return user

    async def _verify(self, token: str, of: TokenKeys) -> dict[str, Any] | None:
        """What a token says that is valid; else None."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, UnicodeError):
            return None
        async with aclosing(of.keys(header.get("kid"))) as keys:
            async for key in keys:
                claims = self._claims(token, key)
                if claims is not None:
                    return claims
        return None

    async def close(self) -> None:
        """Let go of connections."""
        if self._keys is not None:
            await self._keys.close()

    def _claims(self, token: str, key: jwt.PyJWK) -> dict[str, Any] | None:
        """What the token says, if this key signed it and it is valid; else None."""
        try:
            with warnings.catch_warnings():
                # Said once, at the start.
                warnings.simplefilter("ignore", InsecureKeyLengthWarning)
                return jwt.decode(
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


def _user(claims: dict[str, Any]) -> TokenUser | None:
    user_id = _uuid(claims["sub"])
    if user_id is None:
        return None
    return TokenUser(user_id, is_anonymous=claims.get("is_anonymous") is True)


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
    secret = None if settings.jwt_secret is None else _Secret(settings.jwt_secret)
    if settings.jwks_url is None:
        return secret
    published = FetchedKeys(settings.jwks_url, settings.jwks_algorithms, clock)
    return published if secret is None else _Both(secret, published)


class _Secret:
    """The one key of HS256 tokens; the name that a token gives its key means nothing here."""

    def __init__(self, secret: SecretStr) -> None:
        octets = urlsafe_b64encode(secret.get_secret_value().encode()).decode()
        self._key = jwt.PyJWK({"kty": "oct", "alg": "HS256", "k": octets.rstrip("=")})

    async def keys(self, key_id: str | None) -> AsyncGenerator[jwt.PyJWK, None]:  # noqa: ARG002 - see above
        yield self._key

    async def close(self) -> None:
        """Nothing is held."""


class _Both:
    """The shared secret, and published keys beside it."""

    def __init__(self, secret: _Secret, published: FetchedKeys) -> None:
        self._secret = secret
        self._published = published

    async def keys(self, key_id: str | None) -> AsyncGenerator[jwt.PyJWK, None]:
        # What the secret signed is known without asking the issuer, who may be away.
        if key_id is None or not await self._published.holds(key_id):
            async for key in self._secret.keys(key_id):
                yield key
        async for key in self._published.keys(key_id):
            yield key

    async def close(self) -> None:
        """Let go of connections."""
        await self._published.close()
