"""API keys: their form, and whose key it is that a request carries.

Hides the hash and the look-up. Promises that a key which was revoked, replaced or expired, or whose
store was suspended, is refused within a second on every process, whatever the network does (see
`storecredit.stores.lookups`), that a new one works at once, and that a database which cannot be
asked is said to be unavailable, never taken for a "no". Why a key is refused is told only for one
that was really issued: whoever holds it knows no more than that it is theirs.
"""

import re
import secrets
import string
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

from storecredit.postgres.listener import Listener
from storecredit.postgres.pool import Database, Record
from storecredit.stores.lookups import Answer, Lookups

CHANNEL: Final = "storecredit_keys"
"""Where the functions in sql/functions/stores.sql announce a changed store, by its id."""

PREFIX: Final = "sc_live_"
RANDOM_LENGTH: Final = 30
CHECKSUM_LENGTH: Final = 6
START_LENGTH: Final = 12
BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase

LABEL_LENGTH_MAX: Final = 100
ORIGINS_MAX: Final = 100
ORIGIN_LENGTH_MAX: Final = 300
GRACE_SECONDS_MAX: Final = 30 * 24 * 3600
PAGE_LENGTH_MAX: Final = 100
CACHED_KEYS_MAX: Final = 20_000
CACHED_ORIGINS_MAX: Final = 5_000

_FORM: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_LENGTH + CHECKSUM_LENGTH}}}")
_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PORT_MAX: Final = 65535

CALLER_BY_HASH: Final = """
SELECT k.store_id, a.account_id, k.key_id, s.tier, k.allowed_origins, k.expires_at,
    extract(epoch FROM k.expires_at - now())::float8 AS expires_in_seconds,
    CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked'
         WHEN k.expires_at <= now() THEN 'expired'
         WHEN s.status <> 'active' THEN 'suspended' END AS refused_as
FROM store_api_keys k JOIN stores s ON s.store_id = k.store_id
    JOIN accounts a ON a.owner_id = k.store_id AND a.owner_kind = 'store'
WHERE k.key_hash = $1
LIMIT 1"""
LONGEST_LISTING: Final = """
SELECT extract(epoch FROM k.expires_at - now())::float8 AS expires_in_seconds
FROM store_api_keys k JOIN stores s ON s.store_id = k.store_id
WHERE k.allowed_origins @> ARRAY[$1::text]
  AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
  AND s.status = 'active'
ORDER BY k.expires_at DESC NULLS FIRST
LIMIT 1"""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One API key of a store, without its secret. `expires_at`, `revoked_at` None: not so far."""

    key_id: UUID
    store_id: UUID
    label: str
    key_start: str
    allowed_origins: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new API key with its secret `key`, which can be shown this once and never again."""

    api_key: ApiKey
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends an authenticated request: what its API key says, and nothing else can change."""

    store_id: UUID
    account_id: int
    key_id: UUID
    tier: str
    allowed_origins: frozenset[str]
    expires_at: datetime | None

    def allows(self, origin: str) -> bool:
        """Whether the key lists this `Origin` header's value; an empty list lists none."""
        return normalise_origin(origin) in self.allowed_origins


class RefusalCause(StrEnum):
    """Why a key that was really issued is refused; what cannot be mended comes first."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    """Its store is; the key works again when the store does."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The key is genuine, and does not work."""

    store_id: UUID
    cause: RefusalCause


class ApiKeys:
    """All API keys of the database."""

    def __init__(
        self,
        database: Database,
        listener: Listener,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`listener` listens on `CHANNEL`; `clock` gives seconds and never goes back."""
        self._database = database
        self._callers: Lookups[bytes, Caller | Refused] = Lookups(
            self._look_up_caller, listener, clock=clock, cached_max=CACHED_KEYS_MAX
        )
        self._origins: Lookups[str, bool] = Lookups(
            self._look_up_origin, listener, clock=clock, cached_max=CACHED_ORIGINS_MAX
        )
        listener.subscribe(self._hear)

    async def authenticate(self, key: str) -> Caller | Refused | None:
        """Who sends this key, or why it is refused; None: malformed or unknown.

        Raises DatabaseUnavailable when that cannot be known.
        """
        digest = key_hash(key)
        caller = self._callers.cached(digest)
        # The form is looked at where it saves a query: a key that is known has it.
        if caller is None and is_well_formed(key):
            caller = await self._callers.get(digest)
        return caller

    def last_known_store(self, key: str) -> UUID | None:
        """Whose key it was when the database was last asked; None: not remembered.

        For the log, while the database is away. It lets nobody in: the key may be revoked by now.
        """
        caller = self._callers.remembered(key_hash(key))
        return None if caller is None else caller.store_id

    async def origin_is_listed(self, origin: str) -> bool:
        """Whether some key that works lists this `Origin`, for preflights, which carry no key.

        Raises DatabaseUnavailable when that cannot be known.
        """
        normal = normalise_origin(origin)
        return normal is not None and await self._origins.get(normal) is not None

    async def create(
        self,
        store_id: UUID,
        *,
        label: str = "",
        allowed_origins: Iterable[str] = (),
        expires_at: datetime | None = None,
    ) -> IssuedKey | None:
        """Give the store one more key; None: no such store.

        Raises ValueError, with a message fit for people, for a label or origins that cannot be.
        """
        key, key_id = new_key(), uuid7()
        made = await self._database.fetchval(
            "SELECT create_store_api_key($1, $2, $3, $4, $5, $6, $7)",
            store_id,
            key_id,
            key_hash(key),
            key[:START_LENGTH],
            _checked_label(label),
            _checked_origins(allowed_origins),
            expires_at,
        )
        return await self._issued(store_id, key_id, key) if made else None

    async def list(
        self, store_id: UUID, limit: int = PAGE_LENGTH_MAX, cursor: UUID | None = None
    ) -> tuple[ApiKey, ...]:
        """At most `limit` keys of the store, newest first, those that stopped working included.

        `cursor`: the id of the last key of the page before.
        """
        if not 1 <= limit <= PAGE_LENGTH_MAX:
            raise ValueError(f"a page has 1 to {PAGE_LENGTH_MAX} keys, not {limit}")
        rows = await self._database.fetch(
            "SELECT * FROM store_api_keys WHERE store_id = $1 AND ($2::uuid IS NULL OR key_id < $2)"
            " ORDER BY key_id DESC LIMIT $3",
            store_id,
            cursor,
            limit,
        )
        return tuple(_api_key(row) for row in rows)

    async def update(
        self,
        store_id: UUID,
        key_id: UUID,
        *,
        label: str | None = None,
        allowed_origins: Iterable[str] | None = None,
    ) -> ApiKey | None:
        """Change what is given of a key that works; None leaves a value as it was.

        `allowed_origins` replaces the list. None: the store has no such key, or it no longer works.
        Raises ValueError, with a message fit for people, for a label or origins that cannot be.
        """
        updated = await self._database.fetchval(
            "SELECT update_store_api_key($1, $2, $3, $4)",
            store_id,
            key_id,
            None if label is None else _checked_label(label),
            None if allowed_origins is None else _checked_origins(allowed_origins),
        )
        return await self._existing(store_id, key_id) if updated else None

    async def revoke(self, store_id: UUID, key_id: UUID) -> bool:
        """Make the key useless for ever; False: the store has no such key."""
        revoked: bool = await self._database.fetchval(
            "SELECT revoke_store_api_key($1, $2)", store_id, key_id
        )
        return revoked

    async def rotate(
        self, store_id: UUID, key_id: UUID, *, grace_seconds: int = 0
    ) -> IssuedKey | None:
        """Replace a key by one with the same label and origins, which does not expire.

        The old one works for `grace_seconds` more (0: no longer). None: the store has no such key,
        or it no longer works.
        """
        if not 0 <= grace_seconds <= GRACE_SECONDS_MAX:
            raise ValueError(f"the grace time is 0 to {GRACE_SECONDS_MAX} s, not {grace_seconds}")
        key, new_key_id = new_key(), uuid7()
        replaced = await self._database.fetchval(
            "SELECT rotate_store_api_key($1, $2, $3, $4, $5, $6)",
            store_id,
            key_id,
            new_key_id,
            key_hash(key),
            key[:START_LENGTH],
            grace_seconds,
        )
        return await self._issued(store_id, new_key_id, key) if replaced else None

    async def _issued(self, store_id: UUID, key_id: UUID, key: str) -> IssuedKey:
        return IssuedKey(await self._existing(store_id, key_id), key)

    async def _existing(self, store_id: UUID, key_id: UUID) -> ApiKey:
        row = await self._database.fetchrow(
            "SELECT * FROM store_api_keys WHERE store_id = $1 AND key_id = $2", store_id, key_id
        )
        if row is None:
            raise RuntimeError("an API key vanished right after it was written")
        return _api_key(row)

    async def _look_up_caller(self, digest: bytes) -> Answer[Caller | Refused] | None:
        row = await self._database.fetchrow(CALLER_BY_HASH, digest)
        if row is None:
            return None
        if row["refused_as"] is not None:
            # As with a key that is unknown: the next request asks again.
            return Answer(Refused(row["store_id"], RefusalCause(row["refused_as"])), 0.0)
        caller = Caller(
            store_id=row["store_id"],
            account_id=row["account_id"],
            key_id=row["key_id"],
            tier=row["tier"],
            allowed_origins=frozenset(row["allowed_origins"]),
            expires_at=row["expires_at"],
        )
        return Answer(caller, row["expires_in_seconds"])

    async def _look_up_origin(self, origin: str) -> Answer[bool] | None:
        row = await self._database.fetchrow(LONGEST_LISTING, origin)
        return (
            None
            if row is None
            else Answer(value=True, expires_in_seconds=row["expires_in_seconds"])
        )

    def _hear(self, payload: str) -> None:
        # What is no store id (EVERYTHING, or another's announcement) may mean any store.
        try:
            store_id = UUID(payload)
        except ValueError:
            store_id = None
        self._callers.forget(lambda caller: store_id in {None, caller.store_id})
        # Any change of any store may change who lists an origin.
        self._origins.forget(lambda _listed: True)


def new_key() -> str:
    """A new secret key: `sc_live_`, 30 random base62 characters (178 bits), 6 of checksum."""
    start = PREFIX + "".join(secrets.choice(BASE62) for _ in range(RANDOM_LENGTH))
    return start + _checksum(start)


def is_well_formed(key: str) -> bool:
    """Whether `key` has a key's form and its checksum fits; says nothing about whose it is."""
    start, checksum = key[:-CHECKSUM_LENGTH], key[-CHECKSUM_LENGTH:]
    return _FORM.fullmatch(key) is not None and _checksum(start) == checksum


def key_hash(key: str) -> bytes:
    """SHA-256 of a key, 32 bytes. A fast hash is enough: 178 random bits cannot be tried out."""
    return sha256(key.encode()).digest()


def normalise_origin(origin: str) -> str | None:
    """The one way to write this web origin, or None for what is none (`null` included).

    RFC 6454 §4 and §6.2: scheme and host in lower case, the scheme's default port left out. A
    trailing slash, which people paste, is dropped. Hosts are ASCII (`xn--…`), as browsers send it.
    """
    match = _ORIGIN.fullmatch(origin) if len(origin) <= ORIGIN_LENGTH_MAX else None
    if match is None:
        return None
    scheme, host = match["scheme"].lower(), match["host"].lower()
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS.get(scheme)
    if port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}" if port is not None and port <= _PORT_MAX else None


def _checksum(start: str) -> str:
    """CRC-32 of all before it, the prefix included, as six base62 digits with leading zeros."""
    rest = zlib.crc32(start.encode())
    digits = ""
    for _ in range(CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(BASE62))
        digits = BASE62[digit] + digits
    return digits


def _checked_label(label: str) -> str:
    if len(label) > LABEL_LENGTH_MAX or "\0" in label:
        raise ValueError(f"a label has at most {LABEL_LENGTH_MAX} characters, none of them NUL")
    return label


def _checked_origins(origins: Iterable[str]) -> list[str]:
    normal = {origin: normalise_origin(origin) for origin in origins}
    bad = [origin for origin, normalised in normal.items() if normalised is None]
    if bad:
        raise ValueError(
            f"{bad[0]!r} is not a web origin: write scheme://host or scheme://host:port"
        )
    if len(normal) > ORIGINS_MAX:
        raise ValueError(f"a key lists at most {ORIGINS_MAX} origins, not {len(normal)}")
    return sorted({normalised for normalised in normal.values() if normalised is not None})


def _api_key(row: Record) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        store_id=row["store_id"],
        label=row["label"],
        key_start=row["key_start"],
        allowed_origins=frozenset(row["allowed_origins"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
