"""Keeps result images as objects in an S3 bucket; links to them are the bucket's own.

Promises that an image is stored before `save` returns, by one request, so that it is there whole or
not at all; and that whatever the bucket does, a call ends: after a request's time, begun anew for
a while.
"""

import asyncio
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import obstore

from storecredit.generation.generators import GeneratedImage
from storecredit.generation.results.keys import Needed, key_of, media_type_of, session_of
from storecredit.object_storage.bucket import OpenBucket
from storecredit.object_storage.errors import BucketUnusable

REQUEST_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 20.0
"""A request that failed is begun anew for so long, with pauses that grow."""
SIGNING_SECONDS_MAX: Final = 5.0
"""Somebody waits for the link."""
DELETED_AT_ONCE: Final = 16
LISTED_AT_ONCE: Final = 1000
_CHECKED: Final = b"storecredit looks whether it may write here, and deletes this at once."


class ResultBucket:
    """The results below `s3://bucket/prefix` (`ResultStore`).

    `link_endpoint`: where those who get links reach the bucket, if not where this service does.
    Raises `BucketUnusable` for settings of AWS's that cannot be.
    """

    def __init__(self, url: str, *, link_endpoint: str | None = None) -> None:
        self._bucket = OpenBucket(url, request_seconds=REQUEST_SECONDS, retry_seconds=RETRY_SECONDS)
        self._store = self._bucket.store
        self._linked = (
            OpenBucket(
                url,
                request_seconds=REQUEST_SECONDS,
                retry_seconds=RETRY_SECONDS,
                endpoint=link_endpoint,
            ).store
            if link_endpoint
            else self._store
        )

    async def save(self, owner_id: UUID, session_id: UUID, image: GeneratedImage) -> str:
        """Store the image and return its key."""
        key = key_of(owner_id, session_id, image.media_type)
        with self._bucket.told():
            await obstore.put_async(
                self._store,
                key,
                image.content,
                # A link answers with what stands here.
                attributes={"Content-Type": image.media_type, "Cache-Control": "private"},
                # In parts, an upload that is cut off would stay, unseen and paid for.
                use_multipart=False,
            )
        return key

    async def load(self, key: str) -> GeneratedImage | None:
        """The image, or None if it has been deleted."""
        media_type = media_type_of(key)
        with self._bucket.told():
            try:
                found = await obstore.get_async(self._store, key)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            return GeneratedImage(bytes(await found.bytes_async()), media_type)

    async def links(self, keys: Sequence[str], *, lifetime_seconds: float) -> Mapping[str, str]:
        """The bucket's own links by key: a GET of the image, signed until then.

        Signing asks nobody, but for the credentials of a machine's role, about once an hour.
        """
        for key in keys:
            media_type_of(key)
        lifetime = timedelta(seconds=math.ceil(lifetime_seconds))
        try:
            async with asyncio.timeout(SIGNING_SECONDS_MAX):
                with self._bucket.told():
                    urls = await obstore.sign_async(self._linked, "GET", list(keys), lifetime)
        except TimeoutError:
            raise BucketUnusable(
                f"{self._bucket.url} cannot be used: credentials could not be had in time."
            ) from None
        return dict(zip(keys, urls, strict=True))

    async def delete(self, keys: Sequence[str]) -> Mapping[str, OSError]:
        """Delete images, a thousand by one request; those that could not be, and why."""
        for key in keys:
            media_type_of(key)
        try:
            await self._delete(keys)
        except BucketUnusable as failure:
            if not failure.is_of_one:
                return dict.fromkeys(keys, failure)
            # One may be kept by a rule of the bucket's: the others must not stay with it.
            return await self._delete_each(keys)
        return {}

    async def sessions_of(self, owner_id: UUID) -> Collection[UUID]:
        """The sessions that objects below an owner's id are of."""
        return {
            session_id
            for name in await self._names(owner_id)
            if (session_id := session_of(name)) is not None
        }

    async def delete_sessions(self, owner_id: UUID, sessions: Collection[UUID]) -> None:
        """Delete their objects."""
        wanted = frozenset(sessions)
        names = await self._names(owner_id)
        await self._delete([f"{owner_id}/{name}" for name in names if session_of(name) in wanted])

    async def delete_strays(self, older_than_seconds: float, needed: Needed) -> int:
        """None: looking through a whole bucket is paid for, and its lifecycle does it."""
        del older_than_seconds, needed
        return 0

    async def check(self) -> None:
        """Write, read and delete an object that is none of ours otherwise."""
        name = f"check-{uuid4()}"
        with self._bucket.told():
            await obstore.put_async(self._store, name, _CHECKED, use_multipart=False)
            await (await obstore.get_async(self._store, name)).bytes_async()
            await obstore.delete_async(self._store, name)

    async def close(self) -> None:
        """Nothing is begun that somebody does not wait for."""

    async def _names(self, owner_id: UUID) -> list[str]:
        names = []
        with self._bucket.told():
            pages = obstore.list(self._store, str(owner_id), chunk_size=LISTED_AT_ONCE)
            async for page in pages:
                names += [entry["path"].rpartition("/")[2] for entry in page]
        return names

    async def _delete(self, keys: Sequence[str]) -> None:
        with self._bucket.told():
            await obstore.delete_async(self._store, list(keys))

    async def _delete_each(self, keys: Sequence[str]) -> dict[str, OSError]:
        failures: dict[str, OSError] = {}
        at_once = asyncio.Semaphore(DELETED_AT_ONCE)

        async def delete(key: str) -> None:
            async with at_once:
                try:
                    await self._delete([key])
                except BucketUnusable as failure:
                    failures[key] = failure

        await asyncio.gather(*(delete(key) for key in keys))
        return failures
