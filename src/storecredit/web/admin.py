"""`/api/admin`: what the operator calls with the operator's token."""

from datetime import datetime
from typing import Annotated, Any, Literal, assert_never
from uuid import UUID

import msgspec
from litestar import Request, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from storecredit.ledger.credits import AMOUNT_MAX, Balance
from storecredit.ledger.discrepancies import DiscrepancyKind
from storecredit.ledger.outcomes import Addition, AdditionType
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.ledger.verify import verify as verify_ledger
from storecredit.settings import Settings
from storecredit.stores.stores import Store
from storecredit.web.access import REQUEST_ID_MAX, is_request_id, visit_of
from storecredit.web.admin_keys import Origins, known_store, no_nul, refusing
from storecredit.web.bodies import Body
from storecredit.web.envelope import Envelope, ErrorCode, Failure, not_found
from storecredit.web.faults import Check, nearest
from storecredit.web.links import location
from storecredit.web.openapi import example, operator_errors
from storecredit.web.paging import (
    PAGE_DEFAULT,
    Limit,
    UuidCursor,
    uuid_cursor,
)
from storecredit.web.parts import Parts


def _tier_refusal(tier: str, settings: Settings) -> str | None:
    tiers = settings.rate_limits
    if tier in tiers:
        return None
    near = nearest(tier, tiers)
    known = f"There is no such tier; there are {', '.join(f'`{each}`' for each in tiers)}."
    return f"{known} Did you mean `{near}`?" if near else known


def _request_id_refusal(request_id: str, _settings: Settings) -> str | None:
    if is_request_id(request_id):
        return None
    return f"A request id has 1 to {REQUEST_ID_MAX} printable ASCII characters."


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200), Check(no_nul)]
Domain = Annotated[str, msgspec.Meta(min_length=1, max_length=253), Check(no_nul)]
Tier = Annotated[str, msgspec.Meta(min_length=1, max_length=50), Check(_tier_refusal)]
Status = Literal["active", "suspended"]
Credits = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)]
Amount = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]
RequestId = Annotated[
    str, msgspec.Meta(min_length=1, max_length=REQUEST_ID_MAX), Check(_request_id_refusal)
]
Description = Annotated[str, msgspec.Meta(max_length=500), Check(no_nul)]


class StoreBody(Body, frozen=True):
    """A store to make, with its opening credits and the origins its first key may be used from."""

    name: Name
    shop_domain: Domain
    tier: Tier = "default"
    credits: Credits = 0
    allowed_origins: Origins = msgspec.field(default_factory=list)


class StoreChange(Body, frozen=True):
    """What to change of a store; a field left out stays as it is."""

    name: Name | None = None
    shop_domain: Domain | None = None
    tier: Tier | None = None
    status: Status | None = None
    overage_limit: Credits | None = None


class CreditsBody(Body, frozen=True):
    """Credits to add, once per request id."""

    amount: Amount
    type: AdditionType
    request_id: RequestId
    description: Description = ""


class StoreView(msgspec.Struct, frozen=True):
    """A store and its credits."""

    store_id: UUID
    name: str
    shop_domain: str
    tier: str
    status: Status
    balance: int
    total_purchased: int
    total_spent: int
    total_clawed_back: int
    overage_used: int
    overage_limit: int
    created_at: datetime
    updated_at: datetime


class StoreMade(StoreView, frozen=True):
    """A new store; its first API key is shown this once."""

    api_key: str
    key_id: UUID


class StoreList(msgspec.Struct, frozen=True):
    """Stores, newest first."""

    items: list[StoreView]
    next_cursor: str | None


class CreditsAdded(msgspec.Struct, frozen=True):
    """Whether the credits were added now, or had been by this request id; the balance since."""

    added: bool
    balance: int
    request_id: str


class DiscrepancyView(msgspec.Struct, frozen=True):
    """One thing that does not add up, at a store or at an end user; the other is null.

    Both are null where no owner is known.
    """

    kind: DiscrepancyKind
    store_id: UUID | None
    user_id: UUID | None
    seq: int | None
    request_id: str | None
    session_id: UUID | None
    detail: str


class Verification(msgspec.Struct, frozen=True):
    """What was recomputed from the ledger, and what does not agree with it.

    `movements` and `sessions` are the stores'; the end users' are counted apart.
    """

    clean: bool
    stores: int
    movements: int
    sessions: int
    users: int
    user_movements: int
    user_sessions: int
    payments: int
    discrepancies: list[DiscrepancyView]
    truncated: bool


@post(
    "/stores",
    summary="Make a store",
    operation_id="createStore",
    responses=operator_errors(),
    **example(
        {"name": "Hats & Co", "shop_domain": "hats.example", "tier": "growth", "credits": 500}
    ),
)
async def create_store(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], data: JSONBody[StoreBody]
) -> Response[Envelope[StoreMade]]:
    """Makes the store, its account, its opening credits and its first API key."""
    with refusing():
        store = await parts.stores.create(
            name=data.name,
            shop_domain=data.shop_domain,
            tier=data.tier,
            credit_count=data.credits,
            request_id=visit_of(request.scope).request_id,
        )
        issued = await parts.api_keys.create(
            store.store_id, label="first key", allowed_origins=data.allowed_origins
        )
    if issued is None:
        raise not_found("store")
    view = await _read_store(parts, store)
    made = StoreMade(
        **msgspec.structs.asdict(view), api_key=issued.key, key_id=issued.api_key.key_id
    )
    address = location(f"/api/admin/stores/{store.store_id}", parts)
    return Response(Envelope(made), headers={"Location": address})


@get("/stores", summary="List stores", operation_id="listStores", responses=operator_errors())
async def list_stores(
    parts: NamedDependency[Parts], limit: Limit = PAGE_DEFAULT, cursor: UuidCursor = None
) -> Envelope[StoreList]:
    """All stores, newest first."""
    page = await parts.stores.list(limit, uuid_cursor(cursor))
    balances = await parts.credits.balances(
        OwnerKind.STORE, [store.store_id for store in page.items]
    )
    return Envelope(
        StoreList(
            [_store_view(store, balances[store.store_id]) for store in page.items],
            str(page.next_cursor) if page.next_cursor else None,
        )
    )


@get(
    "/stores/{store_id:uuid}",
    summary="Read a store",
    operation_id="getStore",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def get_store(parts: NamedDependency[Parts], store_id: FromPath[UUID]) -> Envelope[StoreView]:
    """A store and its credits."""
    return Envelope(await _read_store(parts, await known_store(parts, store_id)))


@patch(
    "/stores/{store_id:uuid}",
    summary="Change a store",
    operation_id="updateStore",
    responses=operator_errors(ErrorCode.NOT_FOUND),
    **example({"tier": "scale", "overage_limit": 100}),
)
async def update_store(
    parts: NamedDependency[Parts], store_id: FromPath[UUID], data: JSONBody[StoreChange]
) -> Envelope[StoreView]:
    """Changes what is given; suspending a store stops its keys within a second.

    `overage_limit` is what the store may use beyond its credits until the next bill; 0: nothing.
    """
    with refusing():
        store = await parts.stores.update(
            store_id,
            name=data.name,
            shop_domain=data.shop_domain,
            tier=data.tier,
            status=data.status,
        )
    if store is None:
        raise not_found("store")
    if data.overage_limit is not None:
        await parts.credits.set_overage_limit(store_id, data.overage_limit)
    return Envelope(await _read_store(parts, store))


@post(
    "/stores/{store_id:uuid}/credits",
    summary="Add credits",
    operation_id="addCredits",
    responses=operator_errors(ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_CONFLICT),
    **example({"amount": 100, "type": "grant", "request_id": "welcome-1001"}),
)
async def add_credits(
    parts: NamedDependency[Parts], store_id: FromPath[UUID], data: JSONBody[CreditsBody]
) -> Response[Envelope[CreditsAdded]]:
    """Adds credits once per request id; sending it again changes nothing."""
    outcome = await parts.credits.add(
        Owner.store(store_id), data.amount, data.type, data.request_id, data.description
    )
    match outcome:
        case Addition.ADDED | Addition.ALREADY_ADDED:
            credits = await parts.credits.balance(Owner.store(store_id))
            added = outcome is Addition.ADDED
            return Response(
                Envelope(CreditsAdded(added, credits.balance, data.request_id)),
                status_code=201 if added else 200,
                headers=None if added else {"Idempotent-Replayed": "true"},
            )
        case Addition.UNKNOWN_OWNER:
            raise not_found("store")
        case Addition.CONFLICT:
            raise Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "This request id added another amount or type before. Nothing was added now.",
            )
        case _:
            assert_never(outcome)


@get(
    "/verify", summary="Prove the ledger right", operation_id="verify", responses=operator_errors()
)
async def verify(parts: NamedDependency[Parts]) -> Envelope[Verification]:
    """Recomputes every balance, of stores and end users, and names each discrepancy."""
    report = await verify_ledger(parts.database)
    return Envelope(
        Verification(
            clean=report.clean,
            stores=report.stores,
            movements=report.movements,
            sessions=report.sessions,
            users=report.users,
            user_movements=report.user_movements,
            user_sessions=report.user_sessions,
            payments=report.payments,
            discrepancies=[
                msgspec.convert(found, DiscrepancyView, from_attributes=True)
                for found in report.discrepancies
            ],
            truncated=report.truncated,
        )
    )


async def _read_store(parts: Parts, store: Store) -> StoreView:
    return _store_view(store, await parts.credits.balance(Owner.store(store.store_id)))


def _store_view(store: Store, credits: Balance) -> StoreView:
    return StoreView(
        store_id=store.store_id,
        name=store.name,
        shop_domain=store.shop_domain,
        tier=store.tier,
        status=store.status,
        balance=credits.balance,
        total_purchased=credits.total_added,
        total_spent=credits.total_spent,
        total_clawed_back=credits.total_clawed_back,
        overage_used=credits.overage_used,
        overage_limit=credits.overage_limit,
        created_at=store.created_at,
        updated_at=store.updated_at,
    )
