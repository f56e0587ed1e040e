"""The loop that chains what has happened and signs a checkpoint of it, beside all else.

Any number of processes may have it; one of them has the turn. It reads what is committed, and what
it writes nobody waits for who moves credits.
"""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from storecredit import telemetry
from storecredit.data_files import checkpoint_keys
from storecredit.data_files.checkpoint_keys import CheckpointKeys, KeyFileDamaged, NewestSigned
from storecredit.ledger.checkpoints import leaves, merkle
from storecredit.ledger.checkpoints.chaining import Pass, TurnLost
from storecredit.ledger.checkpoints.checkpoint import (
    FIRST,
    Checkpoint,
    NotAsSigned,
    log_before,
    missing,
    newest,
    one,
)
from storecredit.ledger.checkpoints.hashing import MARK_BYTES
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pacing import pause
from storecredit.settings import Settings

log = telemetry.get_logger("ledger.checkpoints")

LEASE: Final = timedelta(seconds=60)
LOOK_SHARE: Final = 0.1
"""Of the interval: how often it is asked whether a pass is due; so long the first look waits."""
TURN_SHARE: Final = 0.95
"""Of the interval: if a pass ended so much ago or less, there was one in time."""
WALK_INTERVAL: Final = timedelta(days=1)
"""How often every account is looked at, and not only those that the sums say have moved."""
LATE: Final = timedelta(hours=1)
"""A movement bears the moment at which its transaction began; it was counted later than that."""


class Checkpoints:
    """Chains and signs, while the service runs or once."""

    def __init__(self, buckets: Buckets, settings: Settings) -> None:
        self._buckets = buckets
        self._home = buckets.home
        self._settings = settings
        self._interval = settings.checkpoint_interval_seconds
        self._holder = uuid4()

    async def run(self, stop: asyncio.Event) -> None:
        """Make one whenever it is time, until `stop` is set; what goes wrong is logged."""
        while True:
            await pause(self._interval * LOOK_SHARE, stop)
            if stop.is_set():
                return
            try:
                await self.make(stop)
            except (DatabaseUnavailable, TurnLost) as error:
                log.warning("checkpoint_interrupted", error=str(error) or type(error).__name__)
            except (NotAsSigned, KeyFileDamaged, OSError) as error:
                log.error("checkpoint_unsigned", error=str(error))  # noqa: TRY400 - it says it

    async def make(
        self, stop: asyncio.Event | None = None, *, at_once: bool = False
    ) -> Checkpoint | None:
        """Chain what is new and sign a checkpoint; None: it is not its turn, or nothing is new.

        `at_once`: whenever the last one was made, and of all accounts. Raises NotAsSigned,
        KeyFileDamaged, TurnLost, DatabaseUnavailable, OSError.
        """
        stop = stop or asyncio.Event()
        interval = timedelta(seconds=0 if at_once else self._interval * TURN_SHARE)
        row = await self._take(interval)
        if row is None:
            return None
        is_done = is_walk = False
        try:
            keys = await asyncio.to_thread(CheckpointKeys.made, self._settings)
            last = await newest(self._home)
            await self._check(last, keys)
            walked_at = row[0]
            walked_long_ago = walked_at is None or walked_at < _now() - WALK_INTERVAL
            is_walk = at_once or last is None or walked_long_ago
            since = None if last is None or is_walk else last.made_at - LATE
            number = 1 + (last.number if last else 0)
            await Pass(self._buckets, keys, number, self._hold).chain(since, stop)
            if stop.is_set():
                return None
            made = await self._sign(last, keys)
            is_done = True
            return made
        finally:
            with contextlib.suppress(DatabaseUnavailable):
                await self._home.fetchval(
                    "SELECT end_proving($1, $2, $3)", self._holder, is_done, is_walk
                )

    async def _check(self, last: Checkpoint | None, keys: CheckpointKeys) -> None:
        """See that what is to be continued is what was signed, here if that is known."""
        noted = await asyncio.to_thread(checkpoint_keys.newest_signed, self._settings.data_dir)
        if noted is not None:
            known = await one(self._home, noted.number)
            if known is None or known.hash != noted.hash:
                raise NotAsSigned(missing(noted.number, last))
        if last is None:
            return
        is_signed = keys.is_signed(last.key_id, last.signature, last.body)
        if is_signed is None:
            raise NotAsSigned(
                f"Checkpoint {last.number} is signed by the key {last.key_id.hex()}, which is not "
                "known here: services of one database share STORECREDIT_CHECKPOINT_KEY, or "
                "STORECREDIT_CHECKPOINT_OLD_KEYS names it."
            )
        if not is_signed:
            raise NotAsSigned(f"Checkpoint {last.number} is not what was signed.")

    async def _take(self, interval: timedelta) -> tuple[datetime | None] | None:
        row = await self._home.fetchrow(
            "SELECT * FROM take_proving($1, $2, $3)", self._holder, LEASE, interval
        )
        assert row is not None, "it has one row"
        return (row["walked_at"],) if row["is_taken"] else None

    async def _hold(self) -> None:
        if await self._take(timedelta(0)) is None:
            raise TurnLost

    async def _sign(self, last: Checkpoint | None, keys: CheckpointKeys) -> Checkpoint | None:
        """The next checkpoint, of all that is chained. Raises TurnLost if more was, meanwhile."""
        number = 1 + (last.number if last else 0)
        links = await self._home.fetchrow(
            f"""SELECT count(*) AS links, coalesce(sum(length(marks)), 0) / {2 * MARK_BYTES}
                    AS movements FROM chain_links WHERE number = $1""",  # noqa: S608 - a constant
            number,
        )
        assert links is not None, "an aggregate has one row"
        if links["links"] == 0:
            return None
        chunks, owners = await self._chunks(last, number)
        hashes = await log_before(self._home, number)
        unsigned = Checkpoint(
            number=number,
            made_at=_now(),
            owners=owners,
            movements=int(links["movements"]) + (last.movements if last else 0),
            ledger=last.ledger if last else uuid4(),
            root=merkle.root(chunks),
            log_root=await asyncio.to_thread(merkle.root, hashes),
            previous=last.hash if last else FIRST,
            key_id=keys.key_id,
        )
        signature = keys.sign(unsigned.body)
        if not await self._added(unsigned, signature, b"".join(chunks), links["links"]):
            raise TurnLost
        await asyncio.to_thread(
            checkpoint_keys.note_signed,
            self._settings.data_dir,
            NewestSigned(number, unsigned.hash),
        )
        log.info("checkpoint_made", number=number, owners=owners, movements=unsigned.movements)
        return await one(self._home, number)

    async def _chunks(self, last: Checkpoint | None, number: int) -> tuple[list[bytes], int]:
        """The roots over each chunk of leaves, of which only those that change are read.

        Of these it is seen first that they are what the last checkpoint was signed of. Whoever
        rewrote a ledger and its chain would otherwise have that signed with the next one.
        """
        owners = await self._home.fetchval("SELECT max(position) + 1 FROM chained_accounts")
        before = 0 if last is None else last.owners
        chunks = [] if last is None else await leaves.chunks_of(self._home, last)
        rows = await self._home.fetch(
            "SELECT DISTINCT position / $2 AS chunk FROM chain_links WHERE number = $1",
            number,
            leaves.CHUNK,
        )
        count = -(-owners // leaves.CHUNK)
        grown = range(before // leaves.CHUNK, count) if owners > before else ()
        changed = sorted({row["chunk"] for row in rows}.union(grown))
        for chunk in changed:
            if chunk < len(chunks) and chunks[chunk] != await leaves.chunk_root(
                self._home, number - 1, chunk, before
            ):
                raise NotAsSigned(f"Chains are not what checkpoint {number - 1} was signed of.")
        chunks += [b""] * (count - len(chunks))
        for chunk in changed:
            chunks[chunk] = await leaves.chunk_root(self._home, number, chunk, owners)
        return chunks, owners

    async def _added(self, made: Checkpoint, signature: bytes, chunks: bytes, links: int) -> bool:
        return bool(
            await self._home.fetchval(
                "SELECT add_checkpoint($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                made.number,
                made.made_at,
                made.owners,
                made.movements,
                made.ledger,
                [made.root, made.log_root, made.previous],
                made.key_id,
                signature,
                chunks,
                links,
            )
        )


async def passed_at(buckets: Buckets) -> datetime | None:
    """When all that had happened was last chained and signed; None: never so far.

    That is so as well when nothing had happened. Raises DatabaseUnavailable.
    """
    moment: datetime | None = await buckets.home.fetchval("SELECT passed_at FROM proving")
    return moment


def _now() -> datetime:
    return datetime.now(UTC)
