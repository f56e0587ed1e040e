"""Whether every checkpoint was signed of the chains that there are: each tree is made anew.

A link says from which checkpoint on it counts, so all trees follow from one walk over the links, in
the order in which they came. From one tree to the next only what lies above changed leaves is
hashed. The nodes are kept in memory, 64 bytes for each owner.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from storecredit.ledger.checkpoints import hashing, merkle
from storecredit.ledger.checkpoints.hashing import HASH_BYTES, MARK_BYTES
from storecredit.ledger.checkpoints.leaves import CHUNK
from storecredit.ledger.checkpoints.reading import streamed
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

LEAVES_MAX: Final = 1_000
"""That are hashed at once: some milliseconds, in which nothing else runs."""

_CHECKPOINTS: Final = """
    SELECT number, owners, movements, root, chunks FROM checkpoints WHERE number <= $1
    ORDER BY number
"""
_ACCOUNTS: Final = """
    SELECT position, owner_kind, owner_id, salt FROM chained_accounts ORDER BY position
"""
_LINKS: Final = f"""
    SELECT l.number, l.position, l.seq, l.head, l.kept_head, c.owner_kind, c.owner_id,
        length(l.marks) / {2 * MARK_BYTES} AS movements
    FROM chain_links l JOIN chained_accounts c USING (position)
    WHERE l.number <= $1 ORDER BY l.number, l.position, l.seq
"""  # noqa: S608 - a constant


class PastTrees:
    """One look at the trees of all checkpoints up to a number."""

    def __init__(self) -> None:
        self._tree = merkle.ChangingTree()
        self._changed: dict[int, bytes] = {}
        self._movements = 0
        self.differing: dict[int, str] = {}
        """Checkpoints that were signed of something else, by number, and in what."""

    async def look(self, home: Database, newest: int) -> None:
        """Fill `differing`, of checkpoints up to the `newest`. Raises DatabaseUnavailable.

        It ends where an account has lost its place: nothing after that can be made anew.
        """
        async with (
            streamed(home) as rows_of,
            aclosing(rows_of(_CHECKPOINTS, newest)) as checkpoints,
            aclosing(rows_of(_ACCOUNTS)) as accounts,
            aclosing(rows_of(_LINKS, newest)) as links,
        ):
            account, link = await anext(accounts, None), await anext(links, None)
            async for checkpoint in checkpoints:
                while account is not None and account["position"] < checkpoint["owners"]:
                    if account["position"] != len(self._tree) + len(self._changed):
                        return
                    self._change(account["position"], _first_leaf(account))
                    account = await anext(accounts, None)
                self._apply()
                link = await self._links(checkpoint["number"], link, links)
                self._compare(checkpoint)

    async def _links(
        self, number: int, link: Record | None, links: AsyncIterator[Record]
    ) -> Record | None:
        """Take in those up to a checkpoint; the first one after it."""
        while link is not None and link["number"] <= number:
            self._movements += link["movements"]
            # One beyond the tree is told as chains that differ: its movements are counted.
            if link["position"] < len(self._tree):
                self._change(link["position"], _leaf(link))
            link = await anext(links, None)
        self._apply()
        return link

    def _change(self, position: int, leaf: bytes) -> None:
        self._changed[position] = leaf
        if len(self._changed) == LEAVES_MAX:
            self._apply()

    def _apply(self) -> None:
        self._tree.change(self._changed)
        self._changed = {}

    def _compare(self, checkpoint: Record) -> None:
        number, owners = checkpoint["number"], checkpoint["owners"]
        if len(self._tree) != owners:
            self.differing[number] = f"{owners - len(self._tree)} accounts are missing"
        elif self._movements != checkpoint["movements"]:
            more = self._movements - checkpoint["movements"]
            self.differing[number] = f"{abs(more)} movements {'more' if more > 0 else 'fewer'}"
        elif (self._tree.root, self._tree.level(CHUNK)) != (
            checkpoint["root"],
            checkpoint["chunks"],
        ):
            self.differing[number] = _where(self._tree.level(CHUNK), checkpoint["chunks"])


def _first_leaf(account: Record) -> bytes:
    """Of an account of which nothing is chained yet."""
    kind, owner_id = account["owner_kind"], account["owner_id"]
    told = hashing.told_beginning(kind, owner_id)
    kept = hashing.kept_beginning(account["salt"])
    return merkle.leaf(hashing.standing(kind, owner_id, 0, told, kept))


def _leaf(link: Record) -> bytes:
    """Of where a chain stands with this link."""
    place = (link["seq"], link["head"], link["kept_head"])
    return merkle.leaf(hashing.standing(link["owner_kind"], link["owner_id"], *place))


def _where(made: bytes, signed: bytes) -> str:
    """Which leaves differ, as far as can be told."""
    for start in range(0, len(made), HASH_BYTES):
        if made[start : start + HASH_BYTES] != signed[start : start + HASH_BYTES]:
            first = start // HASH_BYTES * CHUNK
            return f"first at the places from {first} on"
    return "in the parts that it keeps"
