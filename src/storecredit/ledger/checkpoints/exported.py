"""Checkpoints and proofs as they leave the service: JSON, with hashes as hexadecimal digits.

What is signed is the text `body` of a checkpoint; its other fields say the same, for people.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from storecredit.ledger.checkpoints.checkpoint import Checkpoint
from storecredit.ledger.checkpoints.proofs import LogProof, OwnerProof


class _Held(msgspec.Struct):
    body: str
    signature: str


class _File(msgspec.Struct):
    checkpoint: _Held


def fields_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint, all but what is only for programs."""
    return {
        "number": checkpoint.number,
        "made_at": checkpoint.made_at,
        "owners": checkpoint.owners,
        "movements": checkpoint.movements,
        "ledger": checkpoint.ledger,
        "root": checkpoint.root.hex(),
        "log_root": checkpoint.log_root.hex(),
        "previous": checkpoint.previous.hex(),
        "key_id": checkpoint.key_id.hex(),
        "body": checkpoint.body.decode(),
        "signature": checkpoint.signature.hex(),
    }


def of_checkpoint(
    checkpoint: Checkpoint,
    public_keys: Mapping[bytes, bytes],
    log: LogProof | None,
) -> dict[str, Any]:
    """A checkpoint to give away, and what leads to it from an earlier one."""
    public = public_keys.get(checkpoint.key_id)
    return {
        "checkpoint": {
            **fields_of(checkpoint),
            "public_key": None if public is None else public.hex(),
        },
        "since": None if log is None else _log(log),
    }


def of_owner(
    proof: OwnerProof, public_keys: Mapping[bytes, bytes], log: LogProof | None
) -> dict[str, Any]:
    """What shows an owner that its ledger is what was signed."""
    standing = proof.standing
    return {
        **of_checkpoint(proof.checkpoint, public_keys, log),
        "ledger_proof": {
            "owner_kind": standing.owner_kind,
            "owner_id": standing.owner_id,
            "seq": standing.seq,
            "head": standing.head.hex(),
            "kept_head": standing.kept_head.hex(),
            "position": standing.position,
            "path": _hexadecimal(proof.path),
        },
    }


def read(file: bytes) -> Checkpoint:
    """The checkpoint of an exported file. Raises ValueError for what is none."""
    held = msgspec.json.decode(file, type=_File).checkpoint
    return Checkpoint.read(held.body.encode(), bytes.fromhex(held.signature))


def _log(log: LogProof) -> dict[str, Any]:
    return {
        "checkpoint": fields_of(log.earlier),
        "path": _hexadecimal(log.path),
        "consistency": _hexadecimal(log.consistency),
    }


def _hexadecimal(hashes: Sequence[bytes]) -> list[str]:
    return [each.hex() for each in hashes]
