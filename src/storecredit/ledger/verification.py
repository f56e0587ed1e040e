"""When the ledgers were last proven, and what came out: kept in the database, for every process.

What is kept is the last run's moment and the number of its discrepancies; what they were, only the
run itself tells.
"""

from dataclasses import dataclass
from datetime import datetime

from storecredit import telemetry
from storecredit.postgres.pool import Database, DatabaseUnavailable

log = telemetry.get_logger("ledger.verification")


@dataclass(frozen=True, slots=True)
class LastVerification:
    """The newest moment at which everything was recomputed, and how much did not agree then."""

    verified_at: datetime
    discrepancies: int


async def last(database: Database) -> LastVerification | None:
    """The last verification; None: there was none yet. Raises DatabaseUnavailable."""
    row = await database.fetchrow("SELECT verified_at, discrepancies FROM last_verification")
    return None if row is None else LastVerification(**row)


async def record(database: Database, verification: LastVerification) -> None:
    """Keep this one, unless a newer one is kept.

    A proof stands also where it cannot be recorded (a standby, a database that goes away just
    then): that is logged, and what was kept before stays.
    """
    try:
        recorded = await database.fetchval(
            "SELECT record_verification($1, $2)",
            verification.verified_at,
            verification.discrepancies,
        )
    except DatabaseUnavailable as error:
        log.warning("verification_not_recorded", reason=str(error))
    else:
        if not recorded:
            log.warning("verification_not_recorded", reason="the database is read-only")
