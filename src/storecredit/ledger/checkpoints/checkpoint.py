"""One checkpoint: what is signed of it, and those that the database has."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self
from uuid import UUID

from storecredit.ledger.checkpoints import merkle
from storecredit.ledger.checkpoints.hashing import HASH_BYTES
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

FIRST: Final = bytes(HASH_BYTES)
"""What the first checkpoint names as the hash of the one before."""
COLUMNS: Final = (
    "number, made_at, owners, movements, ledger, root, log_root, previous, key_id, signature"
)
_FIRST_LINE: Final = "storecredit checkpoint v1"
_MOMENT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


class NotAsSigned(Exception):
    """What the database has is not what was signed; it says in a sentence what differs."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the chains of all owners stood at a moment, as it was signed.

    `root` is over the leaves of all owners, `log_root` over the hashes of all checkpoints before.
    """

    number: int
    made_at: datetime
    owners: int
    movements: int
    ledger: UUID
    root: bytes
    log_root: bytes
    previous: bytes
    key_id: bytes
    signature: bytes = b""

    @property
    def body(self) -> bytes:
        """What is signed: lines of ASCII, each with its end."""
        lines = (
            _FIRST_LINE,
            f"ledger {self.ledger}",
            f"number {self.number}",
            f"made_at {self.made_at.astimezone(UTC).strftime(_MOMENT)}",
            f"owners {self.owners}",
            f"movements {self.movements}",
            f"root {self.root.hex()}",
            f"log_root {self.log_root.hex()}",
            f"previous {self.previous.hex()}",
            f"key {self.key_id.hex()}",
        )
        return "".join(f"{line}\n" for line in lines).encode()

    @classmethod
    def read(cls, body: bytes, signature: bytes) -> Self:
        """The checkpoint that has this body. Raises ValueError for what is none."""
        first, *lines = body.decode().removesuffix("\n").split("\n")
        values = dict(line.split(" ", 1) for line in lines)
        made = cls(
            number=int(values.get("number", "")),
            made_at=datetime.strptime(values.get("made_at", ""), _MOMENT).replace(tzinfo=UTC),
            owners=int(values.get("owners", "")),
            movements=int(values.get("movements", "")),
            ledger=UUID(values.get("ledger", "")),
            root=bytes.fromhex(values.get("root", "")),
            log_root=bytes.fromhex(values.get("log_root", "")),
            previous=bytes.fromhex(values.get("previous", "")),
            key_id=bytes.fromhex(values.get("key", "")),
            signature=signature,
        )
        if first != _FIRST_LINE or made.body != body:
            raise ValueError("it is no body of a checkpoint")
        return made

    @property
    def hash(self) -> bytes:
        """What the next one calls it, and its leaf in the log of checkpoints."""
        return merkle.leaf(self.body)


def from_row(row: Record) -> Checkpoint:
    """The checkpoint of a row with `COLUMNS`."""
    return Checkpoint(**{name: row[name] for name in COLUMNS.split(", ")})


async def newest(home: Database) -> Checkpoint | None:
    """The newest one; None: there is none yet. Raises DatabaseUnavailable."""
    row = await home.fetchrow(
        f"SELECT {COLUMNS} FROM checkpoints ORDER BY number DESC LIMIT 1"  # noqa: S608 - constants
    )
    return None if row is None else from_row(row)


async def one(home: Database, number: int) -> Checkpoint | None:
    """The one of this number; None: there is none. Raises DatabaseUnavailable."""
    row = await home.fetchrow(
        f"SELECT {COLUMNS} FROM checkpoints WHERE number = $1",  # noqa: S608 - constants
        number,
    )
    return None if row is None else from_row(row)


async def page(home: Database, *, limit: int, before: int | None = None) -> list[Checkpoint]:
    """So many of them, the newest first, from before a number. Raises DatabaseUnavailable."""
    rows = await home.fetch(
        f"""SELECT {COLUMNS} FROM checkpoints WHERE $2::bigint IS NULL OR number < $2
           ORDER BY number DESC LIMIT $1""",  # noqa: S608 - constants
        limit,
        before,
    )
    return [from_row(row) for row in rows]


async def log_before(home: Database, number: int) -> list[bytes]:
    """The hashes of all checkpoints before this one, which there is or is about to be.

    Raises DatabaseUnavailable.
    """
    rows = await home.fetch(
        "SELECT previous FROM checkpoints WHERE number > 1 AND number <= $1 ORDER BY number",
        number,
    )
    hashes = [row["previous"] for row in rows]
    if len(hashes) < number - 1 and (last := await one(home, number - 1)) is not None:
        hashes.append(last.hash)
    return hashes


def missing(number: int, last: Checkpoint | None) -> str:
    """That the database does not have what was signed here, in a sentence."""
    newest_there = f"its newest is {last.number}" if last else "it has none"
    return (
        f"Checkpoint {number} was signed here, and the database does not have it "
        f"({newest_there}): it was restored to an earlier moment, or somebody removed checkpoints. "
        "If you restored it, say so by `storecredit checkpoint accept`."
    )
