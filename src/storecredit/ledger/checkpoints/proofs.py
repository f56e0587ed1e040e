"""What shows to somebody outside that a ledger is what was signed, and a checkpoint one of ours.

An owner's proof leads from where its chain stands to a signed root. A log's leads from an earlier
checkpoint to a later one: that the earlier is in the log which the later one signs, and that what
came before it is what it says. Neither says anything of movements that are not chained yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from storecredit.data_files.checkpoint_keys import CheckpointKeys
from storecredit.ledger.checkpoints import checkpoint as kept
from storecredit.ledger.checkpoints import leaves, merkle
from storecredit.ledger.checkpoints.checkpoint import Checkpoint, NotAsSigned
from storecredit.ledger.checkpoints.leaves import Standing
from storecredit.postgres.buckets import Buckets


@dataclass(frozen=True, slots=True)
class OwnerProof:
    """Where an owner's chains stood, and what leads from there to the checkpoint's root."""

    checkpoint: Checkpoint
    standing: Standing
    path: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class LogProof:
    """What leads from an earlier checkpoint to the log that a later one signs.

    `path`: the earlier one is in that log. `consistency`: so is all that the earlier one's log has.
    """

    earlier: Checkpoint
    path: Sequence[bytes]
    consistency: Sequence[bytes]


class Proofs:
    """Proofs of the checkpoints that the database has. All raise DatabaseUnavailable."""

    def __init__(self, buckets: Buckets) -> None:
        self._home = buckets.home

    async def newest(self) -> Checkpoint | None:
        """The newest checkpoint; None: there is none yet."""
        return await kept.newest(self._home)

    async def one(self, number: int) -> Checkpoint | None:
        """The checkpoint of this number; None: there is none."""
        return await kept.one(self._home, number)

    async def page(self, *, limit: int, before: int | None = None) -> list[Checkpoint]:
        """So many of them, the newest first, from before a number."""
        return await kept.page(self._home, limit=limit, before=before)

    async def of_account(self, account_id: int, checkpoint: Checkpoint) -> OwnerProof | None:
        """Where an account stood then; None: nothing of it was chained yet.

        Raises NotAsSigned if what is there is not what the checkpoint was signed of.
        """
        found = await leaves.of_accounts(self._home, checkpoint.number, [account_id])
        if not found or found[0].position >= checkpoint.owners:
            return None
        chunk, index = divmod(found[0].position, leaves.CHUNK)
        first, end = chunk * leaves.CHUNK, (chunk + 1) * leaves.CHUNK
        among = await leaves.in_range(
            self._home, checkpoint.number, first, min(end, checkpoint.owners)
        )
        hashes = [each.leaf for each in among]
        chunks = await leaves.chunks_of(self._home, checkpoint)
        if merkle.root(hashes) != chunks[chunk]:
            raise NotAsSigned(
                f"Chains are not what checkpoint {checkpoint.number} was signed of: "
                "`storecredit verify` names them."
            )
        path = [*merkle.path(index, hashes), *merkle.path(chunk, chunks)]
        return OwnerProof(checkpoint, found[0], path)

    async def of_log(self, earlier: Checkpoint, later: Checkpoint) -> LogProof:
        """What leads from one checkpoint to a later one."""
        hashes = await kept.log_before(self._home, later.number)
        place = earlier.number - 1
        return LogProof(earlier, merkle.path(place, hashes), merkle.consistency(place, hashes))


async def compared(buckets: Buckets, keys: CheckpointKeys, held: Checkpoint) -> str | None:
    """What is wrong with a checkpoint that somebody held outside, or with the database by it.

    A sentence; None: the database has it as it was signed. Raises DatabaseUnavailable.
    """
    number = held.number
    is_signed = keys.is_signed(held.key_id, held.signature, held.body)
    if is_signed is None:
        return f"It names the key {held.key_id.hex()}, which is not known here."
    if not is_signed:
        return "It is not what was signed: its signature is of something else."
    newest = await kept.newest(buckets.home)
    if newest is not None and newest.ledger != held.ledger:
        return f"It is of another ledger, {held.ledger}; this one is {newest.ledger}."
    if newest is None or newest.number < number:
        there = f"its newest is {newest.number}" if newest else "it has none"
        return (
            f"The database does not have checkpoint {number} of {held.made_at:%Y-%m-%d %H:%M:%S} "
            f"UTC ({there}): it was restored to an earlier moment, or somebody removed what came "
            "after."
        )
    known = await kept.one(buckets.home, number)
    if known is None:
        return f"The database does not have checkpoint {number}, though it has later ones."
    if known.hash != held.hash:
        return (
            f"The database has another checkpoint {number}, of "
            f"{known.made_at:%Y-%m-%d %H:%M:%S} UTC: it was restored to an earlier moment and went "
            "on from there, or its history was written anew."
        )
    return None
