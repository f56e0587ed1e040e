"""Transfers between buckets: each end is held against the other one, which no bucket's books see.

That each bucket's own books agree with the ends that are noted in it is what `verify` proves. Both
ends are written in one transaction, so that whoever sees one and looks for the other finds it.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from storecredit.ledger.discrepancies import Discrepancy, DiscrepancyKind
from storecredit.postgres.buckets import Buckets, bucket_of
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

AT_ONCE: Final = 1000
"""Ends that one statement looks for."""
_ENDS: Final = """
    SELECT e.*, a.owner_kind, a.owner_id
    FROM transfer_ends e LEFT JOIN accounts a ON a.account_id = e.account_id
    WHERE (e.account_id, e.seq) > ($1, $2) ORDER BY e.account_id, e.seq LIMIT $3
"""
# Those of the ends asked about, by their places, whose other end stands here.
_OTHERS: Final = """
    SELECT i.place
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[])
        WITH ORDINALITY i (account_id, other_account_id, request_id, amount, type, place)
    JOIN movements m ON m.account_id = i.other_account_id AND m.request_id = i.request_id
        AND m.type = CASE i.type WHEN 'transfer_out' THEN 'transfer_in' ELSE 'transfer_out' END
        AND m.amount = i.amount
    JOIN transfer_ends e ON e.account_id = m.account_id AND e.seq = m.seq
        AND e.other_account_id = i.account_id
"""


async def one_sided(buckets: Buckets, most: int) -> list[Discrepancy]:
    """The first `most` ends without their other one, of all buckets. Raises DatabaseUnavailable."""
    found: list[Discrepancy] = []
    if buckets.several:
        for bucket in buckets.all:
            async for ends in _ends(bucket):
                found += await _without_other(buckets, ends)
                if len(found) >= most:
                    return found[:most]
    return found


async def _ends(bucket: Database) -> AsyncIterator[list[Record]]:
    after = 0, 0
    while ends := await bucket.fetch(_ENDS, *after, AT_ONCE):
        yield ends
        after = ends[-1]["account_id"], ends[-1]["seq"]


async def _without_other(buckets: Buckets, ends: Sequence[Record]) -> list[Discrepancy]:
    elsewhere: dict[int, list[Record]] = {}
    for end in ends:
        elsewhere.setdefault(bucket_of(end["other_account_id"]), []).append(end)
    found: list[Discrepancy] = []
    for asked in elsewhere.values():
        there = buckets.of_account(asked[0]["other_account_id"])
        names = ("account_id", "other_account_id", "request_id", "amount", "type")
        rows = await there.fetch(_OTHERS, *([end[name] for end in asked] for name in names))
        whole = {row["place"] for row in rows}
        found += [_lacks(end) for place, end in enumerate(asked, 1) if place not in whole]
    return found


def _lacks(end: Record) -> Discrepancy:
    kind, owner_id = end["owner_kind"], end["owner_id"]
    return Discrepancy(
        kind=DiscrepancyKind.TRANSFER_MISMATCH,
        store_id=owner_id if kind == "store" else None,
        user_id=owner_id if kind == "user" else None,
        seq=end["seq"],
        request_id=end["request_id"],
        session_id=None,
        detail=f"a {end['type']} of {end['amount']}, without the other end that another bucket has",
    )
