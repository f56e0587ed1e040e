"""Proves the directory right: everybody and every key is in the bucket that it says, and no other.

Buckets are read before the directory is: who is placed there meanwhile was written down before.
Who was written down and never made is nobody, and no discrepancy.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from storecredit.ledger.discrepancies import Discrepancy, DiscrepancyKind
from storecredit.postgres.buckets import SeveralBuckets, bucket_of
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

ROWS_MAX: Final = 5_000
"""That are compared by one statement."""

_ACCOUNTS: Final = """
    SELECT account_id, owner_kind, owner_id FROM accounts
    WHERE account_id > $1 ORDER BY account_id LIMIT $2"""
_KEYS: Final = """
    SELECT store_id, key_id, key_hash FROM store_api_keys
    WHERE (store_id, key_id) > ($1, $2) ORDER BY store_id, key_id LIMIT $3"""
_OWNERS_ELSEWHERE: Final = """
    SELECT w.n, o.bucket FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS w (kind, id, n)
    LEFT JOIN LATERAL (SELECT x.bucket FROM owner_buckets x
        WHERE x.owner_id = w.id AND x.owner_kind = w.kind LIMIT 1) o ON true
    WHERE o.bucket IS DISTINCT FROM $3 ORDER BY w.n"""
_KEYS_ELSEWHERE: Final = """
    SELECT w.n, k.bucket FROM unnest($1::bytea[]) WITH ORDINALITY AS w (key_hash, n)
    LEFT JOIN LATERAL (SELECT x.bucket FROM key_buckets x
        WHERE x.key_hash = w.key_hash LIMIT 1) k ON true
    WHERE k.bucket IS DISTINCT FROM $2 ORDER BY w.n"""


async def misplaced(buckets: SeveralBuckets, most: int) -> list[Discrepancy]:
    """Whoever is not where the directory says, `most` at most. Raises DatabaseUnavailable."""
    found: list[Discrepancy] = []
    for number, database in enumerate(buckets.all):
        for look in (_owners, _keys):
            if len(found) < most:
                found += await look(buckets.home, database, number, most - len(found))
    return found


async def _owners(home: Database, database: Database, number: int, most: int) -> list[Discrepancy]:
    found: list[Discrepancy] = []
    after = -1
    while len(found) < most:
        rows = await database.fetch(_ACCOUNTS, after, ROWS_MAX)
        if not rows:
            break
        after = rows[-1]["account_id"]
        for row in rows:
            if bucket_of(row["account_id"]) != number:
                detail = (
                    f"account {row['account_id']} is in bucket {number}, "
                    f"and its number is one of bucket {bucket_of(row['account_id'])}"
                )
                found.append(_of_owner(row, detail))
        elsewhere = await home.fetch(
            _OWNERS_ELSEWHERE,
            [row["owner_kind"] for row in rows],
            [row["owner_id"] for row in rows],
            number,
        )
        found += [
            _of_owner(rows[each["n"] - 1], _detail("the owner", number, each["bucket"]))
            for each in elsewhere
        ]
    return found[:most]


async def _keys(home: Database, database: Database, number: int, most: int) -> list[Discrepancy]:
    found: list[Discrepancy] = []
    after: Sequence[UUID] = (UUID(int=0), UUID(int=0))
    while len(found) < most:
        rows = await database.fetch(_KEYS, *after, ROWS_MAX)
        if not rows:
            break
        after = (rows[-1]["store_id"], rows[-1]["key_id"])
        elsewhere = await home.fetch(_KEYS_ELSEWHERE, [row["key_hash"] for row in rows], number)
        for each in elsewhere:
            row = rows[each["n"] - 1]
            detail = _detail(f"API key {row['key_id']}", number, each["bucket"])
            found.append(_discrepancy(row["store_id"], None, detail))
    return found[:most]


def _detail(what: str, number: int, said: int | None) -> str:
    of_directory = "does not know of it" if said is None else f"says bucket {said}"
    return f"{what} is in bucket {number}, and the directory {of_directory}"


def _of_owner(row: Record, detail: str) -> Discrepancy:
    is_store = row["owner_kind"] == "store"
    owner_id = row["owner_id"]
    return _discrepancy(owner_id if is_store else None, None if is_store else owner_id, detail)


def _discrepancy(store_id: UUID | None, user_id: UUID | None, detail: str) -> Discrepancy:
    kind = DiscrepancyKind.WRONG_BUCKET
    return Discrepancy(kind, store_id, user_id, None, None, None, detail)
