"""What is sent to spend credits or to give them back, and what is answered."""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from storecredit.ledger.credits import AMOUNT_MAX
from storecredit.ledger.outcomes import ChargedAs
from storecredit.ledger.spend_records import REFUNDS_MAX
from storecredit.ledger.spending import BATCH_MAX
from storecredit.web.http.bodies import Body
from storecredit.web.http.faults import Check, no_nul
from storecredit.web.http.openapi import said
from storecredit.web.http.request_ids import RequestId
from storecredit.web.resources.metadata import Metadata

DESCRIPTION_MAX: Final = 200

Amount = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX, description="How many credits.")]
Description = Annotated[
    Annotated[str, msgspec.Meta(max_length=DESCRIPTION_MAX), Check(no_nul)] | None,
    said("What for, as the ledger shows it."),
]


class SpendBody(Body, frozen=True):
    """Credits to take."""

    amount: Amount
    description: Description = None
    metadata: Metadata = None


class SpendItem(Body, frozen=True):
    """One spend of a batch; its request id makes it safe to send again."""

    request_id: Annotated[RequestId, said("Names the spend, as a key of its own would.")]
    amount: Amount
    description: Description = None
    metadata: Metadata = None


class SpendBatch(Body, frozen=True):
    """Spends, done in this order."""

    items: Annotated[
        list[SpendItem],
        msgspec.Meta(min_length=1, max_length=BATCH_MAX, description="The spends, in order."),
    ]


class RefundBody(Body, frozen=True):
    """What to give back of a spend."""

    amount: Annotated[Amount | None, said("How many credits; left out: all that is left.")] = None


class SpendMade(msgspec.Struct, frozen=True):
    """The credits were taken, or had been by this very request."""

    request_id: Annotated[str, said("The request id: the same one again is the same spend.")]
    amount: Annotated[int, said("How many were taken.")]
    balance: Annotated[int, said("The credits that are left.")]
    charged_as: Annotated[ChargedAs, said("`overage`: they were taken from beyond the balance.")]


class SpendAnswer(msgspec.Struct, frozen=True):
    """What became of one spend of a batch."""

    request_id: Annotated[str, said("The request id of the item.")]
    outcome: Annotated[
        Literal["spent", "replayed", "insufficient", "conflict"],
        said(
            "`spent`: the credits were taken. `replayed`: this very spend had been made, nothing "
            "was taken now. `insufficient`: the credits did not suffice; it may be sent again. "
            "`conflict`: the request id is another's; send a new one."
        ),
    ]
    amount: Annotated[int, said("As it was sent.")]
    balance: Annotated[int, said("The credits that were left after it.")]
    charged_as: Annotated[ChargedAs | None, said("As of a single spend; null: nothing was taken.")]


class SpendAnswers(msgspec.Struct, frozen=True):
    """What became of each spend of a batch, in the order in which they were sent."""

    items: list[SpendAnswer]


class RefundMade(msgspec.Struct, frozen=True):
    """A part of a spend was given back, or had been by this very request."""

    request_id: Annotated[str, said("The request id of the refund.")]
    spend_request_id: Annotated[str, said("The spend that it is of.")]
    amount: Annotated[int, said("How many credits were given back.")]
    refundable: Annotated[int, said("How many of the spend may still be given back.")]
    balance: Annotated[int, said("The credits that there are now.")]


class RefundView(msgspec.Struct, frozen=True):
    """A part of a spend that was given back."""

    request_id: Annotated[str, said("The request id of the refund.")]
    amount: Annotated[int, said("How many credits were given back.")]
    created_at: datetime


class SpendView(msgspec.Struct, frozen=True):
    """A spend, and what was given back of it."""

    request_id: Annotated[str, said("The request that made it.")]
    amount: Annotated[int, said("How many credits were taken.")]
    charged_as: Annotated[ChargedAs, said("`overage`: they were taken from beyond the balance.")]
    description: str
    metadata: Annotated[dict[str, str] | None, said("As it was sent.")]
    created_at: datetime
    refunded: Annotated[int, said("How many credits were given back, by all refunds.")]
    refundable: Annotated[int, said("How many may still be given back.")]
    refunds: Annotated[
        list[RefundView], said(f"Newest first, at most {REFUNDS_MAX}; the ledger has all of them.")
    ]
