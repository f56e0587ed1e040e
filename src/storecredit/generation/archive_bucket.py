"""Archived sessions in S3, or in what speaks its protocol. Loaded only where it is used."""

import contextlib
from collections.abc import Iterator
from typing import Final

import obstore

from storecredit.generation.archive_names import ArchiveUnusable
from storecredit.object_storage.bucket import OpenBucket
from storecredit.object_storage.errors import BucketUnusable

_TYPE: Final = {"Content-Type": "application/gzip"}


class ArchiveBucket:
    """Files below `s3://bucket/prefix`."""

    def __init__(self, url: str) -> None:
        """Asks nothing of the server. Raises `ArchiveUnusable`."""
        with _told():
            self._bucket: Final = OpenBucket(url)

    @property
    def name(self) -> str:
        """Its address."""
        return self._bucket.url

    def put(self, file: str, content: bytes) -> None:
        """Write or replace a file: it is durable, and whole, once the server says that it is."""
        with _told(), self._bucket.told():
            # In parts, a put that is cut off would stay, unseen and paid for.
            obstore.put(self._bucket.store, file, content, attributes=_TYPE, use_multipart=False)

    def get(self, file: str) -> bytes:
        """The content of a file."""
        with _told(), self._bucket.told():
            return bytes(obstore.get(self._bucket.store, file).bytes())


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (BucketUnusable, ValueError) as error:
        raise ArchiveUnusable(str(error)) from error
