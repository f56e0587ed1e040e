"""Verifies all buckets of a database, and that everybody is in the one that the directory says.

Also that each transfer from one bucket to another has both its ends.

Each bucket is a ledger of its own and is proven by itself; what comes of them adds up. Those in one
place are proven one after the other, since a proof keeps a server busy; places are, side by side.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, replace

from storecredit.ledger.checkpoints.tampering import Evidence
from storecredit.ledger.discrepancies import Report
from storecredit.ledger.transfers import one_sided
from storecredit.ledger.verify import DISCREPANCIES_MAX, Progress, verify
from storecredit.ledger.whereabouts import misplaced
from storecredit.postgres.buckets import Buckets, SeveralBuckets, together
from storecredit.postgres.pool import Database


async def verify_all(
    buckets: Buckets,
    *,
    every_row: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    evidence: Evidence | None = None,
) -> Report:
    """As `verify` of each of them, added up; the first one's comes first.

    With it the directory and what went between buckets are proven, and `evidence`, which is of all
    buckets, looked at.

    Raises DatabaseUnavailable where one of them is away; DiscrepancyUnnamed.
    """
    if not isinstance(buckets, SeveralBuckets):
        return await verify(
            buckets, every_row=every_row, on_progress=on_progress, evidence=evidence
        )
    found = [
        *await misplaced(buckets, DISCREPANCIES_MAX + 1),
        *await one_sided(buckets, DISCREPANCIES_MAX + 1),
    ]
    progress = _Progress(len(buckets.all), on_progress or (lambda _: None))
    reports: dict[str, Report] = {}

    async def one_after_the_other(databases: Sequence[Database]) -> None:
        for database in databases:
            is_home = database is buckets.home
            reports[database.schema] = await verify(
                database,
                every_row=every_row,
                on_progress=progress.of(database),
                evidence=evidence if is_home else None,
                also=found if is_home else (),
            )

    places: dict[Hashable, list[Database]] = {}
    for database in buckets.all:
        places.setdefault(database.place, []).append(database)
    await together(*(one_after_the_other(databases) for databases in places.values()))
    return _sum([reports[database.schema] for database in buckets.all])


class _Progress:
    """That of all buckets together; of those not begun yet nothing is known but that they are."""

    def __init__(self, buckets: int, tell: Callable[[Progress], None]) -> None:
        self._buckets = buckets
        self._tell = tell
        self._each: dict[str, Progress] = {}

    def of(self, database: Database) -> Callable[[Progress], None]:
        """What to call with the progress of one bucket."""

        def tell(progress: Progress) -> None:
            self._each[database.schema] = progress
            known = self._each.values()
            checked = sum(each.checked for each in known)
            total = sum(each.total for each in known)
            # The others are taken to be as large as those that were begun.
            self._tell(Progress(checked, total * self._buckets // len(known)))

        return tell


def _sum(reports: Sequence[Report]) -> Report:
    discrepancies = [each for report in reports for each in report.discrepancies]
    counted = {
        field.name: sum(getattr(report, field.name) for report in reports)
        for field in fields(Report)
        if field.name not in {"discrepancies", "truncated"}
    }
    return replace(
        reports[0],
        **counted,
        discrepancies=tuple(discrepancies[:DISCREPANCIES_MAX]),
        truncated=len(discrepancies) > DISCREPANCIES_MAX
        or any(report.truncated for report in reports),
    )
