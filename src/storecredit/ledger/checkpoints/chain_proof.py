"""Recomputes the chains from the ledger, link by link, and names what is not as it was chained."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from storecredit.data_files.checkpoint_keys import CheckpointKeys
from storecredit.ledger.checkpoints import hashing
from storecredit.ledger.checkpoints.hashing import HASH_BYTES, LEAVES, MARK_BYTES, extended
from storecredit.ledger.checkpoints.named_rows import Named, named
from storecredit.ledger.checkpoints.reading import read
from storecredit.ledger.discrepancies import Discrepancy, DiscrepancyKind
from storecredit.postgres.buckets import Buckets, bucket_of
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

LINKS_MAX: Final = 500
"""That one statement reads."""
WINDOW_MOVEMENTS: Final = 1_000
"""Of one account, that are looked at together: where rows moved up or down, so far it is seen."""
BATCH_MOVEMENTS: Final = 2_000

_ACCOUNTS: Final = """
    SELECT position, account_id, owner_kind, owner_id, salt FROM chained_accounts
    WHERE position > $1 ORDER BY position LIMIT $2
"""
_OWNERS: Final = """
    SELECT account_id, owner_kind, owner_id FROM accounts WHERE account_id = ANY ($1::bigint[])
"""
_LINKS: Final = """
    SELECT position, seq, head, kept_head, marks, seal FROM chain_links
    WHERE (position, seq) > ($1, $2) AND position <= $3 ORDER BY position, seq LIMIT $4
"""
_K: Final = DiscrepancyKind


@dataclass(slots=True)
class _Chain:
    """An account's chain, as far as it has been looked at."""

    account: Record
    seq: int = 0
    head: bytes = b""
    kept_head: bytes = b""
    has_moved: bool = False
    """Rows have moved up or down: what follows is not what it was, for that reason alone."""

    def __post_init__(self) -> None:
        row = self.account
        self.head = hashing.told_beginning(row["owner_kind"], row["owner_id"])
        self.kept_head = hashing.kept_beginning(row["salt"])


@dataclass(slots=True)
class _Window:
    """Links of one chain that follow each other."""

    chain: _Chain
    after: int
    head: bytes
    kept_head: bytes
    links: list[Record] = field(default_factory=list)

    @property
    def until(self) -> int:
        return int(self.links[-1]["seq"]) if self.links else self.after


class ChainProof:
    """One look at all chains."""

    def __init__(self, buckets: Buckets, keys: CheckpointKeys, most: int) -> None:
        self._buckets = buckets
        self._home = buckets.home
        self._keys = keys
        self._most = most
        self.found: list[Discrepancy] = []

    async def look(self) -> None:
        """Fill `found`, with `most` at most. Raises DatabaseUnavailable."""
        after = -1
        while len(self.found) < self._most:
            accounts = await read(self._home, _ACCOUNTS, after, LINKS_MAX)
            if not accounts:
                return
            self._places(after, accounts)
            await self._owners(accounts)
            async for windows in self._windows(accounts):
                await self._compare(windows)
            after = accounts[-1]["position"]

    def _places(self, after: int, accounts: Sequence[Record]) -> None:
        if [row["position"] for row in accounts] != list(
            range(after + 1, after + 1 + len(accounts))
        ):
            self._tell(None, _K.CHAIN_REWRITTEN, None, "accounts that were chained are not there")

    async def _owners(self, accounts: Sequence[Record]) -> None:
        """Whether the accounts are whose they were."""
        for number, database in enumerate(self._buckets.all):
            inside = [row for row in accounts if bucket_of(row["account_id"]) == number]
            rows = await read(database, _OWNERS, [row["account_id"] for row in inside])
            owners = {row["account_id"]: (row["owner_kind"], row["owner_id"]) for row in rows}
            for row in inside:
                now = owners.get(row["account_id"])
                if now is None:
                    self._tell(row, _K.CHAIN_REWRITTEN, None, "its account is not there any more")
                elif now != (row["owner_kind"], row["owner_id"]):
                    detail = f"its movements were chained, and are now those of {now[0]} {now[1]}"
                    self._tell(row, _K.CHAIN_REWRITTEN, None, detail)

    async def _windows(self, accounts: Sequence[Record]) -> AsyncIterator[list[_Window]]:
        """The links of these accounts, some at a time."""
        chains = {row["position"]: _Chain(row) for row in accounts}
        place, last = (accounts[0]["position"], 0), accounts[-1]["position"]
        while True:
            links = await read(self._home, _LINKS, *place, last, LINKS_MAX)
            if not links:
                return
            place = (links[-1]["position"], links[-1]["seq"])
            batch: list[_Window] = []
            movements = 0
            for window in self._joined(chains, links):
                batch.append(window)
                movements += window.until - window.after
                if movements >= BATCH_MOVEMENTS:
                    yield batch
                    batch, movements = [], 0
            yield batch

    def _joined(self, chains: dict[int, _Chain], links: Sequence[Record]) -> Iterator[_Window]:
        window: _Window | None = None
        for link in links:
            chain = chains.get(link["position"])
            if chain is None:
                continue  # the places have a gap, which is told
            if not self._is_whole(chain, link):
                chain.has_moved = True
            if window is not None and (
                window.chain is not chain or link["seq"] - window.after > WINDOW_MOVEMENTS
            ):
                yield window
                window = None
            if window is None:
                window = _Window(chain, chain.seq, chain.head, chain.kept_head)
            window.links.append(link)
            chain.seq, chain.head, chain.kept_head = link["seq"], link["head"], link["kept_head"]
        if window is not None:
            yield window

    def _is_whole(self, chain: _Chain, link: Record) -> bool:
        """Whether the link follows the one before, and is the service's."""
        span = f"{chain.seq + 1} to {link['seq']}"
        data = hashing.link(
            link["position"], link["seq"], link["head"], link["kept_head"], link["marks"]
        )
        if self._keys.is_sealed(data, link["seal"]) is False:
            detail = f"its chain over the movements {span} was not written by this service"
            self._tell(chain.account, _K.CHAIN_REWRITTEN, link["seq"], detail)
            return True
        if len(link["marks"]) != 2 * MARK_BYTES * (link["seq"] - chain.seq):
            detail = f"its chain lacks a part, or has one too many, at the movements {span}"
            self._tell(chain.account, _K.CHAIN_REWRITTEN, link["seq"], detail)
            return False
        return True

    async def _compare(self, windows: Sequence[_Window]) -> None:
        for number, database in enumerate(self._buckets.all):
            inside = [
                window
                for window in windows
                if bucket_of(window.chain.account["account_id"]) == number
                and not window.chain.has_moved
            ]
            if inside:
                await self._compare_in(database, inside)

    async def _compare_in(self, database: Database, windows: Sequence[_Window]) -> None:
        rows = await read(
            database,
            LEAVES,
            [window.chain.account["account_id"] for window in windows],
            [window.after for window in windows],
            [window.until for window in windows],
        )
        leaves = {(row["account_id"], row["after"]): row for row in rows}
        for window in windows:
            row = leaves[window.chain.account["account_id"], window.after]
            if not window.chain.has_moved:
                self._look_at(window, row["seqs"] or (), row["told"] or b"", row["kept"] or b"")

    def _look_at(self, window: _Window, seqs: Sequence[int], told: bytes, kept: bytes) -> None:
        wrong = _broken(window, seqs, told, kept)
        if wrong is None:
            return
        chained = b"".join(link["marks"] for link in window.links)
        any_named: Named | None = None
        for any_named in named(window.after, chained, seqs, told, kept):
            self._tell(window.chain.account, any_named.kind, any_named.seq, any_named.detail)
        if any_named is None:
            detail = f"its chain is not that of the movements up to {wrong}, which look as chained"
            self._tell(window.chain.account, _K.CHAIN_REWRITTEN, wrong, detail)
        elif any_named.is_last:
            window.chain.has_moved = True

    def _tell(
        self, account: Record | None, kind: DiscrepancyKind, seq: int | None, detail: str
    ) -> None:
        owner = (account["owner_kind"], account["owner_id"]) if account else None
        if len(self.found) < self._most:
            self.found.append(at_owner(kind, owner, seq, detail))


def at_owner(
    kind: DiscrepancyKind, owner: tuple[str, UUID] | None, seq: int | None, detail: str
) -> Discrepancy:
    """A discrepancy at an owner, whose kind and id these are, or (None) at none."""
    ids = {} if owner is None else dict([owner])
    return Discrepancy(kind, ids.get("store"), ids.get("user"), seq, None, None, detail)


def _broken(window: _Window, seqs: Sequence[int], told: bytes, kept: bytes) -> int | None:
    """The seq of the first link that is not that of the movements; None: all are."""
    is_whole = list(seqs) == list(range(window.after + 1, window.until + 1))
    after, head, kept_head = window.after, window.head, window.kept_head
    for link in window.links:
        start = (after - window.after) * HASH_BYTES
        end = (link["seq"] - window.after) * HASH_BYTES
        if not is_whole or (
            extended(head, told[start:end]),
            extended(kept_head, kept[start:end]),
        ) != (link["head"], link["kept_head"]):
            return int(link["seq"])
        after, head, kept_head = link["seq"], link["head"], link["kept_head"]
    return None
