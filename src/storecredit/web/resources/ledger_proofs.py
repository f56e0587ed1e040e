"""A ledger's proof: where its chain stood in a signed checkpoint, and what leads there."""

import asyncio
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from litestar.params import QueryParameter

from storecredit.data_files.checkpoint_keys import CheckpointKeys, KeyFileDamaged
from storecredit.ledger.checkpoints import exported
from storecredit.ledger.checkpoints.checkpoint import Checkpoint, NotAsSigned
from storecredit.ledger.checkpoints.proofs import LogProof, Proofs
from storecredit.web.http.envelope import Envelope, invalid, not_found, unavailable
from storecredit.web.http.openapi import said
from storecredit.web.parts import Parts

NUMBER_MAX: Final = 2**63 - 1

Number = Annotated[
    int | None,
    QueryParameter(
        ge=1, le=NUMBER_MAX, description="The number of the checkpoint; the newest, unless given."
    ),
]
Since = Annotated[
    int | None,
    QueryParameter(
        ge=1,
        le=NUMBER_MAX,
        description="The number of an earlier one: with the proof that this one continues it.",
    ),
]
Hash = Annotated[str, said("A SHA-256, in hexadecimal digits.")]


class CheckpointView(msgspec.Struct, frozen=True):
    """What was signed of all ledgers."""

    number: int
    made_at: datetime
    owners: Annotated[int, said("How many ledgers are in it.")]
    movements: Annotated[int, said("How many movements they have.")]
    ledger: Annotated[UUID, said("Which installation's it is: the same in all of them.")]
    root: Annotated[str, said("The root of the tree over all ledgers.")]
    log_root: Annotated[str, said("The root of the tree over all checkpoints before.")]
    previous: Annotated[str, said("The hash of the checkpoint before.")]
    key_id: Annotated[str, said("Which key signed it.")]
    body: Annotated[str, said("What was signed: the same, as text.")]
    signature: Annotated[str, said("Of the body (Ed25519), in hexadecimal digits.")]


class SignedCheckpoint(CheckpointView, frozen=True):
    """A checkpoint, and the public key that signed it."""

    public_key: Annotated[
        str | None, said("In hexadecimal digits; believe it only from elsewhere, too.")
    ]


class EarlierCheckpoint(msgspec.Struct, frozen=True):
    """An earlier checkpoint, and what leads from it to the log that the later one signs."""

    checkpoint: CheckpointView
    path: Annotated[list[Hash], said("That it is in that log: RFC 6962, 2.1.1.")]
    consistency: Annotated[list[Hash], said("And all that came before it: RFC 6962, 2.1.2.")]


class LedgerStanding(msgspec.Struct, frozen=True):
    """Where a ledger's chain stood, and what leads from there to the root."""

    owner_kind: Literal["store", "user"]
    owner_id: UUID
    seq: Annotated[int, said("The last movement that is proven.")]
    head: Annotated[str, said("The hash of it and all before it, as they are exported.")]
    kept_head: Annotated[str, said("Likewise of what is not exported.")]
    position: Annotated[int, said("Its place among the leaves.")]
    path: Annotated[list[Hash], said("The siblings up to the root: RFC 6962, 2.1.1.")]


class LedgerProof(msgspec.Struct, frozen=True):
    """What shows that an exported ledger is what was signed."""

    checkpoint: SignedCheckpoint
    since: EarlierCheckpoint | None
    ledger_proof: LedgerStanding


class CheckpointPage(msgspec.Struct, frozen=True):
    """Checkpoints, newest first."""

    items: list[SignedCheckpoint]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


async def proven(
    parts: Parts, account_id: int, number: int | None, since: int | None
) -> Envelope[LedgerProof]:
    """The proof of an account's ledger. Raises Failure where there is none."""
    checkpoint = await _one(parts.proofs, number)
    log = None if since is None else await _log(parts.proofs, since, checkpoint)
    try:
        proof = await parts.proofs.of_account(account_id, checkpoint)
    except NotAsSigned as error:
        raise unavailable(str(error)) from None
    if proof is None:
        raise not_found("ledger in this checkpoint: nothing of it was chained by then")
    fields = exported.of_owner(proof, await public_keys(parts), log)
    return Envelope(msgspec.convert(fields, LedgerProof))


async def checkpoint_page(parts: Parts, limit: int, before: int | None) -> Envelope[CheckpointPage]:
    """Some checkpoints, from before a number."""
    found = await parts.proofs.page(limit=limit + 1, before=before)
    keys = await public_keys(parts)
    items = [
        msgspec.convert(exported.of_checkpoint(each, keys, None)["checkpoint"], SignedCheckpoint)
        for each in found[:limit]
    ]
    return Envelope(CheckpointPage(items, str(items[-1].number) if len(found) > limit else None))


async def public_keys(parts: Parts) -> dict[bytes, bytes]:
    """Those that are known here, by their ids; where they cannot be read, none is shown."""
    try:
        return dict((await asyncio.to_thread(CheckpointKeys.known, parts.settings)).public_keys)
    except (KeyFileDamaged, OSError):
        return {}


async def _one(proofs: Proofs, number: int | None) -> Checkpoint:
    found = await (proofs.newest() if number is None else proofs.one(number))
    if found is None:
        raise not_found("checkpoint")
    return found


async def _log(proofs: Proofs, since: int, later: Checkpoint) -> LogProof:
    if since >= later.number:
        message = f"It names a checkpoint that is earlier than {later.number}."
        raise invalid(message, [{"key": "since", "source": "query", "message": message}])
    return await proofs.of_log(await _one(proofs, since), later)
