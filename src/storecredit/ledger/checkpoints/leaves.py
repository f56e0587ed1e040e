"""The leaves of checkpoints' trees: where each owner's chains stood, in order of their places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from storecredit.ledger.checkpoints import merkle
from storecredit.ledger.checkpoints.checkpoint import Checkpoint, NotAsSigned
from storecredit.ledger.checkpoints.hashing import (
    HASH_BYTES,
    kept_beginning,
    standing,
    told_beginning,
)
from storecredit.ledger.checkpoints.reading import read
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

CHUNK: Final = 1024
"""Leaves under one root that is kept: a power of two, so that it is a node of the tree."""

_STANDINGS: Final = """
    SELECT c.position, c.account_id, c.owner_kind, c.owner_id, c.salt, l.seq, l.head, l.kept_head
    FROM chained_accounts c
    LEFT JOIN LATERAL (
        SELECT x.seq, x.head, x.kept_head FROM chain_links x
        WHERE x.position = c.position AND x.number <= $1
        ORDER BY x.position DESC, x.seq DESC LIMIT 1) l ON true
    WHERE {where}
    ORDER BY c.position
"""
_IN_RANGE: Final = _STANDINGS.format(where="c.position >= $2 AND c.position < $3")
_OF_ACCOUNTS: Final = _STANDINGS.format(where="c.account_id = ANY ($2::bigint[])")
NEWEST: Final = 2**63 - 1
"""A checkpoint's number that stands for what is chained by now."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an owner's chains stand; `seq` is 0 where nothing of it is chained yet."""

    position: int
    account_id: int
    owner_kind: str
    owner_id: UUID
    seq: int
    head: bytes
    kept_head: bytes

    @property
    def leaf(self) -> bytes:
        """The hash of its leaf."""
        data = standing(self.owner_kind, self.owner_id, self.seq, self.head, self.kept_head)
        return merkle.leaf(data)


async def in_range(home: Database, number: int, first: int, end: int) -> list[Standing]:
    """Those at places from `first` and before `end`, as of a checkpoint."""
    return [_standing(row) for row in await read(home, _IN_RANGE, number, first, end)]


async def of_accounts(home: Database, number: int, account_ids: Sequence[int]) -> list[Standing]:
    """Those of accounts, as of a checkpoint; one that has no place yet is left out."""
    return [_standing(row) for row in await read(home, _OF_ACCOUNTS, number, account_ids)]


async def chunk_root(home: Database, number: int, chunk: int, owners: int) -> bytes:
    """The root over one chunk of the leaves of a tree that has `owners` of them."""
    found = await in_range(home, number, chunk * CHUNK, min((chunk + 1) * CHUNK, owners))
    return merkle.root([each.leaf for each in found])


async def chunks_of(home: Database, checkpoint: Checkpoint) -> list[bytes]:
    """The roots that a checkpoint keeps, apart. Raises NotAsSigned, DatabaseUnavailable."""
    chunks: bytes = await home.fetchval(
        "SELECT chunks FROM checkpoints WHERE number = $1", checkpoint.number
    )
    roots = [chunks[start : start + HASH_BYTES] for start in range(0, len(chunks), HASH_BYTES)]
    if merkle.root(roots) != checkpoint.root:
        raise NotAsSigned(f"The parts of checkpoint {checkpoint.number} are not its root's.")
    return roots


def _standing(row: Record) -> Standing:
    values: dict[str, Any] = dict(row)
    salt = values.pop("salt")
    if values["seq"] is None:
        values |= {
            "seq": 0,
            "head": told_beginning(values["owner_kind"], values["owner_id"]),
            "kept_head": kept_beginning(salt),
        }
    return Standing(**values)
