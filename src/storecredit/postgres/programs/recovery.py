"""Brings a cluster that was unpacked from a base backup to a moment of its history.

Hides PostgreSQL's recovery: its settings, its log, its end. Promises that a cluster that has been
recovered is on a timeline of its own, so that what it goes on to write can never be taken for what
the backed-up one wrote; and that a target which was not reached is an error.

All WAL that is to be replayed lies in the cluster's `pg_wal`, so no command fetches any. See
https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-PITR-RECOVERY.
"""

import asyncio
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

from storecredit.postgres.embedded.cluster import Cluster
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.embedded.system_user import Account, EmbeddedPostgresError
from storecredit.postgres.programs.wal_receiver import make_slot

POLL_SECONDS: Final = 0.05
LOG_MAX_BYTES: Final = 1024 * 1024
CONNECT_SECONDS: Final = 10.0

_SIGNAL: Final = "recovery.signal"
_SETTINGS: Final = "postgresql.auto.conf"
_NOT_REACHED: Final = "recovery ended before configured recovery target was reached"
_TOO_EARLY: Final = "requested recovery stop point is before consistent recovery point"
_LAST_TRANSACTION: Final = re.compile(r"last completed transaction was at log time (\S+ [\d:.]+)")


class TargetNotReached(Exception):
    """The history does not have the moment; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the replay is to end: with the backup itself, at a moment, or with all WAL there is.

    `timeline`: of several histories, which one; None: the newest.
    """

    moment: datetime | None = None
    to_the_end: bool = False
    timeline: int | None = None

    @property
    def goes_beyond_the_backup(self) -> bool:
        """Whether it takes more WAL than a backup brings along."""
        return self.to_the_end or self.moment is not None

    def settings(self) -> str:
        """The same in PostgreSQL's words."""
        # It asks an archive before it looks into pg_wal, which has everything.
        lines = ["restore_command = 'false'", "recovery_target_action = 'promote'"]
        if self.moment is not None:
            lines.append(f"recovery_target_time = '{self.moment.astimezone(UTC).isoformat(' ')}'")
        elif not self.to_the_end:
            lines.append("recovery_target = 'immediate'")
        lines.append(f"recovery_target_timeline = '{self.timeline or 'latest'}'")
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery came to; `last_transaction_at` is None where it replayed no transaction."""

    last_transaction_at: datetime | None
    timeline: int
    reached: str
    """The end of what was replayed, as an LSN."""


async def recover(
    directory: Path, account: Account, target: Target, *, is_archived: bool
) -> Recovered:
    """Recover the cluster in `<directory>/postgres` and shut it down, ready for its place.

    `is_archived`: what it writes from here on is to be in a WAL archive. Raises
    `TargetNotReached`, or `EmbeddedPostgresError` with the end of the server's log.
    """
    cluster = Cluster(directory)
    settings = cluster.path / _SETTINGS
    before = settings.read_bytes()
    _append(settings, "\n" + target.settings())
    _append(cluster.path / _SIGNAL, "")
    os.chown(cluster.path / _SIGNAL, account.uid, account.gid)
    postgres = EmbeddedPostgres(directory)
    try:
        await postgres.start(create=False)
        recovered = await _end_of_recovery(postgres, is_archived=is_archived)
    except (EmbeddedPostgresError, asyncpg.PostgresError, OSError) as error:
        raise _reason(cluster, target) or error from error
    finally:
        await postgres.stop()
    settings.write_bytes(before)
    return recovered


async def _end_of_recovery(postgres: EmbeddedPostgres, *, is_archived: bool) -> Recovered:
    connection = await asyncpg.connect(postgres.admin_url, timeout=CONNECT_SECONDS)
    try:
        while await connection.fetchval("SELECT pg_is_in_recovery()"):  # noqa: ASYNC110 - polled
            await asyncio.sleep(POLL_SECONDS)
        if is_archived:
            await make_slot(connection)
        row = await connection.fetchrow(
            """SELECT pg_last_xact_replay_timestamp(), pg_last_wal_replay_lsn()::text,
                      (SELECT timeline_id FROM pg_control_checkpoint())"""
        )
    finally:
        await connection.close()
    if row is None:
        raise AssertionError("a SELECT without FROM has a row")
    return Recovered(last_transaction_at=row[0], reached=row[1], timeline=row[2])


def _reason(cluster: Cluster, target: Target) -> Exception | None:
    """Why the server gave up, if its log says something that people can do something about."""
    with cluster.log_path.open("rb") as server_log:
        server_log.seek(max(0, cluster.log_path.stat().st_size - LOG_MAX_BYTES))
        said = server_log.read().decode(errors="replace")
    if _TOO_EARLY in said:
        return TargetNotReached(
            f"This backup is newer than {target.moment:%Y-%m-%d %H:%M:%S %Z}: take an earlier one."
        )
    if _NOT_REACHED in said:
        last = _LAST_TRANSACTION.search(said)
        ends = f"its last transaction is of {last[1]}Z" if last else "it has no transaction"
        return TargetNotReached(
            f"The WAL archive does not go beyond {target.moment:%Y-%m-%d %H:%M:%S %Z}: {ends}. "
            "If that is the end you want, restore with `--to latest`."
        )
    return None


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
