"""API keys: their form, and whose key it is that a request carries.

Hides the hash and the look-up. Promises that a key which was revoked, replaced or expired, or whose
store was suspended, is refused within a second on every process, whatever the network does (see
`storecredit.stores.lookups`), that a new one works at once, and that a database which cannot be
asked is said to be unavailable, never taken for a "no". Why a key is refused is told only for one
that was really issued: whoever holds it knows no more than that it is theirs.
"""

import asyncio
import re
import secrets
import string
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

from storecredit.postgres.buckets import Buckets
from storecredit.postgres.listener import Listener
from storecredit.postgres.servers import Record
from storecredit.stores.bucket_keys import KeysOfBucket, any_of
from storecredit.stores.callers import Caller, Refused
from storecredit.stores.lookups import Answer, Lookups
from storecredit.stores.origins import normalise_origin

CHANNEL: Final = "storecredit_keys"
"""Where the functions in sql/functions/stores.sql announce a changed store, and those in users.sql
a user who was blocked or let in again, each by its id."""

PREFIX: Final = "sc_live_"
IMPORTED_PREFIX: Final = "wk_"
"""Of keys that the system before had issued: they have no checksum, and go on working."""
RANDOM_LENGTH: Final = 30
CHECKSUM_LENGTH: Final = 6
START_LENGTH: Final = 12
DRAWN_BYTES_MIN: Final = 32
BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase

LABEL_LENGTH_MAX: Final = 100
ORIGINS_MAX: Final = 100
GRACE_SECONDS_MAX: Final = 30 * 24 * 3600
PAGE_LENGTH_MAX: Final = 100
CACHED_KEYS_MAX: Final = 40_000

_FORM: Final = re.compile(rf"[0-9A-Za-z]{{{RANDOM_LENGTH + CHECKSUM_LENGTH}}}")
# Nothing is known of them but how they begin, and that they were sent as one word.
_IMPORTED_FORM: Final = re.compile(rf"{IMPORTED_PREFIX}[!-~]{{8,200}}")


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


class ApiKeys:
    """All API keys of the database."""

    def __init__(
        self,
        buckets: Buckets,
        listener: Listener,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`listener` listens on `CHANNEL`; `clock` gives seconds and never goes back."""
        self._buckets = buckets
        self._places: Lookups[bytes, int] = Lookups(
            self._placed, listener, clock=clock, cached_max=CACHED_KEYS_MAX
        )
        self._here = tuple(
            KeysOfBucket(
                database,
                listener,
                clock=clock,
                cached_max=CACHED_KEYS_MAX // len(buckets.all),
            )
            for database in buckets.all
        )
        self._only = None if buckets.several else self._here[0]
        listener.subscribe(self._hear)

    async def close(self) -> None:
        """Close the connections that callers were looked up by."""
        await asyncio.gather(*(keys.close() for keys in self._here))

    async def authenticate(self, key: str) -> Caller | Refused | None:
        """Who sends this key, or why it is refused; None: malformed or unknown.

        Raises DatabaseUnavailable when that cannot be known.
        """
        digest = key_hash(key)
        # A bucket that does not answer holds up nobody whose key another one knows.
        keys = self._only or self._known(digest)
        caller = None if keys is None else keys.callers.cached(digest)
        # The form is looked at where it saves a query: a key that is known has it.
        if caller is None and (is_well_formed(key) or _IMPORTED_FORM.fullmatch(key)):
            keys = keys or await self._asked(digest)
            caller = None if keys is None else await keys.callers.get(digest)
        return caller

    def known(self, key: str) -> Caller | Refused | None:
        """Who sends this key if memory is as good as the database now; None: `authenticate`."""
        digest = key_hash(key)
        keys = self._only or self._known(digest)
        return None if keys is None else keys.callers.cached(digest)

    def last_known_store(self, key: str) -> UUID | None:
        """Whose key it was when the database was last asked; None: not remembered.

        For the log, while the database is away. It lets nobody in: the key may be revoked by now.
        """
        digest = key_hash(key)
        found = (keys.callers.remembered(digest) for keys in self._here)
        return next((caller.store_id for caller in found if caller is not None), None)

    async def origin_is_listed(self, origin: str) -> bool:
        """Whether some key that works lists this `Origin`, for preflights, which carry no key.

        Raises DatabaseUnavailable when that cannot be known.
        """
        normal = normalise_origin(origin)
        if normal is None:
            return False
        if any(keys.origins.cached(normal) for keys in self._here):
            return True
        return await any_of([keys.origins.get(normal) for keys in self._here])

    async def create(
        self,
        store_id: UUID,
        *,
        label: str = "",
        allowed_origins: Iterable[str] = (),
        expires_at: datetime | None = None,
        drawn: bytes | None = None,
    ) -> IssuedKey | None:
        """Give the store one more key; None: no such store. `drawn` as of `new_key`.

        Raises ValueError, with a message fit for people, for a label or origins that cannot be.
        """
        key, key_id = new_key(drawn=drawn), uuid7()
        database = await self._buckets.of_store(store_id)
        await self._buckets.place_key(key_hash(key), database)
        made = await database.fetchval(
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
        database = await self._buckets.of_store(store_id)
        rows = await database.fetch(
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
        database = await self._buckets.of_store(store_id)
        updated = await database.fetchval(
            "SELECT update_store_api_key($1, $2, $3, $4)",
            store_id,
            key_id,
            None if label is None else _checked_label(label),
            None if allowed_origins is None else _checked_origins(allowed_origins),
        )
        return await self._existing(store_id, key_id) if updated else None

    async def revoke(self, store_id: UUID, key_id: UUID) -> bool:
        """Make the key useless for ever; False: the store has no such key."""
        database = await self._buckets.of_store(store_id)
        revoked: bool = await database.fetchval(
            "SELECT revoke_store_api_key($1, $2)", store_id, key_id
        )
        return revoked

    async def rotate(
        self,
        store_id: UUID,
        key_id: UUID,
        *,
        grace_seconds: int = 0,
        drawn: bytes | None = None,
    ) -> IssuedKey | None:
        """Replace a key by one with the same label and origins, which does not expire.

        The old one works for `grace_seconds` more (0: no longer). `drawn` as of `new_key`. None:
        the store has no such key, or it no longer works.
        """
        if not 0 <= grace_seconds <= GRACE_SECONDS_MAX:
            raise ValueError(f"the grace time is 0 to {GRACE_SECONDS_MAX} s, not {grace_seconds}")
        key, new_key_id = new_key(drawn=drawn), uuid7()
        database = await self._buckets.of_store(store_id)
        await self._buckets.place_key(key_hash(key), database)
        replaced = await database.fetchval(
            "SELECT rotate_store_api_key($1, $2, $3, $4, $5, $6)",
            store_id,
            key_id,
            new_key_id,
            key_hash(key),
            key[:START_LENGTH],
            grace_seconds,
        )
        return await self._issued(store_id, new_key_id, key) if replaced else None

    async def get(self, store_id: UUID, key_id: UUID) -> ApiKey | None:
        """The key, whether it works or not; None: the store has none of that id."""
        database = await self._buckets.of_store(store_id)
        row = await database.fetchrow(
            "SELECT * FROM store_api_keys WHERE store_id = $1 AND key_id = $2", store_id, key_id
        )
        return None if row is None else _api_key(row)

    async def id_of(self, key: str) -> UUID | None:
        """The id of the key that a request carries, whether it works or not; None: unknown."""
        digest = key_hash(key)
        number = (await self._buckets.of_keys([digest])).get(digest)
        if number is None:
            return None
        key_id: UUID | None = await self._buckets.numbered(number).fetchval(
            "SELECT key_id FROM store_api_keys WHERE key_hash = $1", digest
        )
        return key_id

    def _known(self, digest: bytes) -> KeysOfBucket | None:
        """Which of several buckets knows a key, if that can be told from memory."""
        number = self._places.cached(digest)
        return None if number is None else self._of(number)

    async def _asked(self, digest: bytes) -> KeysOfBucket | None:
        number = await self._places.get(digest)
        return None if number is None else self._of(number)

    def _of(self, number: int) -> KeysOfBucket:
        return self._here[self._buckets.all.index(self._buckets.numbered(number))]

    async def _placed(self, digests: Sequence[bytes]) -> dict[bytes, Answer[int]]:
        found = await self._buckets.of_keys(digests)
        return {digest: Answer(number, None) for digest, number in found.items()}

    async def _issued(self, store_id: UUID, key_id: UUID, key: str) -> IssuedKey:
        return IssuedKey(await self._existing(store_id, key_id), key)

    async def _existing(self, store_id: UUID, key_id: UUID) -> ApiKey:
        found = await self.get(store_id, key_id)
        if found is None:
            raise RuntimeError("an API key vanished right after it was written")
        return found

    def _hear(self, payload: str) -> None:
        # What is no store id (EVERYTHING, or another's announcement) may mean any store.
        try:
            store_id = UUID(payload)
        except ValueError:
            store_id = None
        for keys in self._here:
            keys.forget(store_id)


def new_key(prefix: str = PREFIX, *, drawn: bytes | None = None) -> str:
    """A new secret key: the prefix, 30 random base62 characters (178 bits), 6 of checksum.

    `drawn`: at least 32 random bytes to make it of, for whoever can draw them again.
    """
    number = int.from_bytes(secrets.token_bytes(DRAWN_BYTES_MIN) if drawn is None else drawn)
    start = prefix + _base62(number, RANDOM_LENGTH)
    return start + _checksum(start)


def is_well_formed(key: str, prefix: str = PREFIX) -> bool:
    """Whether `key` has a key's form and its checksum fits; says nothing about whose it is."""
    start, checksum = key[:-CHECKSUM_LENGTH], key[-CHECKSUM_LENGTH:]
    has_form = key.startswith(prefix) and _FORM.fullmatch(key, len(prefix)) is not None
    return has_form and _checksum(start) == checksum


def key_hash(key: str) -> bytes:
    """SHA-256 of a key, 32 bytes. A fast hash is enough: 178 random bits cannot be tried out."""
    return sha256(key.encode()).digest()


def _checksum(start: str) -> str:
    """CRC-32 of all before it, the prefix included, as six base62 digits with leading zeros."""
    return _base62(zlib.crc32(start.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    """Its last digits. Of 256 random bits thirty of them are as good as evenly spread."""
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, len(BASE62))
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
