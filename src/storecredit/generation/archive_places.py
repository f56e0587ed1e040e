"""Where files of archived sessions are kept: a directory, or below `s3://bucket/prefix`.

Hides which of the two. Promises that a file is there durably, and whole, before `put` returns; that
putting it once more replaces it by the same; and that nothing is ever deleted. What is said when it
fails names neither a credential nor an object.

All of it blocks, and is called in a thread.
"""

from pathlib import Path
from typing import Final, Protocol

from storecredit.data_files.durable_files import Draft, sync_directory, write_together
from storecredit.generation.archive_names import ArchiveUnusable
from storecredit.object_storage.addresses import S3_SCHEME


class ArchivePlace(Protocol):
    """Where the files are."""

    @property
    def name(self) -> str:
        """As it is noted beside each file: what `place_of` takes."""

    def put(self, file: str, content: bytes) -> None:
        """Write or replace a file, durably. Raises `ArchiveUnusable`."""

    def get(self, file: str) -> bytes:
        """The content of a file. Raises `ArchiveUnusable`."""


def place_of(name: str) -> ArchivePlace:
    """The place that a setting or a note names. Raises `ArchiveUnusable`."""
    if name.startswith(S3_SCHEME):
        # Only who asks for it waits for the library to be loaded.
        from storecredit.generation.archive_bucket import ArchiveBucket  # noqa: PLC0415 - see above

        return ArchiveBucket(name)
    return ArchiveDirectory(Path(name))


class ArchiveDirectory:
    """Files below one directory, which is made when the first one comes."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path.absolute()

    @property
    def name(self) -> str:
        """The whole path."""
        return str(self._path)

    def put(self, file: str, content: bytes) -> None:
        """Write or replace a file, durably, and remove drafts of it that a killed process left."""
        path = self._path / file
        try:
            for left in path.parent.glob(f".{path.name}.*.draft"):
                left.unlink(missing_ok=True)
            draft = Draft(path, content)
            write_together([draft])
        except OSError as error:
            raise self._unusable("written", error) from error
        if isinstance(draft.failure, FileNotFoundError) and path.exists():
            # Whoever took over has put the same there, and took ours for one that was left.
            sync_directory(path.parent)
            return
        if draft.failure is not None:
            raise self._unusable("written", draft.failure) from draft.failure

    def get(self, file: str) -> bytes:
        """The content of a file."""
        try:
            return (self._path / file).read_bytes()
        except OSError as error:
            raise self._unusable("read", error) from error

    def _unusable(self, what: str, error: OSError) -> ArchiveUnusable:
        return ArchiveUnusable(f"A file below {self._path} cannot be {what}: {error.strerror}.")
