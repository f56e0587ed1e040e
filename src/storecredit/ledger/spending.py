"""Credits spent on whatever the owner is sold, and given back, all at once or in parts.

Every step is one call of a SQL function; those of many callers share a transaction (group commit).
A batch of one caller is one transaction of its own: it is decided as a whole, and whoever spends
one by one meanwhile does not wait behind it in line.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

import msgspec

from storecredit.ledger.batches import actors, as_sent, ascending, fingerprint
from storecredit.ledger.outcomes import ChargedAs
from storecredit.ledger.owners import Account
from storecredit.ledger.spend_records import SpendRecord, read_spend
from storecredit.postgres.buckets import Buckets, bucket_of
from storecredit.postgres.group_commit import Bounds, GroupCommit
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.settings import Settings
from storecredit.telemetry import Metrics

BATCH_MAX: Final = 1000
"""Spends in one batch, at most."""
BATCHES_WAITING_MAX: Final = 100
"""Batches waiting for their transaction, at most: what is done well within a deadline."""


class Spend(msgspec.Struct, frozen=True):
    """What is to be taken, and why. The request id names it for ever.

    `actor`: the operator who takes it; None: the owner spends it itself.
    """

    request_id: str
    amount: int
    description: str = ""
    metadata: dict[str, str] | None = None
    actor: str | None = None


class Spent(msgspec.Struct, frozen=True):
    """The credits were taken, now or (`replayed`) by this very request before."""

    balance: int
    charged_as: ChargedAs
    replayed: bool = False


class Insufficient(msgspec.Struct, frozen=True):
    """Nothing was taken."""

    balance: int


class Conflict(msgspec.Struct, frozen=True):
    """The request id was used for something else; nothing was taken."""

    balance: int


SpendOutcome = Spent | Insufficient | Conflict


class Refunded(msgspec.Struct, frozen=True):
    """`amount` was given back, now or (`replayed`) by this very request before.

    `refundable` is what may still be given back of the spend.
    """

    amount: int
    refundable: int
    balance: int
    replayed: bool = False


class NoSpend(msgspec.Struct, frozen=True):
    """The account has no such spend."""


class ExceedsSpend(msgspec.Struct, frozen=True):
    """More than is left of the spend, or nothing is left; nothing was given back."""

    refundable: int


class RefundConflict(msgspec.Struct, frozen=True):
    """The refund's request id was used for something else; nothing was given back."""


RefundOutcome = Refunded | NoSpend | ExceedsSpend | RefundConflict


class _Item(msgspec.Struct, frozen=True):
    account_id: int
    spend: Spend
    fingerprint: bytes

    @classmethod
    def of(cls, account: Account, spend: Spend) -> "_Item":
        content = fingerprint(spend.amount, spend.description, spend.metadata)
        return cls(account.id, spend, content)

    @property
    def actor(self) -> str | None:
        return self.spend.actor


class _Refund(msgspec.Struct, frozen=True):
    account_id: int
    spend_request_id: str
    request_id: str
    amount: int | None
    actor: str | None


class _Commits:
    """The steps of one bucket's spends, each a group commit."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        many = Bounds.of(settings)
        self.spends: GroupCommit[_Item, SpendOutcome] = GroupCommit(
            "spend", database, _spend_all, many, metrics
        )
        whole = replace(many, batch_max=1, waiting_max=BATCHES_WAITING_MAX)
        self.batches: GroupCommit[Sequence[_Item], Sequence[SpendOutcome]] = GroupCommit(
            "spend_batch", database, _spend_batches, whole, metrics
        )
        self.refunds: GroupCommit[_Refund, RefundOutcome] = GroupCommit(
            "refund", database, _refund_all, Bounds.of(settings, lanes=1), metrics
        )
        self.all = (self.spends, self.batches, self.refunds)


class Spending:
    """Spends, refunds and reads spends. `open()` before use, `close()` after."""

    def __init__(self, buckets: Buckets, settings: Settings, metrics: Metrics) -> None:
        self._buckets = buckets
        self._metrics = metrics
        self._commits = [_Commits(database, settings, metrics) for database in buckets.all]

    async def open(self) -> None:
        """Begin to serve; what nobody asks for opens no connection."""
        for commits in self._commits:
            for commit in commits.all:
                await commit.start()

    async def close(self) -> None:
        """Finish what is under way, then end."""
        await asyncio.gather(*(commit.stop() for each in self._commits for commit in each.all))

    async def spend(self, account: Account, spend: Spend) -> SpendOutcome:
        """Take credits; the same request id answers as the first time.

        Raises WaitingLineFull, OutcomeUnknown, DatabaseUnavailable.
        """
        outcome = await self._of(account).spends.submit(account.id, _Item.of(account, spend))
        self._count(spend, outcome)
        return outcome

    async def spend_many(self, account: Account, spends: Sequence[Spend]) -> list[SpendOutcome]:
        """Take credits for 1 to `BATCH_MAX` spends in their order, in one transaction.

        Each has its own outcome: what the credits do not suffice for keeps back none of the others.
        Raises like `spend`, and nothing is known of any of them then.
        """
        if not 1 <= len(spends) <= BATCH_MAX:
            raise ValueError(f"a batch has 1 to {BATCH_MAX} spends, not {len(spends)}")
        items = [_Item.of(account, spend) for spend in spends]
        outcomes = _told_apart(items, await self._of(account).batches.submit(account.id, items))
        for spend, outcome in zip(spends, outcomes, strict=True):
            self._count(spend, outcome)
        return outcomes

    async def refund(
        self,
        account: Account,
        spend_request_id: str,
        request_id: str,
        amount: int | None,
        actor: str | None = None,
    ) -> RefundOutcome:
        """Give back `amount` of a spend, None: all that is left; once per request id.

        `actor`: the operator who gives it back, if not the owner. Raises like `spend`.
        """
        refund = _Refund(account.id, spend_request_id, request_id, amount, actor)
        outcome = await self._of(account).refunds.submit(account.id, refund)
        if isinstance(outcome, Refunded) and not outcome.replayed:
            self._metrics.credits_refunded.inc(outcome.amount)
        return outcome

    async def read(self, account: Account, request_id: str) -> SpendRecord | None:
        """A spend, and what was given back of it; None: the account has no such spend."""
        return await read_spend(self._buckets.of_account(account.id), account.id, request_id)

    def _count(self, spend: Spend, outcome: SpendOutcome) -> None:
        match outcome:
            case Spent(replayed=False):
                self._metrics.credits_deducted.inc(spend.amount)
            case Insufficient():
                self._metrics.credits_refused.inc()
            case Spent() | Conflict():
                pass
            case _:
                assert_never(outcome)

    def _of(self, account: Account) -> _Commits:
        return self._commits[bucket_of(account.id)]


def _told_apart(items: Sequence[_Item], outcomes: Sequence[SpendOutcome]) -> list[SpendOutcome]:
    """An id that a batch has for two things is refused the second time, paid or not."""
    content: dict[str, bytes] = {}
    told = list(outcomes)
    for place, (item, outcome) in enumerate(zip(items, outcomes, strict=True)):
        first = content.setdefault(item.spend.request_id, item.fingerprint)
        if isinstance(outcome, Insufficient) and first != item.fingerprint:
            told[place] = Conflict(outcome.balance)
    return told


async def _spend_all(connection: Connection, items: Sequence[_Item]) -> list[SpendOutcome]:
    places = ascending([item.account_id for item in items])
    ordered = [items[place] for place in places]
    row = await connection.fetchrow(
        "SELECT * FROM spend_credits($1, $2, $3, $4, $5, $6, $7)",
        [item.account_id for item in ordered],
        [item.spend.amount for item in ordered],
        [item.spend.request_id for item in ordered],
        [item.fingerprint for item in ordered],
        [item.spend.description for item in ordered],
        [_json(item.spend.metadata) for item in ordered],
        actors(ordered),
    )
    if row is None:
        raise AssertionError("spending has one answer")
    answers = map(_spend_outcome, row["outcomes"], row["balances"], row["charged_as"])
    return as_sent(places, list(answers))


async def _spend_batches(
    connection: Connection, batches: Sequence[Sequence[_Item]]
) -> list[Sequence[SpendOutcome]]:
    outcomes = iter(await _spend_all(connection, [item for batch in batches for item in batch]))
    return [[next(outcomes) for _ in batch] for batch in batches]


def _json(metadata: dict[str, str] | None) -> str | None:
    return None if metadata is None else msgspec.json.encode(metadata).decode()


def _spend_outcome(outcome: str, balance: int, charged_as: ChargedAs) -> SpendOutcome:
    match outcome:
        case "spent":
            return Spent(balance, charged_as)
        case "replayed":
            return Spent(balance, charged_as, replayed=True)
        case "insufficient":
            return Insufficient(balance)
        case "conflict":
            return Conflict(balance)
        case other:
            raise AssertionError(f"spending answered {other!r}")


async def _refund_all(connection: Connection, items: Sequence[_Refund]) -> list[RefundOutcome]:
    places = ascending([item.account_id for item in items])
    ordered = [items[place] for place in places]
    row = await connection.fetchrow(
        "SELECT * FROM refund_spends($1, $2, $3, $4, $5)",
        [item.account_id for item in ordered],
        [item.spend_request_id for item in ordered],
        [item.request_id for item in ordered],
        [item.amount for item in ordered],
        actors(ordered),
    )
    if row is None:
        raise AssertionError("refunding spends has one answer")
    answers = map(
        _refund_outcome, row["outcomes"], row["amounts"], row["refundables"], row["balances"]
    )
    return as_sent(places, list(answers))


def _refund_outcome(outcome: str, amount: int, refundable: int, balance: int) -> RefundOutcome:
    match outcome:
        case "refunded":
            return Refunded(amount, refundable, balance)
        case "replayed":
            return Refunded(amount, refundable, balance, replayed=True)
        case "no_spend":
            return NoSpend()
        case "exceeds_spend":
            return ExceedsSpend(refundable)
        case "conflict":
            return RefundConflict()
        case other:
            raise AssertionError(f"refunding a spend answered {other!r}")
