"""What operators did that an id names, from the audit log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.audit import Action
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, Record

ENTRIES_MAX: Final = 200
"""Entries that are told of the ids of one look-up."""
LOOKED_AT_MAX: Final = 300
"""Among so many, the newest, of each action that names its subject and no request is looked."""
BY_SUBJECT: Final = (
    Action.EVENT_RETRY,
    Action.PROBLEM_DISMISS,
    Action.TRANSACTION_BOOK,
    Action.WEBHOOK_RESEND,
)
"""What is done to what a request led to. There is no index on subjects, and these are rare."""


class ActionRow(msgspec.Struct, frozen=True):
    """What an operator did, as the audit log has it.

    `subject`: what it was done to, by its id. Of a store or an end user one is named, of a transfer
    also the receiver: `other_store_id` or `other_user_id`.
    """

    entry_id: int
    acted_at: datetime
    actor: str
    door: str
    action: str
    subject: str
    reason: str
    request_id: str
    store_id: UUID | None
    user_id: UUID | None
    other_store_id: UUID | None
    other_user_id: UUID | None


# As of `audit_statements.py`: by a range in the order of the index, which leaves no other way.
# $1: request ids, $2: ids of subjects, $3: actions, $4 and $5: the bounds.
_ENTRIES: Final = """
    WITH named AS MATERIALIZED (
        SELECT l.* FROM unnest($1::text[]) p (request_id), LATERAL (
            SELECT * FROM audit_log x WHERE x.request_id = p.request_id OFFSET 0) l
        LIMIT $4
    ), done_to AS MATERIALIZED (
        SELECT l.* FROM unnest($3::text[]) p (action), LATERAL (
            SELECT * FROM audit_log x
            WHERE (x.action, x.entry_id) <= (p.action, 9223372036854775807) AND x.action >= p.action
            ORDER BY x.action DESC, x.entry_id DESC LIMIT $5) l
        WHERE l.subject = ANY ($2) OR l.asked ->> 'event_id' = ANY ($2)
    )
    SELECT l.entry_id, l.account_id, l.other_account_id, l.acted_at, l.actor, l.door, l.action,
        l.subject, l.reason, l.request_id, l.asked ->> 'event_id' AS event_id,
        a.owner_kind, a.owner_id, b.owner_kind AS other_kind, b.owner_id AS other_id
    FROM (SELECT * FROM named UNION SELECT * FROM done_to) l
    LEFT JOIN accounts a ON a.account_id = l.account_id
    LEFT JOIN accounts b ON b.account_id = l.other_account_id
    ORDER BY l.entry_id LIMIT $4
"""


class Acted(msgspec.Struct, frozen=True):
    """An entry, the accounts it is about, and what besides a request leads to it.

    `elsewhere`: the account that was given credits, where it is in another bucket, and not named.
    """

    row: ActionRow
    account_ids: frozenset[int]
    subjects: frozenset[str]
    elsewhere: int | None = None

    def handed_to(self, owner: Owner | None) -> "Acted":
        """The same, with who was given the credits; None: an account that there is not."""
        if owner is None:
            return self
        of_store = owner.kind is OwnerKind.STORE
        row = msgspec.structs.replace(
            self.row,
            other_store_id=owner.id if of_store else None,
            other_user_id=None if of_store else owner.id,
        )
        return msgspec.structs.replace(self, row=row, elsewhere=None)


async def acted_on(
    source: Database | Connection, request_ids: Sequence[str], subjects: Sequence[str]
) -> list[Acted]:
    """Entries by these requests, and on these subjects; in the order of time."""
    rows = await source.fetch(
        _ENTRIES, request_ids, subjects, BY_SUBJECT, ENTRIES_MAX, LOOKED_AT_MAX
    )
    return [_acted(row) for row in rows]


def _acted(row: Record) -> Acted:
    return Acted(
        ActionRow(
            entry_id=row["entry_id"],
            acted_at=row["acted_at"],
            actor=row["actor"],
            door=row["door"],
            action=row["action"],
            subject=row["subject"],
            reason=row["reason"],
            request_id=row["request_id"],
            store_id=_if(OwnerKind.STORE, row["owner_kind"], row["owner_id"]),
            user_id=_if(OwnerKind.USER, row["owner_kind"], row["owner_id"]),
            other_store_id=_if(OwnerKind.STORE, row["other_kind"], row["other_id"]),
            other_user_id=_if(OwnerKind.USER, row["other_kind"], row["other_id"]),
        ),
        frozenset(
            each for each in (row["account_id"], row["other_account_id"]) if each is not None
        ),
        frozenset(each for each in (row["subject"], row["event_id"]) if each),
        row["other_account_id"] if row["other_kind"] is None else None,
    )


def _if(wanted: OwnerKind, kind: str | None, id_: UUID | None) -> UUID | None:
    return id_ if kind == wanted else None
