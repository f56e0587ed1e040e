"""Where a list of audit entries goes on: in each bucket before one of its entries.

Within a bucket entries are in the order of their ids. Of several buckets the newest of those that
come next is taken first, which depends on nothing but where each of them stands: so that is what a
cursor says, and no entry is shown twice or left out, however alike their times are.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Final

from storecredit.postgres.servers import ACCOUNT_BITS, Record

CURSOR_MAX: Final = 2000
"""Characters of one."""
NEWEST: Final = 2**63 - 1
_DIGITS_MAX: Final = 18


def befores(cursor: str | None, buckets: int) -> list[int]:
    """The entry before which each of so many buckets goes on, by its id.

    Raises ValueError for a cursor that was not given out.
    """
    if cursor is None:
        return [NEWEST] * buckets
    places = cursor.split(".")
    if len(places) > buckets or not all(map(_is_place, places)):
        raise ValueError("no cursor of this list")
    # What was opened since then has newer entries alone.
    places += ["0"] * (buckets - len(places))
    return [(number << ACCOUNT_BITS) + int(place) for number, place in enumerate(places)]


def check(cursor: str) -> None:
    """Raise ValueError for what is no cursor of any such list."""
    befores(cursor, CURSOR_MAX)


def newest_first(of_each: Sequence[Sequence[Record]], limit: int) -> list[Record]:
    """So many entries of all buckets, of which each has as many, in its order."""
    merged = merge(*of_each, key=lambda row: (row["acted_at"], row["entry_id"]), reverse=True)
    return list(islice(merged, limit))


def following(
    of_each: Sequence[Sequence[Record]], taken: Sequence[Record], befores: Sequence[int]
) -> str | None:
    """The cursor after those that were taken; None: there are no more."""
    if sum(map(len, of_each)) == len(taken):
        return None
    return ".".join(map(str, _places(of_each, taken, befores)))


def _places(
    of_each: Sequence[Sequence[Record]], taken: Sequence[Record], befores: Sequence[int]
) -> Iterator[int]:
    last = {row["entry_id"] >> ACCOUNT_BITS: row["entry_id"] for row in taken}
    for number, (rows, before) in enumerate(zip(of_each, befores, strict=True)):
        first = number << ACCOUNT_BITS
        if number in last:
            yield last[number] - first
        elif not rows:
            yield 0
        elif before == NEWEST:
            # Not what is written from now on.
            yield rows[0]["entry_id"] + 1 - first
        else:
            yield before - first


def _is_place(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
