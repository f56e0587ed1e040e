"""Proves the ledger to be what was chained and signed: a part of what `verify` does.

Three things are looked at. The checkpoints: each signed by a key that is known here, each naming
the one before, and none missing that was signed here. Their trees: each is over where the chains
stood. The chains: recomputed from the ledger. What is added while it looks, is older than nothing
that it has seen, so no snapshot of all of it is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from storecredit.data_files.checkpoint_keys import (
    CheckpointKeys,
    KeyFileDamaged,
    NewestSigned,
    newest_signed,
)
from storecredit.ledger.checkpoints import leaves, merkle
from storecredit.ledger.checkpoints.chain_proof import ChainProof, at_owner
from storecredit.ledger.checkpoints.checkpoint import (
    COLUMNS,
    FIRST,
    Checkpoint,
    NotAsSigned,
    from_row,
    missing,
)
from storecredit.ledger.checkpoints.past_trees import PastTrees
from storecredit.ledger.discrepancies import Discrepancy, DiscrepancyKind
from storecredit.postgres.buckets import Buckets, bucket_of
from storecredit.settings import Settings

CHECKPOINTS_MAX: Final = 1_000
"""That one statement reads."""
NAMED_MAX: Final = 20
"""Owners that are named one by one where a part of a tree differs."""
_K: Final = DiscrepancyKind


@dataclass(frozen=True, slots=True)
class Tampering:
    """What was found, of how many checkpoints, and how many signatures of these were looked at."""

    found: tuple[Discrepancy, ...]
    checkpoints: int
    signatures: int


NOTHING_LOOKED_AT: Final = Tampering((), 0, 0)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A ledger's chains, and what is known outside the database of what was signed.

    That is the public keys, without which no signature is looked at, and the newest checkpoint
    that was signed here.
    """

    buckets: Buckets
    keys: CheckpointKeys
    newest_signed: NewestSigned | None = None
    damage: str = ""
    """What is wrong with the files that say so, in a sentence."""

    @classmethod
    def known(cls, buckets: Buckets, settings: Settings) -> Self:
        """With what is known here."""
        try:
            keys = CheckpointKeys.known(settings)
            return cls(buckets, keys, newest_signed(settings.data_dir))
        except (KeyFileDamaged, OSError) as error:
            return cls(buckets, CheckpointKeys(), damage=str(error))

    async def find(self, most: int) -> Tampering:
        """Up to `most` of what is not what was chained and signed. Raises DatabaseUnavailable."""
        log = _Log(self)
        await log.look()
        if self.damage:
            detail = f"it is not known here what was signed: {self.damage}"
            log.found.append(at_owner(_K.CHECKPOINT_MISSING, None, None, detail))
        chains = ChainProof(self.buckets, self.keys, most)
        await chains.look()
        of_trees = [] if log.newest is None else await _of_trees(self.buckets, log.newest)
        found = [*log.found, *chains.found, *of_trees][:most]
        return Tampering(tuple(found), log.checkpoints, log.signatures)


class _Log:
    """One look at all checkpoints, the oldest first."""

    def __init__(self, evidence: Evidence) -> None:
        self._home = evidence.buckets.home
        self._keys = evidence.keys
        self._noted = evidence.newest_signed
        self.checkpoints = 0
        self.signatures = 0
        self._tree = merkle.GrowingTree()
        self.found: list[Discrepancy] = []
        self.newest: Checkpoint | None = None

    async def look(self) -> None:
        while True:
            rows = await self._home.fetch(
                f"SELECT {COLUMNS} FROM checkpoints WHERE number > $1 ORDER BY number LIMIT $2",  # noqa: S608 - constants
                self.newest.number if self.newest else 0,
                CHECKPOINTS_MAX,
            )
            if not rows:
                break
            for row in rows:
                self._look_at(from_row(row))
        noted = self._noted
        if noted is not None and (self.newest is None or self.newest.number < noted.number):
            self._tell(_K.CHECKPOINT_MISSING, missing(noted.number, self.newest))

    def _look_at(self, checkpoint: Checkpoint) -> None:
        number, noted = checkpoint.number, self._noted
        before = self.newest
        expected = 1 if before is None else before.number + 1
        if number != expected:
            absent = f"checkpoint {expected}" + (f" to {number - 1}" * (number - 1 > expected))
            self._tell(_K.CHECKPOINT_MISSING, f"{absent} is not there")
        elif (checkpoint.previous, checkpoint.log_root) != (
            FIRST if before is None else before.hash,
            self._tree.root,
        ):
            self._forged(number, "it does not follow from those before it")
        self._signature(checkpoint)
        if noted is not None and noted.number == number and noted.hash != checkpoint.hash:
            self._forged(number, "it is not the one that was signed here")
        if before is not None and before.ledger != checkpoint.ledger:
            self._forged(number, "it is of another ledger")
        self._tree.add(checkpoint.hash)
        self.checkpoints += 1
        self.newest = checkpoint

    def _signature(self, checkpoint: Checkpoint) -> None:
        keys = self._keys
        if not keys.public_keys:
            return
        self.signatures += 1
        is_signed = keys.is_signed(checkpoint.key_id, checkpoint.signature, checkpoint.body)
        if is_signed is None:
            key = checkpoint.key_id.hex()
            self._forged(checkpoint.number, f"it names the key {key}, which is not known here")
        elif not is_signed:
            self._forged(checkpoint.number, "it is not what was signed")

    def _forged(self, number: int, why: str) -> None:
        self._tell(_K.CHECKPOINT_FORGED, f"checkpoint {number}: {why}")

    def _tell(self, kind: DiscrepancyKind, detail: str) -> None:
        self.found.append(at_owner(kind, None, None, detail))


async def _of_trees(buckets: Buckets, newest: Checkpoint) -> list[Discrepancy]:
    """Whether the chains stand, and stood, where the checkpoints say; else where they do not."""
    past = PastTrees()
    await past.look(buckets.home, newest.number - 1)
    found = []
    if past.differing:
        first, why = next(iter(past.differing.items()))
        detail = f"checkpoint {first} was signed of other chains than there are: {why}"
        if len(past.differing) > 1:
            detail += f"; so were {len(past.differing) - 1} after it and before the newest"
        found.append(at_owner(_K.CHECKPOINT_MISMATCH, None, None, detail))
    return found + await _of_the_tree(buckets, newest)


async def _of_the_tree(buckets: Buckets, newest: Checkpoint) -> list[Discrepancy]:
    """Whether the chains stand where the newest checkpoint says; else where they do not."""
    home, owners = buckets.home, newest.owners
    count = -(-owners // leaves.CHUNK)
    roots = [await leaves.chunk_root(home, newest.number, n, owners) for n in range(count)]
    if merkle.root(roots) == newest.root:
        return []
    try:
        signed: Sequence[bytes] = await leaves.chunks_of(home, newest)
    except NotAsSigned:
        signed = [b""] * count
    wrong = [n for n, (a, b) in enumerate(zip(roots, signed, strict=False)) if a != b]
    return [found for n in wrong for found in await _of_the_chunk(buckets, newest, n)]


async def _of_the_chunk(buckets: Buckets, newest: Checkpoint, chunk: int) -> list[Discrepancy]:
    first, end = chunk * leaves.CHUNK, min((chunk + 1) * leaves.CHUNK, newest.owners)
    among = await leaves.in_range(buckets.home, newest.number, first, end)
    detail = f"checkpoint {newest.number} was signed of other chains than there are"
    if len(among) < end - first:
        detail += f": {end - first - len(among)} accounts are missing"
        return [at_owner(_K.CHECKPOINT_MISMATCH, None, None, detail)]
    short = [each for each in among if await _is_short(buckets, newest, each)][:NAMED_MAX]
    if short:
        detail += ", and movements from long before it are in no chain of this owner"
        return [
            at_owner(_K.CHECKPOINT_MISMATCH, (each.owner_kind, each.owner_id), each.seq, detail)
            for each in short
        ]
    if len(among) == 1:
        owner = (among[0].owner_kind, among[0].owner_id)
        return [at_owner(_K.CHECKPOINT_MISMATCH, owner, among[0].seq, detail)]
    detail += f", among the {len(among)} owners from {among[0].owner_kind} {among[0].owner_id} on"
    return [at_owner(_K.CHECKPOINT_MISMATCH, None, None, detail)]


async def _is_short(buckets: Buckets, newest: Checkpoint, standing: leaves.Standing) -> bool:
    """Whether something of the account is not chained that had been long before the checkpoint."""
    if bucket_of(standing.account_id) >= len(buckets.all):
        return False
    database = buckets.of_account(standing.account_id)
    return bool(
        await database.fetchval(
            """SELECT m.created_at < $3::timestamptz - interval '1 hour' FROM movements m
               WHERE m.account_id = $1 AND m.seq = $2::bigint + 1""",
            standing.account_id,
            standing.seq,
            newest.made_at,
        )
    )
