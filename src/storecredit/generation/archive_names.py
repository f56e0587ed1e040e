"""How the files of the archive are called, and what is said where one cannot be had."""

from typing import Final

FILES_TO_A_FOLDER: Final = 1_000


class ArchiveUnusable(Exception):
    """A file could not be written or read; the message is one sentence for the operator."""


def file_name(number: int, sha256: bytes) -> str:
    """The name of a file, which follows from its number and what is in it.

    So whoever makes it again replaces it by the same; and of two databases that write to one place,
    as a restored one may beside its original, neither replaces what is the other's.
    """
    return f"{number // FILES_TO_A_FOLDER:06}/sessions-{number:09}-{sha256.hex()[:16]}.csv.gz"
