"""Which movements of one link are not what was chained, and how: by the marks that it keeps.

A mark is four bytes of each hash. It proves nothing, which the chain does; it tells which movement.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from storecredit.ledger.checkpoints.chaining import following
from storecredit.ledger.checkpoints.hashing import MARK_BYTES, marks
from storecredit.ledger.discrepancies import DiscrepancyKind

K = DiscrepancyKind


@dataclass(frozen=True, slots=True)
class Named:
    """One thing that is wrong with a movement; `is_last`: all after it have moved, or are gone."""

    kind: DiscrepancyKind
    seq: int
    detail: str
    is_last: bool = False


def named(
    after: int, chained: bytes, seqs: Sequence[int], told: bytes, kept: bytes
) -> Iterator[Named]:
    """What differs of the movements after `after`, whose marks were `chained`.

    `seqs`, `told` and `kept`: what is there now, as `LEAVES` reads it. Nothing, if all marks agree.
    """
    old = _apart(chained)
    there = dict(zip(seqs, _apart(marks(told, kept)), strict=True))
    new = [there[seq] for seq in range(after + 1, after + len(old) + 1) if seq in there]
    same = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(new))
    first = after + same + 1
    # What followed it stands one place further up now, or further down.
    has_all = following(after, seqs) == len(new)
    if has_all and same + 1 < len(old) and new[same : len(old) - 1] == old[same + 1 :]:
        yield Named(K.MOVEMENT_REMOVED, first, _REMOVED, is_last=True)
    elif has_all and same + 1 < len(new) == len(old) and new[same + 1 :] == old[same:-1]:
        yield Named(K.MOVEMENT_ADDED, first, _ADDED, is_last=True)
    else:
        yield from _one_by_one(after, old, there)


_REMOVED = "this movement was removed, and those after it bear the seq of the one before each"
_ADDED = "this movement was put in after its place was chained, and those after it moved on by one"


def _one_by_one(after: int, old: Sequence[bytes], there: dict[int, bytes]) -> Iterator[Named]:
    was = dict(enumerate(old, after + 1))
    wrong = [seq for seq in was if seq in there and there[seq] != was[seq]]
    has_moved = sorted(was[seq] for seq in wrong) == sorted(there[seq] for seq in wrong)
    for seq, mark in was.items():
        if seq not in there:
            yield Named(K.MOVEMENT_REMOVED, seq, "this movement was chained, and is not there")
        elif seq in wrong and has_moved:
            before = next(each for each in wrong if was[each] == there[seq])
            detail = f"here stands what stood at seq {before} when it was chained"
            yield Named(K.MOVEMENTS_REORDERED, seq, detail)
        elif seq in wrong:
            yield Named(K.MOVEMENT_CHANGED, seq, _what_changed(mark, there[seq]))


def _what_changed(old: bytes, new: bytes) -> str:
    parts = [
        part
        for part, a, b in (
            ("what its owner is told of it", old[:MARK_BYTES], new[:MARK_BYTES]),
            ("totals, grants or who made it", old[MARK_BYTES:], new[MARK_BYTES:]),
        )
        if a != b
    ]
    return f"it was changed after it was chained: {', and '.join(parts)}"


def _apart(joined: bytes) -> list[bytes]:
    size = 2 * MARK_BYTES
    return [joined[start : start + size] for start in range(0, len(joined), size)]
