"""The public keys behind a JWKS URL (RFC 7517): fetched once, kept for a while, few.

Promises that whoever sends tokens decides nothing about it: an unknown key name leads to one
fetch in a while at most, the answer is bounded in size and time, and no key is of an algorithm
that the settings do not list. HMAC is never one: a public key is no secret.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import jwt
import msgspec

from storecredit import __version__
from storecredit.telemetry import get_logger

if TYPE_CHECKING:
    import httpx

KEYS_MAX: Final = 100
ANSWER_MAX_BYTES: Final = 256 * 1024
FETCH_TIMEOUT_SECONDS: Final = 5.0
FETCH_INTERVAL_SECONDS: Final = 5.0
"""Between two fetches, whatever tokens come in and however the first one ended."""
FRESH_SECONDS: Final = 600.0
"""Keys older than that are fetched again, so that a key that was withdrawn is no longer one."""
STALE_SECONDS: Final = 3600.0
"""How long keys are used while they cannot be fetched again."""

log = get_logger("users.token_keys")


class TokenKeysUnavailable(Exception):
    """The keys cannot be fetched right now, and without them no token can be judged."""


class KeySet(msgspec.Struct, frozen=True):
    """RFC 7517, section 5; what an entry is, is looked at one by one."""

    keys: list[Any]


class FetchedKeys:
    """The keys behind one URL that are of an algorithm the settings list."""

    def __init__(self, url: str, algorithms: Sequence[str], clock: Callable[[], float]) -> None:
        """`clock` gives seconds and never goes back."""
        self._url = url
        self._algorithms = frozenset(name for name in algorithms if not name.startswith("HS"))
        self._clock = clock
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of that name; None: there is none, so the token is not valid.

        A token that names no key means the only one there is. Raises TokenKeysUnavailable.
        """
        if key_id not in self._keys or self._age() > FRESH_SECONDS:
            await self._fetch_if_due()
        if self._age() > STALE_SECONDS:
            raise TokenKeysUnavailable("the keys of the users' tokens cannot be fetched")
        return self._keys.get(key_id)

    async def keys(self, key_id: str | None) -> AsyncGenerator[jwt.PyJWK, None]:
        """`key`, if there is one."""
        key = await self.key(key_id)
        if key is not None:
            yield key

    async def holds(self, key_id: str) -> bool:
        """Whether a key of that name was there when the keys were last fetched.

        They are fetched for it once, at first; after that a name asks the issuer for nothing.
        """
        if self._tried_at is None or (self._fetched_at is None and self._fetching.locked()):
            await self._fetch_if_due()
        return key_id in self._keys

    async def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            await self._client.aclose()

    def _age(self) -> float:
        """Seconds since the keys were fetched; endless before the first time."""
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    async def _fetch_if_due(self) -> None:
        """One fetch for all who ask meanwhile."""
        async with self._fetching:
            now = self._clock()
            if self._tried_at is not None and now - self._tried_at < FETCH_INTERVAL_SECONDS:
                return
            self._tried_at = now
            entries = await self._fetch()
            if entries is not None:
                self._keys = _usable(entries, self._algorithms)
                self._fetched_at = self._clock()
                log.info("token_keys_fetched", keys=len(self._keys))

    async def _fetch(self) -> list[Any] | None:
        """The entries of the key set; None, logged, if what there is now is no key set."""
        # Imported here: the HTTP client costs a tenth of a second at start.
        import httpx  # noqa: PLC0415 - see above

        if self._client is None:
            self._client = httpx.AsyncClient(
                headers={"User-Agent": f"storecredit/{__version__}", "Accept": "application/json"},
                timeout=FETCH_TIMEOUT_SECONDS,
                trust_env=False,
            )
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_SECONDS):
                body = await _body(self._client, self._url)
            return msgspec.json.decode(body, type=KeySet).keys
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            TimeoutError,
            ValueError,
            RecursionError,
        ) as error:
            # Of the error only its kind: its text may quote the answer.
            log.warning("token_keys_not_fetched", cause=type(error).__name__)
            return None


async def _body(client: "httpx.AsyncClient", url: str) -> bytes:
    """The whole body of a good answer. Raises ValueError for one that is too large."""
    body = bytearray()
    async with client.stream("GET", url) as answer:
        answer.raise_for_status()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > ANSWER_MAX_BYTES:
                raise ValueError("the key set is too large")
    return bytes(body)


def _usable(entries: Sequence[Any], algorithms: frozenset[str]) -> Mapping[str | None, jwt.PyJWK]:
    """The keys by name, and a single one also without; what is no key of ours is left out."""
    keys: dict[str | None, jwt.PyJWK] = {}
    for entry in entries[:KEYS_MAX]:
        key = _key(entry, algorithms)
        if key is not None and key.key_id not in keys:
            keys[key.key_id] = key
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    elif None in keys:
        del keys[None]
    return keys


def _key(entry: Any, algorithms: frozenset[str]) -> jwt.PyJWK | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    if not isinstance(entry.get("kid", ""), str):
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, LookupError, NotImplementedError, TypeError, ValueError):
        return None  # all that PyJWT raises for a key it cannot take
    return key if key.algorithm_name in algorithms else None
