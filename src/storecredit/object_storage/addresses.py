"""How a place in an S3 bucket is written: `s3://bucket/prefix`. Knows no library."""

import re
from dataclasses import dataclass
from typing import Final, Self

S3_SCHEME: Final = "s3://"
PREFIX_MAX_BYTES: Final = 512
"""An object's whole name has 1,024 at most (Amazon S3, "Naming Amazon S3 objects")."""
# Amazon's own buckets have small letters alone; older ones, and other servers' need not.
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """A bucket, and what the names of all objects there begin with: without a slash at its end."""

    bucket: str
    prefix: str

    @classmethod
    def read(cls, text: str) -> Self:
        """The address that a text is, whose prefix is taken letter by letter.

        Raises `ValueError`, with what it ought to be.
        """
        bucket, _, prefix = text.removeprefix(S3_SCHEME).partition("/")
        prefix = prefix.rstrip("/")
        if not text.startswith(S3_SCHEME) or _BUCKET.fullmatch(bucket) is None:
            raise ValueError("it is a bucket and a prefix, like s3://bucket/prefix")
        if prefix and not _is_path(prefix):
            raise ValueError(
                "the prefix is names with single slashes between, none of them . or .."
            )
        return cls(bucket, prefix)

    def __str__(self) -> str:
        """As it is written."""
        return f"{S3_SCHEME}{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def _is_path(prefix: str) -> bool:
    return (
        len(prefix.encode(errors="replace")) <= PREFIX_MAX_BYTES
        and prefix.isprintable()
        and not {"", ".", ".."}.intersection(prefix.split("/"))
    )
