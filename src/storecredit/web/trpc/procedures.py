"""What end users can call, by the names the app knows: their credits, and their generations.

Parse, one call, one row of the table: as `store_api/` is for stores. Names and forms of inputs and
results are the app's; it is `answers.py` that knows how they travel.
"""

from collections.abc import Mapping
from typing import Final, assert_never
from uuid import UUID, uuid5

from msgspec import UNSET

from storecredit.billing import checkouts
from storecredit.generation.endings import WAIT_MAX_SECONDS
from storecredit.generation.image_forms import READABLE
from storecredit.generation.sessions import SessionStatus
from storecredit.ledger.credits import Movement
from storecredit.ledger.outcomes import MovementType
from storecredit.web.trpc.calls import Kind, Procedure
from storecredit.web.trpc.errors import TrpcCode, TrpcError, bad_request
from storecredit.web.trpc.generation_procedures import (
    create_generation,
    get_generation,
    get_history,
    get_stats,
    on_end,
)
from storecredit.web.trpc.inputs import (
    about,
    choice,
    fields,
    integer,
    items,
    maybe,
    otherwise,
    record,
    string,
    uuid,
)
from storecredit.web.trpc.procedure_views import (
    BalanceView,
    Checkout,
    ExpiringView,
    PackView,
    TransactionView,
    shown_to_users,
)
from storecredit.web.trpc.user_calls import Caller, conflict

TRANSACTIONS_MAX: Final = 100
TRANSACTIONS_DEFAULT: Final = 50
HISTORY_MAX: Final = 50
HISTORY_DEFAULT: Final = 20
TAKING: Final = frozenset(
    {
        MovementType.DEDUCTION,
        MovementType.CLAWBACK,
        MovementType.HOLD,
        MovementType.EXPIRY,
        MovementType.REMOVAL,
        MovementType.TRANSFER_OUT,
    }
)
"""The movements that take credits: the app shows their amounts below zero."""
NEUTRAL: Final = frozenset({MovementType.CAPTURE, MovementType.ROLLOVER, MovementType.REISSUE})
"""The movements that leave the balance as it is: the app shows their amounts as 0."""


def _signed(movement: Movement) -> int:
    if movement.type in NEUTRAL:
        return 0
    return -movement.amount if movement.type in TAKING else movement.amount


async def get_balance(caller: Caller, _input: None) -> BalanceView:
    """The user's credits now; if they cannot be read, an error, never a made-up zero."""
    credits = await caller.parts.credits.balance(caller.owner)
    expiring = [ExpiringView(each.amount, each.expires_at) for each in credits.expiring]
    return BalanceView(
        credits.balance,
        credits.total_added,
        credits.total_spent,
        credits.moved_at,
        held=credits.held or UNSET,
        expiring=expiring or UNSET,
    )


async def get_transactions(caller: Caller, page: dict[str, int]) -> list[TransactionView]:
    """The user's ledger, newest first."""
    movements = await caller.parts.credits.movements_from(
        caller.owner, limit=page["limit"], offset=page["offset"]
    )
    return [_transaction(caller.owner.id, movement) for movement in movements]


def _transaction(user_id: UUID, movement: Movement) -> TransactionView:
    """The ledger numbers a user's rows; the app wants an id of each, the same every time."""
    return TransactionView(
        id=uuid5(user_id, str(movement.seq)),
        amount=_signed(movement),
        type=shown_to_users(movement.type),
        description=movement.description,
        created_at=movement.created_at,
    )


async def get_packs(caller: Caller, _input: None) -> list[PackView]:
    """The packs on sale."""
    return [
        PackView(pack.pack_id, pack.name, pack.credits, pack.amount, pack.currency)
        for pack in caller.parts.catalogue.packs
    ]


async def purchase(caller: Caller, asked: dict[str, str]) -> Checkout:
    """Open a checkout for a pack; the request id makes a retry the same checkout."""
    order = checkouts.PackOrder(asked["packId"])
    outcome = await caller.parts.checkouts.start(caller.owner, order, caller.request_id)
    match outcome:
        case checkouts.Opened(checkout_url, transaction_id):
            return Checkout(checkout_url, transaction_id)
        case checkouts.NotOnSale(message):
            raise bad_request(message)
        case checkouts.RequestConflict():
            raise conflict("Nothing was sold")
        case checkouts.BillingOff():
            raise TrpcError(
                TrpcCode.PRECONDITION_FAILED, "Purchases are off: no payment provider is set up."
            )
        case checkouts.UnknownBuyer() | checkouts.AlreadySubscribed():
            raise AssertionError("a user's first call makes the account; users do not subscribe")
        case _:
            assert_never(outcome)


IMAGE: Final = about(f"a {READABLE} image, as https, http or data URL", string)
NO_SUCH_GENERATION: Final = {TrpcCode.NOT_FOUND: "the user has no such generation"}
USED_ID: Final = "the request id was used for another request; nothing was done"

ERRORS: Final[Mapping[TrpcCode, str]] = {
    TrpcCode.BAD_REQUEST: "the request or its input is not as described here. Where fields are "
    "missing, of another type or out of bounds, the message is zod's list of issues, as JSON; what "
    "else is wrong (an image that cannot be used, a pack that is not sold) is told in a sentence",
    TrpcCode.UNAUTHORIZED: "no valid token: sign in again",
    TrpcCode.FORBIDDEN: "the user is blocked; nothing was done",
    TrpcCode.NOT_FOUND: "there is no such procedure, or the service cannot tell users apart",
    TrpcCode.PAYLOAD_TOO_LARGE: "the body is too large",
    TrpcCode.UNSUPPORTED_MEDIA_TYPE: "the body is no JSON (FormData, a file)",
    TrpcCode.METHOD_NOT_SUPPORTED: "a mutation was called as a query, or what is no "
    "subscription as one",
    TrpcCode.INTERNAL_SERVER_ERROR: "a mistake of ours, and in the log",
    TrpcCode.SERVICE_UNAVAILABLE: "not now: send it again with the same request id",
}
"""What can come of any procedure beside its own."""

PROCEDURES: Final[Mapping[str, Procedure[Caller]]] = {
    "credits.getBalance": Procedure(Kind.QUERY, get_balance),
    "credits.getTransactions": Procedure(
        Kind.QUERY,
        get_transactions,
        otherwise(
            {},
            fields(
                limit=otherwise(TRANSACTIONS_DEFAULT, integer(1, TRANSACTIONS_MAX)),
                offset=otherwise(0, integer(0)),
            ),
        ),
    ),
    "credits.getPacks": Procedure(Kind.QUERY, get_packs),
    "credits.purchase": Procedure(
        Kind.MUTATION,
        purchase,
        fields(packId=about("the id of a pack that credits.getPacks lists", string)),
        {
            TrpcCode.CONFLICT: USED_ID,
            TrpcCode.PRECONDITION_FAILED: "nothing is sold here: no payment provider is set up",
        },
    ),
    "generation.create": Procedure(
        Kind.MUTATION,
        create_generation,
        fields(
            modelImageUrl=IMAGE,
            outfitImageUrl=maybe(IMAGE),
            accessories=maybe(items(fields(type=about("what it is", string), url=IMAGE))),
            options=maybe(about("names and values of the operator's price list", record(string))),
        ),
        {
            TrpcCode.PAYMENT_REQUIRED: "the credits that are left do not suffice; nothing was done",
            TrpcCode.CONFLICT: USED_ID,
        },
    ),
    "generation.getById": Procedure(
        Kind.QUERY,
        get_generation,
        fields(
            sessionId=uuid,
            wait=maybe(about("seconds to wait for its end", integer(0, WAIT_MAX_SECONDS))),
        ),
        NO_SUCH_GENERATION,
    ),
    "generation.getHistory": Procedure(
        Kind.QUERY,
        get_history,
        otherwise(
            {},
            fields(
                limit=otherwise(HISTORY_DEFAULT, integer(1, HISTORY_MAX)),
                offset=otherwise(0, integer(0)),
                status=maybe(choice(*SessionStatus)),
            ),
        ),
    ),
    "generation.getStats": Procedure(Kind.QUERY, get_stats),
    "generation.onEnd": Procedure(
        Kind.SUBSCRIPTION,
        on_end,
        fields(
            sessionId=uuid,
            lastEventId=maybe(about("the client's own: the last event it has had", string)),
        ),
        NO_SUCH_GENERATION,
    ),
}
"""Every procedure: its kind, what its input must be (None: none is looked at), what it does, and
the errors of its own. The published types and the page about them are made of this table."""
