"""When the ledger was last proven, and what came out: kept in the database, for every process.

What is kept is the last run's moment and the number of its discrepancies; what they were, only the
run itself tells. And how many movements there were: they are never removed, so a later run that
finds fewer from before that moment knows that some are missing.
"""

from dataclasses import dataclass
from datetime import datetime

from storecredit import telemetry
from storecredit.postgres.buckets import Buckets, fetched
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection

log = telemetry.get_logger("ledger.verification")


@dataclass(frozen=True, slots=True)
class LastVerification:
    """The newest moment at which everything was recomputed, and how much did not agree then."""

    verified_at: datetime
    discrepancies: int


@dataclass(frozen=True, slots=True)
class Settled:
    """How many movements there were from before a moment; there can only be more."""

    at: datetime
    movements: int


async def settled(connection: Connection) -> Settled | None:
    """What the last run that missed none had counted; None: there was none yet."""
    row = await connection.fetchrow(
        "SELECT settled_at AS at, settled_movements AS movements FROM last_verification"
        " WHERE settled_at IS NOT NULL"
    )
    return None if row is None else Settled(**row)


async def last(buckets: Buckets) -> LastVerification | None:
    """The last verification; None: there was none yet of some bucket. Raises DatabaseUnavailable.

    Of several buckets it is the oldest of their moments, and the sum of what did not agree.
    """
    rows = await fetched(buckets, "SELECT verified_at, discrepancies FROM last_verification")
    if len(rows) < len(buckets.all):
        return None
    return LastVerification(
        min(row["verified_at"] for row in rows), sum(row["discrepancies"] for row in rows)
    )


async def record(
    database: Database, verification: LastVerification, settled_movements: int | None
) -> None:
    """Keep this one, unless a newer one is kept.

    `settled_movements`: how many there are from before its moment; None: some are missing, and
    what was counted before stays. A proof stands also where it cannot be recorded (a standby, a
    login that may only read, a database that goes away just then): that is logged, and what was
    kept before stays.
    """
    if database.only_reads:
        log.warning("verification_not_recorded", reason="this login may only read")
        return
    try:
        recorded = await database.fetchval(
            "SELECT record_verification($1, $2, $3)",
            verification.verified_at,
            verification.discrepancies,
            settled_movements,
        )
    except DatabaseUnavailable as error:
        log.warning("verification_not_recorded", reason=str(error))
    else:
        if not recorded:
            log.warning("verification_not_recorded", reason="the database is read-only")
