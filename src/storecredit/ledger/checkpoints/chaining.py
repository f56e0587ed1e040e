"""One pass over the accounts of all buckets: what is new of each is chained, a piece at a time.

Movements of an account become visible in the order of their seq, since whoever moves credits holds
its lock until the commit: what is read is never followed by something older. A piece is read,
hashed and written as links; whoever is killed in between has lost that piece and nothing else.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from storecredit.data_files.checkpoint_keys import CheckpointKeys
from storecredit.ledger.checkpoints import hashing, leaves
from storecredit.ledger.checkpoints.hashing import HASH_BYTES, LEAVES, extended, marks
from storecredit.ledger.checkpoints.reading import read
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pacing import pause
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

ACCOUNTS_MAX: Final = 5_000
"""That one statement lists."""
PIECE_MOVEMENTS: Final = 1_000
"""That are hashed at once: two milliseconds in which a process does nothing else."""
PIECE_ACCOUNTS: Final = 500
LINK_MOVEMENTS: Final = 1_000
"""That one link is of, at most."""
REST_SHARE: Final = 1.0
"""After a piece it rests so many times as long as that took: others use the database, too."""
SALT_BYTES: Final = 32

# Whose movements were counted lately: the sums keep an index of it.
_MOVED: Final = """
    SELECT s.account_id, s.owner_kind, s.owner_id, s.seq FROM summed_accounts s
    WHERE s.moved_at >= $3 AND s.account_id > $1 AND s.seq > 0
    ORDER BY s.account_id LIMIT $2
"""
_ALL: Final = """
    SELECT a.account_id, a.owner_kind, a.owner_id, coalesce(n.seq, 0) AS seq
    FROM (SELECT x.account_id, x.owner_kind, x.owner_id FROM accounts x
          WHERE x.account_id > $1 ORDER BY x.account_id LIMIT $2) a
    LEFT JOIN LATERAL (
        SELECT m.seq FROM movements m WHERE m.account_id = a.account_id
        ORDER BY m.account_id DESC, m.seq DESC LIMIT 1) n ON true
    ORDER BY a.account_id
"""


class TurnLost(Exception):
    """Another process has made this checkpoint, or has the turn: what was begun here is theirs."""


@dataclass(slots=True)
class Due:
    """A chain that ends at `seq`, and is to go on up to `until`."""

    account_id: int
    position: int
    seq: int
    head: bytes
    kept_head: bytes
    until: int


@dataclass(frozen=True, slots=True)
class Link:
    """A piece of one chain: after `after`, up to `seq`."""

    position: int
    after: int
    seq: int
    head: bytes
    kept_head: bytes
    marks: bytes

    @property
    def sealed(self) -> bytes:
        """What its seal is of."""
        return hashing.link(self.position, self.seq, self.head, self.kept_head, self.marks)


class Pass:
    """Chains everything that there is, for one checkpoint."""

    def __init__(
        self,
        buckets: Buckets,
        keys: CheckpointKeys,
        number: int,
        hold: Callable[[], Awaitable[None]],
    ) -> None:
        """`hold` keeps the turn, or raises TurnLost; it is called before each piece."""
        self._buckets = buckets
        self._home = buckets.home
        self._keys = keys
        self._number = number
        self._hold = hold
        self.movements = 0
        """How many were chained."""

    async def chain(self, since: datetime | None, stop: asyncio.Event) -> None:
        """Chain what is new of all accounts, or (`since`) of those that moved since then.

        Until `stop` is set: then the rest is left for the next pass.

        Raises TurnLost, DatabaseUnavailable.
        """
        for database in self._buckets.all:
            async for listed in self._listed(database, since, stop):
                due = await self._due(listed)
                while due and not stop.is_set():
                    began = time.monotonic()
                    await self._hold()
                    due = await self._piece(database, due)
                    await pause((time.monotonic() - began) * REST_SHARE, stop)

    async def _listed(
        self, database: Database, since: datetime | None, stop: asyncio.Event
    ) -> AsyncIterator[list[Record]]:
        """Accounts with their newest seq, a page at a time."""
        after = 0
        while not stop.is_set():
            rows = (
                await read(database, _ALL, after, ACCOUNTS_MAX)
                if since is None
                else await read(database, _MOVED, after, ACCOUNTS_MAX, since)
            )
            if not rows:
                return
            yield rows
            after = rows[-1]["account_id"]

    async def _due(self, listed: Sequence[Record]) -> list[Due]:
        """Those of which something is not chained, each with a place."""
        moved = {row["account_id"]: row for row in listed if row["seq"] > 0}
        known = await self._standings(moved)
        unplaced = [row for account_id, row in moved.items() if account_id not in known]
        if unplaced:
            await self._home.fetchval(
                "SELECT place_accounts($1, $2, $3, $4)",
                [row["account_id"] for row in unplaced],
                [row["owner_kind"] for row in unplaced],
                [row["owner_id"] for row in unplaced],
                [secrets.token_bytes(SALT_BYTES) for _ in unplaced],
            )
            known |= await self._standings(row["account_id"] for row in unplaced)
        return [
            Due(each.account_id, each.position, each.seq, each.head, each.kept_head, row["seq"])
            for account_id, row in moved.items()
            if (each := known[account_id]).seq < row["seq"]
        ]

    async def _standings(self, account_ids: Iterable[int]) -> dict[int, leaves.Standing]:
        found = await leaves.of_accounts(self._home, leaves.NEWEST, list(account_ids))
        return {each.account_id: each for each in found}

    async def _piece(self, database: Database, due: list[Due]) -> list[Due]:
        """Chain a piece of the first of them; what is left of all."""
        piece, room = [], PIECE_MOVEMENTS
        for each in due[:PIECE_ACCOUNTS]:
            if room <= 0:
                break
            until = min(each.until, each.seq + min(room, LINK_MOVEMENTS))
            room -= until - each.seq
            piece.append((each, until))
        rows = await read(
            database,
            LEAVES,
            [each.account_id for each, _ in piece],
            [each.seq for each, _ in piece],
            [until for _, until in piece],
        )
        found = {row["account_id"]: row for row in rows}
        links = [link for each, _ in piece if (link := linked(each, found[each.account_id]))]
        await self._write(links)
        reached = {link.position for link in links}
        return [
            # Where the ledger has a gap nothing follows: `verify` names it.
            *(each for each, _ in piece if each.position in reached and each.seq < each.until),
            *due[len(piece) :],
        ]

    async def _write(self, links: Sequence[Link]) -> None:
        if not links:
            return
        added = await self._home.fetchval(
            "SELECT add_chain_links($1, $2, $3, $4, $5, $6, $7, $8)",
            self._number,
            [link.position for link in links],
            [link.after for link in links],
            [link.seq for link in links],
            [link.head for link in links],
            [link.kept_head for link in links],
            [link.marks for link in links],
            [self._keys.seal(link.sealed) for link in links],
        )
        if added != len(links):
            raise TurnLost
        self.movements += sum(link.seq - link.after for link in links)


def linked(due: Due, row: Record) -> Link | None:
    """Move a chain on by the movements that were read, which follow each other; None: none does."""
    count = following(due.seq, row["seqs"] or ())
    if count == 0:
        return None
    told, kept = (row[name][: count * HASH_BYTES] for name in ("told", "kept"))
    after = due.seq
    due.seq += count
    due.head, due.kept_head = extended(due.head, told), extended(due.kept_head, kept)
    return Link(due.position, after, due.seq, due.head, due.kept_head, marks(told, kept))


def following(after: int, seqs: Sequence[int]) -> int:
    """How many of these follow `after` without a gap."""
    count = 0
    while count < len(seqs) and seqs[count] == after + 1 + count:
        count += 1
    return count
