"""What end users can call, by the names the app knows: their credits, and their generations.

Parse, one call, one row of the table: as `b2b.py` is for stores. Names and forms of inputs and
results are the app's; it is `trpc.py` that knows how they travel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never
from uuid import UUID, uuid5

from msgspec import UNSET

from storecredit.billing import checkouts
from storecredit.generation.image_forms import READABLE
from storecredit.generation.image_sources import refusal
from storecredit.generation.lifecycle import (
    Created,
    GenerationInput,
    InsufficientCredits,
    Replayed,
    RequestConflict,
)
from storecredit.generation.sessions import Session, SessionStatus
from storecredit.ledger.credits import Movement
from storecredit.ledger.outcomes import MovementType
from storecredit.ledger.owners import Account, Owner
from storecredit.web.b2b import IMAGES_MAX, METADATA_TEXT_MAX
from storecredit.web.generation_options import OptionsRefused, price_of
from storecredit.web.generation_views import result_url
from storecredit.web.parts import Parts
from storecredit.web.procedure_views import (
    BalanceView,
    Checkout,
    ExpiringView,
    GenerationQueued,
    GenerationView,
    PackView,
    StatsView,
    TransactionView,
    shown_to_users,
)
from storecredit.web.trpc_calls import Kind, Procedure
from storecredit.web.trpc_errors import TrpcCode, TrpcError, bad_request
from storecredit.web.trpc_inputs import (
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


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, under which request id, and what there is to answer with."""

    account: Account
    request_id: str
    parts: Parts
    link_base: str

    @property
    def owner(self) -> Owner:
        """Whose the account is."""
        return self.account.owner


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
            raise _conflict("Nothing was sold")
        case checkouts.BillingOff():
            raise TrpcError(
                TrpcCode.PRECONDITION_FAILED, "Purchases are off: no payment provider is set up."
            )
        case checkouts.UnknownBuyer() | checkouts.AlreadySubscribed():
            raise AssertionError("a user's first call makes the account; users do not subscribe")
        case _:
            assert_never(outcome)


async def create_generation(caller: Caller, asked: dict[str, Any]) -> GenerationQueued:
    """Take what it costs and queue the generation; the request id makes a retry safe."""
    images = _images(asked)
    _check_images(images, caller.parts)
    options: dict[str, str] = asked["options"] or {}
    credits = await _price(caller, options)
    outcome = await caller.parts.lifecycle.create(
        caller.account,
        caller.request_id,
        GenerationInput(tuple(images.values()), options=options or UNSET),
        _accessory_types(asked),
        credits,
    )
    match outcome:
        case Created(session_id) | Replayed(session_id):
            return GenerationQueued(session_id)
        case InsufficientCredits(balance, required):
            raise TrpcError(
                TrpcCode.PAYMENT_REQUIRED,
                f"Insufficient credits: you have {balance}, and this needs {required}.",
            )
        case RequestConflict():
            raise _conflict("Nothing was charged")
        case _:
            assert_never(outcome)


async def _price(caller: Caller, options: dict[str, str]) -> int:
    priced = await price_of(caller.parts, caller.account.id, caller.request_id, options)
    if isinstance(priced, OptionsRefused):
        wrong = " ".join(f"{fault.key}: {fault.message}" for fault in priced.faults)
        raise bad_request(f"{wrong} Nothing was charged.")
    return priced


def _conflict(effect: str) -> TrpcError:
    return TrpcError(
        TrpcCode.CONFLICT,
        f"This request id was used for another request. {effect}; send a new id.",
    )


def _images(asked: dict[str, Any]) -> dict[str, str]:
    """The image URLs by where they stood in the input: model, outfit, accessories."""
    outfit = asked["outfitImageUrl"]
    return (
        {"modelImageUrl": asked["modelImageUrl"]}
        | ({} if outfit is None else {"outfitImageUrl": outfit})
        | {
            f"accessories[{place}].url": accessory["url"]
            for place, accessory in enumerate(asked["accessories"] or ())
        }
    )


def _check_images(images: dict[str, str], parts: Parts) -> None:
    if len(images) > IMAGES_MAX:
        raise bad_request(f"More than {IMAGES_MAX} images. Nothing was charged.")
    for name, url in images.items():
        reason = refusal(
            url,
            allow_private_hosts=parts.settings.allow_private_hosts,
            max_bytes=parts.settings.image_max_bytes,
        )
        if reason is not None:
            raise bad_request(f"{name} {reason} Nothing was charged.")


def _accessory_types(asked: dict[str, Any]) -> dict[str, str] | None:
    """What the accessories are, kept with the session."""
    types = [accessory["type"] for accessory in asked["accessories"] or ()]
    if any(len(type_) > METADATA_TEXT_MAX for type_ in types):
        raise bad_request(f"An accessory's type is longer than {METADATA_TEXT_MAX} characters.")
    return {f"accessory_{number}": type_ for number, type_ in enumerate(types, start=1)} or None


async def get_generation(caller: Caller, asked: dict[str, str]) -> GenerationView:
    """One of the user's generations; another's is as absent as an unknown one."""
    session = await caller.parts.sessions.get(caller.account.id, UUID(asked["sessionId"]))
    if session is None:
        raise TrpcError(TrpcCode.NOT_FOUND, "There is no such generation.")
    return _generation(session, caller)


async def get_history(caller: Caller, asked: dict[str, Any]) -> list[GenerationView]:
    """The user's generations, newest first."""
    sessions = await caller.parts.sessions.history(
        caller.account.id,
        status=None if asked["status"] is None else SessionStatus(asked["status"]),
        limit=asked["limit"],
        offset=asked["offset"],
    )
    return [_generation(session, caller) for session in sessions]


def _generation(session: Session, caller: Caller) -> GenerationView:
    return GenerationView(
        id=session.session_id,
        status=session.status,
        result_url=result_url(session.result_key, caller.parts, caller.link_base),
        error_code=session.error_code,
        error_message=session.error_message,
        created_at=session.created_at,
        started_at=session.started_at,
        completed_at=session.completed_at,
    )


async def get_stats(caller: Caller, _input: None) -> StatsView:
    """How many generations the user has, by what became of them."""
    stats = await caller.parts.sessions.stats(caller.account.id)
    return StatsView(stats.total, stats.completed, stats.active, stats.failed)


IMAGE: Final = about(f"a {READABLE} image, as https, http or data URL", string)
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
    TrpcCode.METHOD_NOT_SUPPORTED: "a mutation was called as a query, or as a subscription",
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
        fields(sessionId=uuid),
        {TrpcCode.NOT_FOUND: "the user has no such generation"},
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
}
"""Every procedure: its kind, what its input must be (None: none is looked at), what it does, and
the errors of its own. The published types and the page about them are made of this table."""
