"""The bytes that are hashed of movements and of chains. docs/proof.md tells them to outsiders.

Of each movement there are two hashes: over what its owner is told (`TOLD`: what an exported ledger
has) and over all else (`KEPT`: totals, grants, and who of the operators made it, which no owner
learns). Each is chained by itself, and where both chains stand is one leaf of a checkpoint's tree.
So an owner recomputes its own from its export. What is kept begins with a random salt, or whoever
knows all but a name could try names.

A movement's `seq` is its place in the chain, and its owner what the chain begins with: neither is
hashed with it, so that movements that changed places are known again.
"""

from hashlib import sha256
from typing import Final
from uuid import UUID

HASH_BYTES: Final = 32
MARK_BYTES: Final = 4
"""What is kept of each hash, to name the movement that was changed; a chain proves by all of it."""

_TEXT: Final = "int4send(octet_length(convert_to({0}, 'UTF8'))) || convert_to({0}, 'UTF8')"


def _perhaps(column: str, sent: str) -> str:
    """A byte 0 for null; else a byte 1 and the value."""
    return rf"coalesce('\x01'::bytea || {sent.format(column)}, '\x00'::bytea)"


# Functions of PostgreSQL's own, and no view or function of ours in between: what the server reads
# from the table is hashed. They write numbers with the highest byte first, a moment as microseconds
# since 2000-01-01 00:00 UTC, and a uuid as its 16 bytes.
TOLD: Final = " || ".join(
    (
        "timestamptz_send(m.created_at)",
        "int8send(m.amount)",
        "int8send(m.balance_after)",
        _TEXT.format("m.type"),
        _TEXT.format("m.request_id"),
        _TEXT.format("m.description"),
        _perhaps("m.session_id", "uuid_send({0})"),
    )
)
KEPT: Final = " || ".join(
    (
        "int8send(m.spent_after)",
        *(
            _perhaps(f"m.{column}", "int8send({0})")
            for column in (
                "clawed_back_after",
                "overage_used_after",
                "held_after",
                "expired_after",
                "removed_after",
                "origin_seq",
            )
        ),
        _perhaps("m.grants_after", "array_send({0})"),
        _perhaps("m.actor", _TEXT),
    )
)
LEAVES: Final = f"""
    SELECT p.account_id, p.after, t.seqs, t.told, t.kept
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) p (account_id, after, until)
    CROSS JOIN LATERAL (
        SELECT array_agg(x.seq ORDER BY x.seq) AS seqs,
            string_agg(x.told, '' ORDER BY x.seq) AS told,
            string_agg(x.kept, '' ORDER BY x.seq) AS kept
        FROM (SELECT m.seq, sha256('\\x02'::bytea || {TOLD}) AS told,
                  sha256('\\x02'::bytea || {KEPT}) AS kept
              FROM movements m
              WHERE m.account_id = p.account_id AND m.seq > p.after AND m.seq <= p.until
              ORDER BY m.account_id, m.seq OFFSET 0) x
        ) t
"""  # noqa: S608 - constants
"""The hashes of accounts' movements after a seq and up to one: of each account the seqs that there
are, and both hashes of each, one behind the other; null where there is none."""


def told_beginning(owner_kind: str, owner_id: UUID) -> bytes:
    """What the chain of what an owner is told begins with."""
    return sha256(f"storecredit ledger v1\n{owner_kind}\n{owner_id}\n".encode()).digest()


def kept_beginning(salt: bytes) -> bytes:
    """What the chain of all else begins with."""
    return sha256(b"storecredit kept v1\n" + salt).digest()


def extended(head: bytes, leaves: bytes) -> bytes:
    """The head of a chain after further movements, whose hashes stand one behind the other."""
    for start in range(0, len(leaves), HASH_BYTES):
        head = sha256(b"\x03" + head + leaves[start : start + HASH_BYTES]).digest()
    return head


def marks(told: bytes, kept: bytes) -> bytes:
    """What names each of these movements again: four bytes of either hash."""
    return b"".join(
        told[start : start + MARK_BYTES] + kept[start : start + MARK_BYTES]
        for start in range(0, len(told), HASH_BYTES)
    )


def standing(owner_kind: str, owner_id: UUID, seq: int, head: bytes, kept_head: bytes) -> bytes:
    """A leaf of a checkpoint's tree, before it is hashed: where an owner's chains stand."""
    return f"{owner_kind} {owner_id} {seq} {head.hex()} {kept_head.hex()}\n".encode()


def link(position: int, seq: int, head: bytes, kept_head: bytes, marks_: bytes) -> bytes:
    """What of a link is sealed."""
    return f"{position} {seq} {head.hex()} {kept_head.hex()} {marks_.hex()}\n".encode()
