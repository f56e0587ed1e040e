"""The audit log: what operators did, each entry written in the transaction of the action itself.

Who did what, when, why and to whom, by which request; never a secret. It can be added to, and not
be changed: the role that owns our functions has no right to. An entry stands in the bucket of the
owner it is about, of no owner in the first; all of them are read as one log.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Literal

from storecredit.ledger.discrepancies import Report
from storecredit.ledger.owners import Owner
from storecredit.operator import action_buckets
from storecredit.operator.drawing import AGAIN_SECONDS_MAX
from storecredit.operator.entry_owners import other_of, owner_of
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database

REASON_MAX: Final = 500
ACTOR_MAX: Final = 100
"""Characters of who did it."""

Door = Literal["api", "command", "console", "portal"]


class Action(StrEnum):
    """What an operator can do."""

    STORE_CREATE = "store.create"
    STORE_UPDATE = "store.update"
    KEY_CREATE = "key.create"
    KEY_UPDATE = "key.update"
    KEY_REVOKE = "key.revoke"
    KEY_ROTATE = "key.rotate"
    PORTAL_LINK = "portal.link"
    CREDITS_ADD = "credits.add"
    CREDITS_REMOVE = "credits.remove"
    CREDITS_TRANSFER = "credits.transfer"
    GRANT_SET_EXPIRY = "grant.set_expiry"
    USER_BLOCK = "user.block"
    USER_UNBLOCK = "user.unblock"
    USER_ERASE = "user.erase"
    CHECKOUT_CREATE = "checkout.create"
    TOP_UP_SET = "top_up.set"
    TOP_UP_REMOVE = "top_up.remove"
    PROBLEM_DISMISS = "problem.dismiss"
    EVENT_RETRY = "event.retry"
    TRANSACTION_BOOK = "transaction.book"
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_UPDATE = "webhook.update"
    WEBHOOK_ENABLE = "webhook.enable"
    WEBHOOK_DISABLE = "webhook.disable"
    WEBHOOK_DELETE = "webhook.delete"
    WEBHOOK_ROTATE = "webhook.rotate"
    WEBHOOK_TEST = "webhook.test"
    WEBHOOK_RESEND = "webhook.resend"
    LEDGER_VERIFY = "ledger.verify"
    DATA_IMPORT = "data.import"
    BUCKET_MOVE = "bucket.move"
    BUCKET_REBALANCE = "bucket.rebalance"
    TOKEN_CREATE = "token.create"  # noqa: S105 - what is done
    TOKEN_REVOKE = "token.revoke"  # noqa: S105 - what is done


@dataclass(frozen=True, slots=True)
class ActionContext:
    """Who acts, through which door, why, and by which request.

    `actor` has 1 to `ACTOR_MAX` characters, `reason` at most `REASON_MAX`. With an
    `idempotency_key` the action is done once: the same request sent again changes nothing. What is
    secret of what it makes is drawn from `seed`, if there is one, so that it can be told again.
    """

    actor: str
    door: Door
    request_id: str
    reason: str = ""
    idempotency_key: str | None = None
    seed: bytes | None = field(default=None, repr=False)


class IdempotencyConflict(Exception):
    """The idempotency key did something else before; nothing was done now."""


class ActionEntry:
    """The entry of an action that is under way.

    `earlier`: what came of the same request when it was sent before; nothing is to be done again.
    `seed`: what a secret is to be drawn from, or may be told again by; None: by nothing.
    `database`: the bucket in which it is done, all of it. `account_elsewhere`: of whom it is also
    about, where they live in another bucket.
    """

    def __init__(
        self,
        database: Database,
        about: "About",
        earlier: Mapping[str, Any] | None,
        seed: bytes | None,
        account_elsewhere: int | None = None,
    ) -> None:
        self.database = database
        self.account_elsewhere = account_elsewhere
        self.about = about
        self.earlier = earlier
        self.seed = seed
        self.outcome: Mapping[str, object] | None = None

    def write(
        self,
        outcome: Mapping[str, object] | None = None,
        *,
        owner: Owner | None = None,
        subject: object = None,
    ) -> None:
        """Have it written that it was done, and what came of it.

        `owner`, `subject`: what was made, where it could not be named before.
        """
        self.outcome = outcome or {}
        if owner is not None:
            self.about = replace(self.about, owner=owner)
        if subject is not None:
            self.about = replace(self.about, subject=str(subject))


@dataclass(frozen=True, slots=True)
class About:
    """What an action is about: whose account, of a transfer also the receiver's, and what of it.

    `subject`: the id of a key, a grant, an endpoint, a problem; "": nothing besides.
    """

    owner: Owner | None = None
    other: Owner | None = None
    subject: str = ""


NOTHING_NAMED: Final = About()


class AuditLog:
    """Writes the audit log."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    @asynccontextmanager
    async def action(
        self,
        context: ActionContext,
        action: Action,
        about: About = NOTHING_NAMED,
        asked: Mapping[str, object] | None = None,
        *,
        database: Database | None = None,
    ) -> AsyncIterator[ActionEntry]:
        """One transaction for what is done inside and for its entry: both are kept, or neither.

        Nothing is written unless the entry is told to. `asked`: what was asked for; what JSON has
        no form for (a UUID, a moment) is written as text. `database`: the bucket to do it in; None:
        the owner's that it is about, the first where it is about none. Where it was done before,
        the entry says. Raises IdempotencyConflict, DatabaseUnavailable.
        """
        wanted = _json(asked or {})
        if database is None:
            owner, home = about.owner, self._buckets.home
            database = home if owner is None else await self._buckets.of(owner)
        elsewhere = await self._account_elsewhere(about.other, database)
        begun = action_buckets.begun(
            self._buckets,
            context.idempotency_key,
            database,
            lambda bucket: _done_under(bucket, context, wanted),
            is_wide=elsewhere is not None,
        )
        async with begun as (bucket, before):
            if before is not None and not _is_same(before, action, about, elsewhere):
                raise IdempotencyConflict(context.idempotency_key)
            earlier = None if before is None else json.loads(before["outcome"])
            is_told_again = before is None or before["is_recent"]
            seed = context.seed if is_told_again else None
            entry = ActionEntry(bucket, about, earlier, seed, elsewhere)
            yield entry
            if entry.outcome is not None and earlier is None:
                await _write(entry, context, action, wanted, _json(entry.outcome))

    async def verified(self, context: ActionContext, report: Report) -> None:
        """Write down that the ledger was verified, and how much did not agree.

        No idempotency key is heeded: it was verified now, whatever was found before. Where the
        database is read-only (a standby), nothing is written.
        """
        anew = replace(context, idempotency_key=None)
        async with self.action(anew, Action.LEDGER_VERIFY) as entry:
            entry.write({"clean": report.clean, "discrepancies": len(report.discrepancies)})

    async def imported(
        self, context: ActionContext, asked: Mapping[str, object], outcome: Mapping[str, object]
    ) -> None:
        """Write down that another system's data was imported, and how much of it there was."""
        async with self.action(context, Action.DATA_IMPORT, asked=asked) as entry:
            entry.write(outcome)

    async def bucket_moved(self, context: ActionContext, number: int, before: str, to: str) -> None:
        """Write down that a bucket is on another node of the cluster now; nodes as `host:port`."""
        about = About(subject=str(number))
        async with self.action(context, Action.BUCKET_MOVE, about, {"to": to}) as entry:
            entry.write({"from": before})

    async def rebalanced(
        self, context: ActionContext, moved: Mapping[str, tuple[str, str]], ended: str
    ) -> None:
        """Write down how a rebalancing ended, and which schemas it moved, from where to where."""
        async with self.action(context, Action.BUCKET_REBALANCE) as entry:
            ways = {schema: f"from {before} to {to}" for schema, (before, to) in moved.items()}
            entry.write({"ended": ended, **ways})

    async def _account_elsewhere(self, other: Owner | None, database: Database) -> int | None:
        """Of whom it is also about, if they live in another bucket.

        Asked before the transaction: who holds a connection to one bucket and waits for one to
        another may wait for somebody who does the opposite.
        """
        there = database if other is None else await self._buckets.of(other)
        if other is None or there is database:
            return None
        account_id: int | None = await there.fetchval(
            "SELECT account_id FROM accounts WHERE owner_kind = $1 AND owner_id = $2",
            other.kind,
            other.id,
        )
        return account_id


def _is_same(
    before: Mapping[str, Any], action: Action, about: About, elsewhere: int | None
) -> bool:
    """Whether what was done under the key is what is asked for now, of the same owners."""
    # What the action itself made could not be named when it was asked for.
    return (
        before["is_same"]
        and before["action"] == action
        and (about.owner is None or about.owner == owner_of(before))
        and (not about.subject or about.subject == before["subject"])
        and (
            about.other == other_of(before, {})
            if elsewhere is None
            else before["other_account_id"] == elsewhere
        )
    )


async def _done_under(
    database: Database, context: ActionContext, wanted: str
) -> Mapping[str, Any] | None:
    """What was done under the idempotency key, which is locked; None: nothing.

    `is_recent`: what is secret of it may be told again.
    """
    # By itself, as Citus lets no function that reads tables be joined to one on another node.
    found = await database.fetchrow(
        """SELECT f.*, f.asked = $2::jsonb AND f.request_id = $3 AS is_same
           FROM find_action($1) f WHERE f.action IS NOT NULL""",
        context.idempotency_key,
        wanted,
        context.request_id,
    )
    if found is None:
        return None
    about = await database.fetchrow(
        """SELECT NOT EXISTS (SELECT FROM audit_log l WHERE l.idempotency_key = $1
                   AND l.acted_at < now() - make_interval(secs => $2)) AS is_recent,
               a.owner_kind, a.owner_id, b.owner_kind AS other_kind, b.owner_id AS other_id
           FROM (SELECT) one
           LEFT JOIN accounts a ON a.account_id = $3
           LEFT JOIN accounts b ON b.account_id = $4""",
        context.idempotency_key,
        AGAIN_SECONDS_MAX,
        found["account_id"],
        found["other_account_id"],
    )
    return None if about is None else {**found, **about}


async def _write(
    entry: ActionEntry, context: ActionContext, action: Action, asked: str, outcome: str
) -> None:
    about = entry.about
    other = about.other if entry.account_elsewhere is None else None
    await entry.database.fetchval(
        "SELECT record_action($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        context.actor,
        context.door,
        action,
        context.reason,
        context.request_id,
        context.idempotency_key,
        about.owner and about.owner.kind.value,
        about.owner and about.owner.id,
        other and other.kind.value,
        other and other.id,
        about.subject,
        asked,
        outcome,
        entry.account_elsewhere,
    )


def _json(values: Mapping[str, object]) -> str:
    """Moments as in every answer, by ISO 8601 with a `Z`; what else JSON has not, by its text."""
    return json.dumps(values, default=_plain, sort_keys=True)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
