"""Stores behind sign-ins, where they live in another bucket than the first, which has all sign-ins.

What the first bucket cannot see of them is asked of theirs at each request, so that a sign-in ends
with the key or the store behind it, wherever these are. Of one bucket nothing is asked.
"""

from uuid import UUID

from storecredit.postgres.buckets import Buckets, SeveralBuckets


class StoresElsewhere:
    """Those of all buckets but the first. Methods raise DatabaseUnavailable."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def key(self, digest: bytes) -> tuple[UUID, UUID] | None:
        """The store and the id of its key of this hash; None: there it is none that lets in."""
        if not isinstance(self._buckets, SeveralBuckets):
            return None
        number = (await self._buckets.of_keys([digest])).get(digest, 0)
        if number == 0:
            return None
        row = await self._buckets.numbered(number).fetchrow(
            """SELECT store_id, key_id FROM store_api_keys
               WHERE key_hash = $1 AND still_vouched(NULL, NULL, NULL, store_id, key_id)""",
            digest,
        )
        return None if row is None else (row["store_id"], row["key_id"])

    async def name(self, store_id: UUID, key_id: UUID | None) -> str | None:
        """What the store is called; None: it is no such store, or may not be signed in to now.

        `key_id`: the key of its own that has to work; None: none has to.
        """
        bucket = await self._buckets.of_store(store_id)
        if bucket is self._buckets.home:
            return None
        name: str | None = await bucket.fetchval(
            """SELECT name FROM stores
               WHERE store_id = $1 AND still_vouched(NULL, NULL, NULL, store_id, $2)""",
            store_id,
            key_id,
        )
        return name

    async def may_be_used(self, code_hash: bytes) -> bool:
        """False: the link is of a store elsewhere, which may not be signed in to now."""
        if not self._buckets.several:
            return True
        row = await self._buckets.home.fetchrow(
            """SELECT store_id, key_id FROM sign_in_links
               WHERE code_hash = $1 AND lives_elsewhere('store', store_id)""",
            code_hash,
        )
        return row is None or await self.name(row["store_id"], row["key_id"]) is not None
