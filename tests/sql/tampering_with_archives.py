"""What can be done behind the back of the archive, and what `verify` has to name it.

`kept` is a table with the sessions as they were before they were archived.
"""

from typing import Final

from storecredit.ledger.discrepancies import DiscrepancyKind

IN_ARCHIVES: Final[dict[str, DiscrepancyKind]] = {
    "INSERT INTO sessions SELECT * FROM kept": DiscrepancyKind.ARCHIVED_BUT_PRESENT,
    "DELETE FROM session_archives": DiscrepancyKind.ARCHIVE_MISMATCH,
    "UPDATE archived_sessions SET sessions = 5": DiscrepancyKind.ARCHIVE_MISMATCH,
    "UPDATE archived_sessions SET causes = '{}'": DiscrepancyKind.ARCHIVE_MISMATCH,
    "DELETE FROM session_archives; DELETE FROM archived_sessions": (
        DiscrepancyKind.DEDUCTION_WITHOUT_SESSION
    ),
}
