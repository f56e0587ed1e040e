"""What is given to whoever looks after all buckets of a database."""

from collections.abc import Sequence
from typing import Protocol

from storecredit.postgres.pool import Database


class Databases(Protocol):
    """The buckets of one database; a `Database` by itself is the only one of its own."""

    @property
    def several(self) -> bool:
        """Whether there are others than one."""

    @property
    def all(self) -> Sequence[Database]:
        """Each of them."""
