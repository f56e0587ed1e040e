"""Starts purchases: our own record first, then Paddle's transaction, then the two tied together.

What a buyer will get for a payment is decided here, from the catalogue, and kept in `checkouts`;
whatever Paddle tells later is compared with that record. A request id starts one checkout for ever:
sent again, also after a crash at any step, it gives the same checkout with the one transaction that
is attached to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from uuid_utils.compat import uuid7

from storecredit import telemetry
from storecredit.billing.catalogue import PAY_AS_YOU_GO, Catalogue
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.gateway import Paddle, PaddleRefused
from storecredit.billing.sales import Sale
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.servers import Record

log = telemetry.get_logger("billing.checkouts")


class PurchaseType(StrEnum):
    """What a checkout sells."""

    CREDITS = "credits"
    SUBSCRIPTION = "subscription"


@dataclass(frozen=True, slots=True)
class PlanOrder:
    """A store subscribes to a plan."""

    plan: str


@dataclass(frozen=True, slots=True)
class CreditsOrder:
    """A store buys so many credits at the price of one."""

    credits: int


@dataclass(frozen=True, slots=True)
class PackOrder:
    """A user buys a pack."""

    pack_id: str


Order = PlanOrder | CreditsOrder | PackOrder


@dataclass(frozen=True, slots=True)
class Opened:
    """The buyer can pay at `checkout_url`; amount in the currency's smallest unit, before tax.

    `replayed`: this very request had opened it before; its terms are those of then.
    """

    checkout_url: str
    transaction_id: str
    purchase_type: PurchaseType
    plan: str
    credits: int
    amount: int
    currency: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class RequestConflict:
    """The request id was used for another order, or has added credits by another way."""


@dataclass(frozen=True, slots=True)
class NotOnSale:
    """The order names nothing that is sold to this buyer; `message` says what is."""

    message: str


@dataclass(frozen=True, slots=True)
class AlreadySubscribed:
    """The store has a subscription that runs: a second one would be paid beside it."""


@dataclass(frozen=True, slots=True)
class UnknownBuyer:
    """There is no such store or user."""


@dataclass(frozen=True, slots=True)
class BillingOff:
    """No Paddle is configured."""


Start = Opened | RequestConflict | NotOnSale | AlreadySubscribed | UnknownBuyer | BillingOff


@dataclass(frozen=True, slots=True)
class Unsold:
    """A checkout that is recorded, and of which the provider knows nothing yet.

    `is_new`: recorded now, not by the same request before.
    """

    row: Record
    is_new: bool

    @property
    def checkout_id(self) -> UUID:
        """Names the checkout, in our record and at the provider."""
        checkout_id: UUID = self.row["checkout_id"]
        return checkout_id


@dataclass(frozen=True, slots=True)
class _Terms:
    purchase_type: PurchaseType
    plan: str
    credits: int
    amount: int
    currency: str
    rollover_max: int | None = None
    expires_after_days: int | None = None


class Checkouts:
    """Starts purchases for stores and users."""

    def __init__(self, buckets: Buckets, paddle: Paddle | None, catalogue: Catalogue) -> None:
        self._buckets = buckets
        self._paddle = paddle
        self._catalogue = catalogue

    async def start(self, owner: Owner, order: Order, request_id: str) -> Start:
        """Open a checkout, or find the one this request had opened.

        `request_id` has 1 to 200 characters. Raises DatabaseUnavailable; PaddleUnavailable and
        PaddleRefused: the same request may be sent again, and nothing was sold twice.
        """
        opened = await self.open(owner, order, request_id)
        return await self.sell(opened) if isinstance(opened, Unsold) else opened

    async def open(self, owner: Owner, order: Order, request_id: str) -> Unsold | Start:
        """What of `start` is ours: record what is to be sold. Raises DatabaseUnavailable."""
        if self._paddle is None:
            return BillingOff()
        terms = self._terms(owner, order)
        if isinstance(terms, NotOnSale):
            return terms
        row = await self._record(owner, terms, request_id)
        match row["outcome"]:
            case "used":
                return RequestConflict()
            case "subscribed":
                return AlreadySubscribed()
            case "unknown_buyer":
                return UnknownBuyer()
            case "replayed" if not _is_same_order(row, terms):
                return RequestConflict()
            case _ if row["provider_transaction_id"] is not None:
                return _opened(row, replayed=True)
            case outcome:
                return Unsold(row, is_new=outcome != "replayed")

    async def _record(self, owner: Owner, terms: _Terms, request_id: str) -> Record:
        database = await self._buckets.of(owner)
        row = await database.fetchrow(
            """SELECT o.outcome, (o.checkout).*, $2 AS owner_kind, $3::uuid AS owner_id
               FROM open_checkout(
                   $1, (SELECT a.account_id FROM accounts a
                        WHERE a.owner_kind = $2 AND a.owner_id = $3),
                   $4, $5, $6, $7, $8, $9, $10, $11, $12) o""",
            uuid7(),
            owner.kind.value,
            owner.id,
            PROVIDER,
            terms.purchase_type.value,
            terms.plan,
            terms.credits,
            terms.amount,
            terms.currency,
            request_id,
            terms.rollover_max,
            terms.expires_after_days,
        )
        assert row is not None, "open_checkout returns one row"
        return row

    async def sell(self, unsold: Unsold) -> Opened | NotOnSale | BillingOff:
        """Have Paddle make the transaction; of two made at once, the first is attached.

        Raises as `start`.
        """
        if self._paddle is None:
            return BillingOff()
        checkout = unsold.row
        try:
            made = await self._paddle.create_transaction(_sale(checkout))
        except PaddleRefused as refused:
            if not refused.is_too_little:
                raise
            # The catalogue's least charge is not the one that Paddle has for its currency.
            log.warning("catalogue_sells_too_little", plan=checkout["plan"], said=refused.detail)
            said = refused.detail.rstrip(".")
            return NotOnSale(f"Paddle charges nothing so small: {said}.")
        row = await self._buckets.of_account(checkout["account_id"]).fetchrow(
            "SELECT * FROM attach_checkout($1, $2, $3, $4)",
            checkout["checkout_id"],
            made.transaction_id,
            made.checkout_url,
            made.price_id,
        )
        assert row is not None, "attach_checkout returns one row"
        log.info(
            "checkout_opened",
            checkout_id=str(checkout["checkout_id"]),
            transaction_id=row["provider_transaction_id"],
            plan=row["plan"],
            credits=row["credits"],
        )
        return _opened(row, replayed=False)

    def _terms(self, owner: Owner, order: Order) -> _Terms | NotOnSale:
        match order:
            case PlanOrder(name) if owner.kind is OwnerKind.STORE:
                return self._terms_of_plan(name)
            case CreditsOrder(count) if owner.kind is OwnerKind.STORE:
                return self._terms_of_credits(count)
            case PackOrder(pack_id) if owner.kind is OwnerKind.USER:
                return self._terms_of_pack(pack_id)
            case PlanOrder() | CreditsOrder():
                return NotOnSale("Plans and single credits are sold to stores only.")
            case PackOrder():
                return NotOnSale("Packs are sold to users only.")
            case _:
                assert_never(order)

    def _terms_of_plan(self, name: str) -> _Terms | NotOnSale:
        plan = self._catalogue.plan(name)
        if plan is None:
            return _not_on_sale("plan", [plan.name for plan in self._catalogue.plans])
        return _Terms(
            *(PurchaseType.SUBSCRIPTION, plan.name, plan.credits, plan.amount, plan.currency),
            rollover_max=plan.rollover_max,
        )

    def _terms_of_credits(self, count: int) -> _Terms | NotOnSale:
        catalogue = self._catalogue
        if not catalogue.credits_min <= count <= catalogue.credits_max:
            least, most = catalogue.credits_min, catalogue.credits_max
            return NotOnSale(f"Credits are sold {least:,} to {most:,} at a time.")
        amount = count * catalogue.credit_unit_amount
        return _Terms(
            *(PurchaseType.CREDITS, PAY_AS_YOU_GO, count, amount, catalogue.currency),
            expires_after_days=catalogue.credits_expire_after_days,
        )

    def _terms_of_pack(self, pack_id: str) -> _Terms | NotOnSale:
        pack = self._catalogue.pack(pack_id)
        if pack is None:
            return _not_on_sale("pack", [pack.pack_id for pack in self._catalogue.packs])
        return _Terms(
            *(PurchaseType.CREDITS, pack.pack_id, pack.credits, pack.amount, pack.currency),
            expires_after_days=pack.expires_after_days,
        )


def _is_same_order(checkout: Record, terms: _Terms) -> bool:
    """Whether the buyer orders what they ordered before, whatever the catalogue said then."""
    named = (checkout["purchase_type"], checkout["plan"])
    if named != (terms.purchase_type.value, terms.plan):
        return False
    return terms.plan != PAY_AS_YOU_GO or checkout["credits"] == terms.credits


def _sale(checkout: Record) -> Sale:
    """What to ask of Paddle: the recorded terms, and custom data that names the record."""
    credits, amount = checkout["credits"], checkout["amount"]
    monthly = checkout["purchase_type"] == PurchaseType.SUBSCRIPTION
    by_the_credit = checkout["plan"] == PAY_AS_YOU_GO
    return Sale(
        description=f"{credits:,} credits a month" if monthly else f"{credits:,} credits",
        quantity=credits if by_the_credit else 1,
        unit_amount=amount // credits if by_the_credit else amount,
        currency=checkout["currency"],
        monthly=monthly,
        custom_data=_custom_data(checkout),
    )


def _custom_data(checkout: Record) -> dict[str, str]:
    return {
        "checkout_id": str(checkout["checkout_id"]),
        f"{checkout['owner_kind']}_id": str(checkout["owner_id"]),
        "purchase_type": checkout["purchase_type"],
        "credits": str(checkout["credits"]),
        "request_id": checkout["request_id"],
    }


def _opened(checkout: Record, *, replayed: bool) -> Opened:
    return Opened(
        checkout_url=checkout["checkout_url"],
        transaction_id=checkout["provider_transaction_id"],
        purchase_type=PurchaseType(checkout["purchase_type"]),
        plan=checkout["plan"],
        credits=checkout["credits"],
        amount=checkout["amount"],
        currency=checkout["currency"],
        replayed=replayed,
    )


def _not_on_sale(what: str, names: Sequence[str]) -> NotOnSale:
    return NotOnSale(f"There is no such {what}; there are: {', '.join(names) or 'none'}.")


def owner_of(row: Record) -> Owner:
    """Whose account it is, of a row that has its `owner_kind` and `owner_id`."""
    return Owner(OwnerKind(row["owner_kind"]), row["owner_id"])
