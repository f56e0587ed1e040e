"""What each type of event says: the `data` of its deliveries.

The docstring of a struct is what people read of its event: what happened, and when it is told.
Nothing personal is in any of them: ids and amounts. What stands beside whose it is was written by
the SQL function that told it (`sql/functions/events.sql`), and is sent as it is. A list of words
that may grow is no enum here: clients made from one refuse what they do not know.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

Moment = Annotated[datetime, Meta(tz=True)]
RequestId = Annotated[str, Meta(description="The request that did it: it names the movement.")]
Balance = Annotated[int, Meta(description="The credits that were left right after it.")]
SessionId = Annotated[UUID, Meta(description="The generation.")]
KeyId = Annotated[UUID, Meta(description="The key; never the key itself.")]
CreatedAt = Annotated[Moment, Meta(description="When it was created.")]
CompletedAt = Annotated[Moment, Meta(description="When it ended.")]


class OfStore(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event of a store."""

    store_id: Annotated[UUID, Meta(description="The store.")]


class OfOwner(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event of a store or of an end user; one of the two is named."""

    store_id: Annotated[
        UUID | UnsetType, Meta(description="The store; left out if it is an end user's.")
    ] = UNSET
    user_id: Annotated[
        UUID | UnsetType, Meta(description="The end user; left out if it is a store's.")
    ] = UNSET


class GenerationCompletedData(OfOwner, frozen=True, kw_only=True):
    """A generation has ended and its result is there to be fetched."""

    session_id: SessionId
    request_id: Annotated[str, Meta(description="The request that created it.")]
    credits_charged: Annotated[int, Meta(description="What it cost.")]
    created_at: CreatedAt
    completed_at: CompletedAt


class GenerationFailedData(OfOwner, frozen=True, kw_only=True):
    """A generation has failed for good; what it cost was given back in the same transaction."""

    session_id: SessionId
    request_id: Annotated[str, Meta(description="The request that created it.")]
    error_code: Annotated[str, Meta(description="Why, as `error_code` of the generation says it.")]
    credits_refunded: Annotated[int, Meta(description="What was given back: all that it cost.")]
    created_at: CreatedAt
    completed_at: CompletedAt


class CreditsLowData(OfOwner, frozen=True, kw_only=True):
    """The balance has fallen to the threshold or below it; told by the movement that crossed it.

    The threshold is the store's own or, unless it has one, a tenth of the last credits added,
    rounded up. It is told again only after the balance has been above it.
    """

    balance: Balance
    threshold: Annotated[int, Meta(description="At or below so many credits the balance is low.")]
    request_id: RequestId


class CreditsDepletedData(OfOwner, frozen=True, kw_only=True):
    """The balance has fallen to 0; told again only after there were credits."""

    balance: Annotated[int, Meta(description="0.")]
    request_id: RequestId


class CreditsAddedData(OfOwner, frozen=True, kw_only=True):
    """Credits were added: bought, paid for by a subscription, granted, or moved here.

    Credits that come back (a refund, the rest of a hold) are not told.
    """

    amount: Annotated[int, Meta(description="How many were added.")]
    type: Annotated[
        str,
        Meta(
            description="How, as the ledger calls it: `purchase`, `subscription`, `grant`, "
            "`signup_bonus`, `transfer_in`."
        ),
    ]
    kind: Annotated[str, Meta(description="What they are: `paid` or `promo`.")]
    expires_at: Annotated[Moment | None, Meta(description="When they expire; null: never.")]
    balance: Balance
    request_id: RequestId


class CreditsExpiringData(OfOwner, frozen=True, kw_only=True):
    """Credits will expire within `STORECREDIT_EXPIRING_NOTICE_DAYS` (7); told once per addition.

    It is looked for every hour, and of what is left then.
    """

    amount: Annotated[int, Meta(description="How many were left of them when this was told.")]
    expires_at: Annotated[Moment, Meta(description="When they expire.")]


class CreditsClawedBackData(OfOwner, frozen=True, kw_only=True):
    """Credits were taken back because their payment was given back."""

    amount: Annotated[int, Meta(description="How many were taken.")]
    balance: Balance
    request_id: RequestId


class HoldExpiredData(OfOwner, frozen=True, kw_only=True):
    """A hold's time was over before anybody captured or released it: its credits are back."""

    hold_id: Annotated[UUID, Meta(description="The hold.")]
    amount: Annotated[int, Meta(description="How many credits came back.")]
    balance: Balance
    request_id: Annotated[str, Meta(description="The request that made the hold.")]


class OverageStartedData(OfStore, frozen=True, kw_only=True):
    """The first credits beyond the balance were used since the last bill."""

    overage_used: Annotated[int, Meta(description="How many were used and are not billed yet.")]
    overage_limit: Annotated[int, Meta(description="How many the store may use.")]
    request_id: RequestId


class OverageLimitReachedData(OfStore, frozen=True, kw_only=True):
    """All that the store may use beyond its balance is used.

    More goes once it has bought credits, or the overage is billed.
    """

    overage_used: Annotated[int, Meta(description="How many were used and are not billed yet.")]
    overage_limit: Annotated[int, Meta(description="How many the store may use.")]
    request_id: RequestId


class OverageBilledData(OfStore, frozen=True, kw_only=True):
    """What was used beyond the balance was closed into a bill, which is charged next."""

    credits: Annotated[int, Meta(description="How many credits are on the bill.")]
    request_id: Annotated[str, Meta(description="Names the bill in the ledger.")]


class TopUpFailedData(OfStore, frozen=True, kw_only=True):
    """The store buys no credits by itself any more: its auto top-up is paused.

    It goes on when somebody switches it on again; after a decline also when the means of payment of
    the subscription was replaced. One that went well is told as `credits.added`.
    """

    reason: Annotated[
        str,
        Meta(
            description="`declined`: the means of payment was, and nothing was charged. "
            "`no_subscription`: the store has no subscription any more."
        ),
    ]
    request_id: Annotated[
        str | None, Meta(description="Names the top-up that was declined; else null.")
    ]
    credits: Annotated[int | None, Meta(description="How many it was to add; else null.")]
    amount: Annotated[
        int | None,
        Meta(description="For how much, in the currency's smallest unit, before tax; else null."),
    ]
    currency: Annotated[str | None, Meta(description="In which currency; else null.")]


class StoreSuspendedData(OfStore, frozen=True, kw_only=True):
    """The operator has suspended the store: its keys are refused until it is active again."""


class KeyCreatedData(OfStore, frozen=True, kw_only=True):
    """An API key was made for the store, or takes the place of another (rotation)."""

    key_id: KeyId
    expires_at: Annotated[Moment | None, Meta(description="When it expires; null: never.")]


class KeyRevokedData(OfStore, frozen=True, kw_only=True):
    """An API key of the store was revoked and is refused from now on, for ever."""

    key_id: KeyId


class EndpointDisabledData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint was given up and is told nothing any more; the others of its owner hear of it.

    What it misses is kept for 30 days, and can be resent once it is enabled.
    """

    store_id: Annotated[
        UUID | UnsetType, Meta(description="Whose it is; left out if it is the operator's.")
    ] = UNSET
    endpoint_id: Annotated[UUID, Meta(description="The endpoint.")]
    reason: Annotated[
        str,
        Meta(description="`gone`: it answered 410. `failing`: every attempt failed for five days."),
    ]


class WebhookTestData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody asked for a test of this endpoint; nothing else has happened."""

    store_id: Annotated[
        UUID | UnsetType, Meta(description="Whose it is; left out if it is the operator's.")
    ] = UNSET
    endpoint_id: Annotated[UUID, Meta(description="The endpoint that is tested.")]


class BillingProblemData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something about money needs the operator: `storecredit billing problems` says all of it.

    An event of the payment provider's was set aside, a payment went back of whose credits some were
    spent already, or the charge of an overage bill or of a top-up failed for the first time.
    """

    kind: Annotated[
        str, Meta(description="What it is about: `event`, `clawback`, `overage_bill` or `top_up`.")
    ]
    provider: Annotated[str, Meta(description="The payment provider.")]
    id: Annotated[
        str,
        Meta(
            description="The provider's event or adjustment; of an overage bill the first day of "
            "its month, of a top-up its request id."
        ),
    ]
    about: Annotated[
        str,
        Meta(
            description="The type of the event; what the adjustment was: `refund`, `chargeback`, …"
        ),
    ]
    store_id: Annotated[
        UUID | None,
        Meta(description="Of a clawback, an overage bill or a top-up: the store; else null."),
    ]


class VerifyFailedData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`storecredit verify` has found that the ledger does not agree with itself."""

    verified_at: Annotated[Moment, Meta(description="When it looked.")]
    discrepancies: Annotated[int, Meta(description="How many it found.")]
