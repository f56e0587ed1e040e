#!/usr/bin/env python3
"""Checks an exported ledger against what storecredit's operator signed. One file, Python 3.11.

    verify_ledger.py --key HEX --proof PROOF [--earlier PROOF] LEDGER [LEDGER ...]
    verify_ledger.py --key HEX --proof CHECKPOINT

LEDGER: the store's ledger as it was exported: the CSV file of `GET /api/v1/credits/transactions`,
or all pages of its JSON, in any order. PROOF: the answer of `GET /api/v1/ledger/proof`. CHECKPOINT:
what `storecredit checkpoint export` prints. `--earlier`: a proof, or a checkpoint, that was kept
before: nothing that it covers may have been rewritten since. HEX: the operator's public key, from
anywhere but the proof itself; again for each key of before.

Exit status 0: all of it agrees. 1: something does not, which is told. 2: a file cannot be read.

It shares no code with the service. Facts: Ed25519 is RFC 8032, 5.1; the trees and their proofs are
RFC 6962, 2.1, and verified as RFC 9162, 2.1.3.2 and 2.1.4.2, has it. The bytes that are hashed are
told in docs/proof.md.
"""

import argparse
import csv
import io
import itertools
import json
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any
from uuid import UUID

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
READINGS_MAX = 1024
"""Ways to read a CSV file that are tried, where a `'` may be the ledger's or the file's."""


class Wrong(Exception):
    """Something that was shown does not hold; the message is a sentence for people."""


class Unreadable(Exception):
    """A file is not what it is to be."""


# Ed25519. A point is (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.

P = 2**255 - 19
KEY_BYTES, SIGNATURE_BYTES = 32, 64
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def _x_of(y: int, sign: int) -> int | None:
    """The x of a point by its y and its lowest bit (RFC 8032, 5.1.3); None: there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P != 0:
        x = x * SQRT_OF_MINUS_1 % P
    if (x * x - square) % P != 0 or (x == 0 and sign == 1):
        return None
    return x if x % 2 == sign else P - x


def _point(encoded: bytes) -> Point | None:
    number = int.from_bytes(encoded, "little")
    y, sign = number & (2**255 - 1), number >> 255
    x = _x_of(y, sign) if y < P else None
    return None if x is None else (x, y, 1, x * y % P)


def _sum(a: Point, b: Point) -> Point:
    """RFC 8032, 5.1.4."""
    e_, f_ = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f_ - e_, d - c, d + c, f_ + e_
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(number: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = _sum(result, point)
        point = _sum(point, point)
        number >>= 1
    return result


def _same(a: Point, b: Point) -> bool:
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def is_signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is the key's, of this message (RFC 8032, 5.1.7)."""
    if (len(public_key), len(signature)) != (KEY_BYTES, SIGNATURE_BYTES):
        return False
    key, r = _point(public_key), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= L:
        return False
    digest = sha512(signature[:32] + public_key + message).digest()
    base_y = 4 * pow(5, -1, P) % P
    base_x = _x_of(base_y, 0)
    assert base_x is not None, "the base is a point"
    base = (base_x, base_y, 1, base_x * base_y % P)
    hashed = int.from_bytes(digest, "little") % L
    return _same(_times(s, base), _sum(r, _times(hashed, key)))


# Merkle trees.


def leaf_of(data: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\x00" + data).digest()


def node_of(left: bytes, right: bytes) -> bytes:
    """The hash over two halves."""
    return sha256(b"\x01" + left + right).digest()


def root_by(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes | None:
    """The root to which a path leads (RFC 9162, 2.1.3.2); None: it leads nowhere."""
    if not 0 <= index < size:
        return None
    place, last, hash_ = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if place % 2 == 1 or place == last:
            hash_ = node_of(sibling, hash_)
            while place % 2 == 0 and place != 0:
                place, last = place // 2, last // 2
        else:
            hash_ = node_of(hash_, sibling)
        place, last = place // 2, last // 2
    return hash_ if last == 0 else None


def is_continued(sizes: tuple[int, int], roots: tuple[bytes, bytes], path: list[bytes]) -> bool:
    """Whether the first tree became the second (RFC 9162, 2.1.4.2)."""
    (first, second), (first_root, second_root) = sizes, roots
    if first == 0:
        return first_root == sha256(b"").digest() and not path
    if first == second:
        return first_root == second_root and not path
    if first > second or not path:
        return False
    hashes = [first_root, *path] if first & (first - 1) == 0 else path
    place, last = first - 1, second - 1
    while place % 2 == 1:
        place, last = place // 2, last // 2
    old = new = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            return False
        if place % 2 == 1 or place == last:
            old, new = node_of(each, old), node_of(each, new)
            while place % 2 == 0 and place != 0:
                place, last = place // 2, last // 2
        else:
            new = node_of(new, each)
        place, last = place // 2, last // 2
    return (old, new, last) == (first_root, second_root, 0)


# Checkpoints.


LINES = (
    *("ledger", "number", "made_at", "owners", "movements"),
    *("root", "log_root", "previous", "key"),
)


@dataclass(frozen=True)
class Checkpoint:
    """What was signed, its lines by their names, and the signature."""

    body: bytes
    lines: dict[str, str]
    signature: bytes

    @property
    def number(self) -> int:
        """Which one it is."""
        return int(self.lines["number"])

    @property
    def owners(self) -> int:
        """How many leaves its tree has."""
        return int(self.lines["owners"])

    def hash(self, name: str) -> bytes:
        """One of its hashes."""
        return bytes.fromhex(self.lines[name])

    def __str__(self) -> str:
        return f"checkpoint {self.number} of {self.lines['made_at']}"


def checkpoint_of(fields: Any) -> Checkpoint:
    """A checkpoint, of whose fields only what was signed is believed."""
    try:
        body = fields["body"].encode()
        first, *lines = body.decode().removesuffix("\n").split("\n")
        named = dict(line.split(" ", 1) for line in lines)
        if first != "storecredit checkpoint v1" or tuple(named) != LINES:
            raise Unreadable("it has other lines than a checkpoint")
        return Checkpoint(body, named, bytes.fromhex(fields["signature"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable("it is no checkpoint") from error


def check_signature(checkpoint: Checkpoint, keys: list[bytes]) -> None:
    """See that one of the keys signed it. Raises Wrong."""
    named = [key for key in keys if sha256(key).digest()[:8] == checkpoint.hash("key")]
    if not named:
        raise Wrong(
            f"{checkpoint} names the key {checkpoint.lines['key']}, which is none of those that "
            "you gave"
        )
    if not is_signed(named[0], checkpoint.signature, checkpoint.body):
        raise Wrong(f"{checkpoint} is not what was signed")


def check_log(proof: Any, later: Checkpoint, keys: list[bytes]) -> Checkpoint | None:
    """See that the log which the later one signs has the earlier; None: nothing says so.

    Raises Wrong.
    """
    since = proof.get("since")
    if since is None:
        return None
    earlier = checkpoint_of(since["checkpoint"])
    check_signature(earlier, keys)
    place, size = earlier.number - 1, later.number - 1
    path, consistency = hashes_of(since["path"]), hashes_of(since["consistency"])
    log_root = later.hash("log_root")
    if root_by(place, size, leaf_of(earlier.body), path) != log_root:
        raise Wrong(f"{earlier} is not among those that {later} continues")
    if not is_continued((place, size), (earlier.hash("log_root"), log_root), consistency):
        raise Wrong(f"what came before {earlier} is not what {later} says came before it")
    if earlier.lines["ledger"] != later.lines["ledger"]:
        raise Wrong(f"{earlier} and {later} are of two ledgers")
    return earlier


def hashes_of(texts: Any) -> list[bytes]:
    """Hashes in hexadecimal digits."""
    return [bytes.fromhex(each) for each in texts]


# Ledgers.


def length_and(text: str) -> bytes:
    """A text behind its length in bytes."""
    data = text.encode()
    return struct.pack(">i", len(data)) + data


def microseconds(moment: str) -> int:
    """Since the beginning of 2000, UTC."""
    at = datetime.fromisoformat(moment)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (at - EPOCH) // timedelta(microseconds=1)


def leaf_of_movement(row: dict[str, Any]) -> bytes:
    """The hash of what an owner is told of a movement."""
    session = row["session_id"]
    data = struct.pack(
        ">qqq", microseconds(row["created_at"]), int(row["amount"]), int(row["balance_after"])
    )
    data += length_and(row["type"]) + length_and(row["request_id"]) + length_and(row["description"])
    data += b"\x01" + UUID(session).bytes if session else b"\x00"
    return sha256(b"\x02" + data).digest()


_FORMULA = "[=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212]"
# Where a CSV file may have a `'` that the ledger has not, so that no spreadsheet sees a formula.
_SET_BEFORE = re.compile(rf"(?:(?<=\A)|(?<=[;|\t\r\n]))'(?=[\t\r\n]|[\s\"]*{_FORMULA})")
_SET_WITHIN = re.compile(rf"(?<=[;|\t\r\n])([\s\"]*)'(?={_FORMULA})")


def readings(text: str) -> list[str]:
    """What a cell of a CSV file may stand for: itself, or itself without what was set before it."""
    plain = _SET_WITHIN.sub(r"\1", _SET_BEFORE.sub("", text))
    return [text] if plain == text else [plain, text]


def rows_of(path: Path) -> list[list[dict[str, Any]]]:
    """The movements of an exported file, each in all ways in which it may be read."""
    text = path.read_bytes().decode("utf-8-sig")
    try:
        if text.lstrip()[:1] in {"{", "["}:
            return [[row] for row in _items(json.loads(text))]
        return [_of_csv(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise Unreadable(f"{path} is no exported ledger: {error!r}") from error


def _of_csv(row: dict[str, Any]) -> list[dict[str, Any]]:
    texts = [readings(row[name]) for name in ("request_id", "description")]
    return [
        {**row, "request_id": request_id, "description": description}
        for request_id, description in itertools.product(*texts)
    ]


def _items(value: Any) -> Iterator[dict[str, Any]]:
    """The movements of a page, or of a list of pages or of movements."""
    if isinstance(value, list):
        for each in value:
            yield from _items(each)
    elif "seq" in value:
        yield value
    else:
        yield from _items(value["data"] if "data" in value else value["items"])


def ledger_of(paths: list[Path]) -> list[list[bytes]]:
    """The hashes of all movements in order, each in all ways to read it. Raises Wrong."""
    found: dict[int, list[bytes]] = {}
    for path in paths:
        for ways in rows_of(path):
            try:
                seq, leaves = int(ways[0]["seq"]), [leaf_of_movement(row) for row in ways]
            except (KeyError, TypeError, ValueError, struct.error) as error:
                raise Unreadable(f"{path} is no exported ledger: {error!r}") from error
            if found.setdefault(seq, leaves) != leaves:
                raise Wrong(f"movement {seq} is there twice, and is not the same")
    for place in range(1, len(found) + 1):
        if place not in found:
            raise Wrong(f"movement {place} is not in the file")
    return [found[place] for place in range(1, len(found) + 1)]


def heads_of(beginning: bytes, leaves: list[list[bytes]]) -> Iterator[tuple[int, bytes]]:
    """Where the chain stands after each movement, by each way to read them."""
    heads = [beginning]
    yield 0, beginning
    for place, ways in enumerate(leaves, 1):
        heads = [sha256(b"\x03" + head + leaf).digest() for head in heads for leaf in ways]
        if len(heads) > READINGS_MAX:
            raise Unreadable("too many texts begin with a ': take the JSON in place of the CSV")
        for head in heads:
            yield place, head


def check_ledger(proof: Any, checkpoint: Checkpoint) -> tuple[str, int, bytes]:
    """Where the proof says that the chain stood, which was signed. Raises Wrong."""
    told = proof["ledger_proof"]
    owner = f"{told['owner_kind']} {UUID(told['owner_id'])}"
    seq, head = int(told["seq"]), bytes.fromhex(told["head"])
    data = f"{owner} {seq} {head.hex()} {bytes.fromhex(told['kept_head']).hex()}\n".encode()
    path = hashes_of(told["path"])
    root = root_by(int(told["position"]), checkpoint.owners, leaf_of(data), path)
    if root != checkpoint.hash("root"):
        raise Wrong(f"the ledger of {owner} is not in {checkpoint} as the proof says")
    return owner, seq, head


def check(arguments: argparse.Namespace) -> list[str]:
    """What holds, in sentences. Raises Wrong, Unreadable."""
    keys = [bytes.fromhex(key) for key in arguments.key]
    proof = read(arguments.proof)
    newest = checkpoint_of(proof["checkpoint"])
    check_signature(newest, keys)
    holds = [f"The operator signed {newest}."]
    since = check_log(proof, newest, keys)
    if since is not None:
        holds.append(f"It continues {since}.")
    earlier = None if arguments.earlier is None else read(arguments.earlier)
    if earlier is not None:
        held = checkpoint_of(earlier["checkpoint"])
        check_signature(held, keys)
        _check_held(held, newest, since)
        holds.append(f"It is of the ledger that {held} is of.")
    standings = [
        check_ledger(each, checkpoint_of(each["checkpoint"]))
        for each in (earlier, proof)
        if each is not None and "ledger_proof" in each
    ]
    if arguments.ledger:
        holds += _check_chain(ledger_of(arguments.ledger), standings)
    return holds


def _check_held(held: Checkpoint, newest: Checkpoint, since: Checkpoint | None) -> None:
    if held.lines["ledger"] != newest.lines["ledger"]:
        raise Wrong(f"{held} and {newest} are of two ledgers")
    if held.number > newest.number:
        raise Wrong(f"{held} is later than {newest}: history was set back")
    if held.number == newest.number and held.body != newest.body:
        raise Wrong(f"there are two of number {held.number}: one of them was signed anew")
    if since is not None and held.number == since.number and held.body != since.body:
        raise Wrong(f"{held}, which you kept, is not {since}, which it is said to continue")


def _check_chain(leaves: list[list[bytes]], standings: list[tuple[str, int, bytes]]) -> list[str]:
    if not standings:
        raise Unreadable("the proof says nothing of a ledger")
    if len({owner for owner, _, _ in standings}) > 1:
        raise Wrong("the two proofs are of two ledgers")
    if standings[0][1] > standings[-1][1]:
        raise Wrong("the later proof is of fewer movements than the earlier one")
    owner = standings[0][0]
    newest = max(seq for _, seq, _ in standings)
    if len(leaves) < newest:
        raise Wrong(f"the file ends with movement {len(leaves)}, and {newest} were signed")
    beginning = sha256("storecredit ledger v1\n{}\n{}\n".format(*owner.split()).encode()).digest()
    # Nearly always each `'` is the file's; only where that leads elsewhere all ways are tried.
    passed = set(heads_of(beginning, [ways[:1] for ways in leaves[:newest]]))
    if not {(seq, head) for _, seq, head in standings} <= passed:
        passed = set(heads_of(beginning, leaves[:newest]))
    holds = []
    for _, seq, head in standings:
        if (seq, head) not in passed:
            raise Wrong(f"movements 1 to {seq} of {owner} are not those that were signed")
        holds.append(f"Movements 1 to {seq} of {owner} are those that were signed.")
    if len(leaves) > newest:
        holds.append(f"Movements {newest + 1} to {len(leaves)} came later: they are not proven.")
    return holds


def read(path: Path) -> Any:
    """A JSON file as it was answered or printed."""
    try:
        value = json.loads(path.read_bytes())
        value = value.get("data", value)
        if "checkpoint" not in value:
            raise Unreadable(f"{path} has no checkpoint")
    except (OSError, ValueError, AttributeError) as error:
        raise Unreadable(f"{path}: {error}") from error
    return value


def main() -> int:
    """Check what the arguments name; the exit status."""
    parser = argparse.ArgumentParser(
        description="Checks an exported ledger against what storecredit's operator signed."
    )
    parser.add_argument("--key", action="append", required=True, metavar="HEX")
    parser.add_argument("--proof", type=Path, required=True)
    parser.add_argument("--earlier", type=Path)
    parser.add_argument("ledger", type=Path, nargs="*")
    try:
        holds = check(parser.parse_args())
    except Wrong as wrong:
        sys.stdout.write(f"WRONG: {wrong}.\n")
        return 1
    except (Unreadable, OSError, KeyError, TypeError, ValueError) as error:
        sys.stderr.write(f"It cannot be checked: {error}.\n")
        return 2
    sys.stdout.write("".join(f"{sentence}\n" for sentence in holds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
