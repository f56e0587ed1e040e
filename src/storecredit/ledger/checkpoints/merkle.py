"""Merkle trees as Certificate Transparency has them, and the proofs that they give.

RFC 6962, 2.1 (again in RFC 9162, 2.1): a leaf is hashed behind a byte 0 and an inner node behind a
byte 1, so that neither passes for the other, and the left half is the largest full tree that leaves
something to its right. So a tree that grows keeps its full halves, and whole chunks of 2^n leaves
are nodes of it: `root` of their roots is the root of the tree.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

EMPTY: Final = sha256(b"").digest()
"""The root of a tree without leaves."""
_BYTES: Final = len(EMPTY)


def leaf(data: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash over two halves."""
    return sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The root of the tree that has these hashes of leaves, or roots of equal full trees."""
    if not hashes:
        return EMPTY
    level = list(hashes)
    # What has no sibling yet goes up as it is: it meets the same one as by halving.
    while len(level) > 1:
        above = [node(level[place], level[place + 1]) for place in range(0, len(level) - 1, 2)]
        level = above + level[len(above) * 2 :]
    return level[0]


def path(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """What leads from one of them to the root: the siblings, from the bottom up."""
    found, level = [], list(hashes)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            found.append(level[sibling])
        above = [node(level[place], level[place + 1]) for place in range(0, len(level) - 1, 2)]
        level = above + level[len(above) * 2 :]
        index //= 2
    return found


def consistency(earlier: int, hashes: Sequence[bytes]) -> list[bytes]:
    """What shows that the tree of the first `earlier` of them became the tree of all of them.

    RFC 6962, 2.1.2. Nothing needs to be shown of an empty tree, or of the same one.
    """
    if earlier in {0, len(hashes)}:
        return []
    return _subproof(earlier, hashes, is_known=True)


def _subproof(earlier: int, hashes: Sequence[bytes], *, is_known: bool) -> list[bytes]:
    if earlier == len(hashes):
        return [] if is_known else [root(hashes)]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    if earlier <= half:
        return [
            *_subproof(earlier, hashes[:half], is_known=is_known),
            root(hashes[half:]),
        ]
    return [
        *_subproof(earlier - half, hashes[half:], is_known=False),
        root(hashes[:half]),
    ]


class GrowingTree:
    """A tree whose leaves come one after the other, and whose root is asked for in between."""

    def __init__(self) -> None:
        self._full: list[tuple[int, bytes]] = []

    def add(self, leaf_hash: bytes) -> None:
        """One leaf more."""
        size, hash_ = 1, leaf_hash
        while self._full and self._full[-1][0] == size:
            _, left = self._full.pop()
            size, hash_ = 2 * size, node(left, hash_)
        self._full.append((size, hash_))

    @property
    def root(self) -> bytes:
        """Of all leaves so far."""
        if not self._full:
            return EMPTY
        hash_ = self._full[-1][1]
        for _, left in reversed(self._full[:-1]):
            hash_ = node(left, hash_)
        return hash_


class ChangingTree:
    """A tree whose leaves change, and become more, and of which only what changed is hashed.

    It keeps all nodes: 64 bytes for each leaf.
    """

    def __init__(self) -> None:
        self._levels = [bytearray()]

    def __len__(self) -> int:
        return len(self._levels[0]) // _BYTES

    def change(self, leaves: Mapping[int, bytes]) -> None:
        """Have these leaves at these places; those beyond the last one follow it without gaps."""
        places = sorted(leaves)
        for place in places:
            _put(self._levels[0], place, leaves[place])
        height = 0
        while len(self._levels[height]) > _BYTES:
            below = self._levels[height]
            height += 1
            if len(self._levels) == height:
                self._levels.append(bytearray())
            places = sorted({place // 2 for place in places})
            for place in places:
                _put(self._levels[height], place, _above(below, place))

    @property
    def root(self) -> bytes:
        """Of all leaves as they are."""
        return bytes(self._levels[-1]) or EMPTY

    def level(self, size: int) -> bytes:
        """The roots over so many leaves each, one behind the other; `size` is a power of two."""
        return bytes(self._levels[min(size.bit_length() - 1, len(self._levels) - 1)])


def _above(below: bytearray, place: int) -> bytes:
    start = 2 * place * _BYTES
    left, right = below[start : start + _BYTES], below[start + _BYTES : start + 2 * _BYTES]
    # What has no sibling yet goes up as it is.
    return node(bytes(left), bytes(right)) if right else bytes(left)


def _put(level: bytearray, place: int, hash_: bytes) -> None:
    level[place * _BYTES : (place + 1) * _BYTES] = hash_
