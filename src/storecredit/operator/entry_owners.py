"""Whom an entry of the audit log is about, and of a transfer whom the credits were handed to.

Each is named where the entry stands; who was given them lives in another bucket, if not there.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.buckets import Buckets, fetched
from storecredit.postgres.servers import Record


async def elsewhere(buckets: Buckets, rows: Sequence[Record]) -> dict[int, Owner]:
    """Who was given credits of an owner in another bucket, by their accounts.

    Raises DatabaseUnavailable.
    """
    accounts = {
        row["other_account_id"]
        for row in rows
        if row["other_account_id"] is not None and row["other_kind"] is None
    }
    if not accounts:
        return {}
    found = await fetched(
        buckets,
        "SELECT account_id, owner_kind, owner_id FROM accounts WHERE account_id = ANY ($1)",
        list(accounts),
    )
    return {row["account_id"]: _owner(row["owner_kind"], row["owner_id"]) for row in found}


def owner_of(row: Record | Mapping[str, Any]) -> Owner | None:
    """Whom an entry is about; None: nobody in particular."""
    return _owner(row["owner_kind"], row["owner_id"]) if row["owner_kind"] else None


def other_of(row: Record | Mapping[str, Any], elsewhere: Mapping[int, Owner]) -> Owner | None:
    """Who was given the credits; None: nobody. `elsewhere`: those who live in another bucket."""
    if row["other_kind"]:
        return _owner(row["other_kind"], row["other_id"])
    return elsewhere.get(row["other_account_id"])


def _owner(kind: str, id_: UUID) -> Owner:
    return Owner(OwnerKind(kind), id_)
