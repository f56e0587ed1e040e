"""Where results are kept: what a directory and an S3 bucket both do, and which of them is used."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from storecredit.generation.generators import GeneratedImage
from storecredit.generation.results.directory import RESULTS, ResultDirectory
from storecredit.generation.results.keys import Needed
from storecredit.settings import Settings


class ResultStore(Protocol):
    """The result images of all owners, by result key.

    Each call raises `OSError` if the disk or the bucket fails it, and `ValueError` for what is
    no key.
    """

    async def save(self, owner_id: UUID, session_id: UUID, image: GeneratedImage) -> str:
        """Store the image durably and return its key; saving a session's image again replaces it.

        Raises `ValueError` for a media type that is no image type. Whether it is stored is unknown
        after an `OSError`; in part it never is.
        """

    async def load(self, key: str) -> GeneratedImage | None:
        """The image, or None if it has been deleted."""

    async def links(self, keys: Sequence[str], *, lifetime_seconds: float) -> Mapping[str, str]:
        """The store's own links by key, that work for so long; empty where it has none."""

    async def delete(self, keys: Sequence[str]) -> Mapping[str, OSError]:
        """Delete images, which may be gone already; those that could not be, and why."""

    async def sessions_of(self, owner_id: UUID) -> Collection[UUID]:
        """The sessions of which anything is kept below an owner's id, be it left of an attempt."""

    async def delete_sessions(self, owner_id: UUID, sessions: Collection[UUID]) -> None:
        """Delete whatever is kept of these."""

    async def delete_strays(self, older_than_seconds: float, needed: Needed) -> int:
        """Delete what was written longer ago than that and is not `needed`; how much it was.

        Such are the drafts of killed processes, and results of attempts whose session ended
        otherwise. How old something is, is told by this machine's clock, which may be wrong;
        `needed` knows better. An S3 bucket's lifecycle does that instead.
        """

    async def check(self) -> None:
        """See whether it can be written, read and deleted from."""

    async def close(self) -> None:
        """Wait for the images that are being stored; to be called when nobody saves any more."""


def reason_of(failure: OSError) -> str:
    """Why the disk or the bucket failed, for the log: without the path, which names an image."""
    return failure.strerror or str(failure)


def open_results(settings: Settings) -> ResultStore:
    """The store that the settings name. Asks nobody yet.

    Raises `BucketUnusable` for settings of AWS's that cannot be.
    """
    if settings.results is None:
        return ResultDirectory(settings.data_dir / RESULTS)
    # Only who has a bucket waits for the library to be loaded.
    from storecredit.generation.results.bucket import ResultBucket  # noqa: PLC0415 - see above

    return ResultBucket(settings.results, link_endpoint=settings.results_link_endpoint)
