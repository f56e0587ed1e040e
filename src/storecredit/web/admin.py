"""`/api/admin`: what the operator calls with the operator's token."""

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Annotated, Any, Final, assert_never
from uuid import UUID

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.params import Body, Parameter

from storecredit.ledger.outcomes import Addition, AdditionType, MovementType
from storecredit.ledger.store_credits import AMOUNT_MAX, MovementFilter
from storecredit.ledger.verify import verify as verify_ledger
from storecredit.stores.api_keys import ApiKey
from storecredit.stores.stores import Store
from storecredit.web.access import visit_of
from storecredit.web.b2b import (
    PAGE_DEFAULT,
    Cursor,
    GenerationPage,
    Limit,
    TransactionPage,
    generation_page,
    transaction_page,
    uuid_cursor,
)
from storecredit.web.envelope import Envelope, ErrorCode, Failure, invalid, not_found
from storecredit.web.parts import Parts

GRACE_SECONDS_MAX: Final = 30 * 24 * 3600

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Domain = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
Tier = Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
Amount = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]
RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Origins = Annotated[list[str], msgspec.Meta(max_length=100)]


class StoreBody(msgspec.Struct, frozen=True):
    """A store to make."""

    name: Name
    shop_domain: Domain
    tier: Tier = "default"
    credits: Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)] = 0
    allowed_origins: Origins = []


class StoreChange(msgspec.Struct, frozen=True):
    """What to change of a store; a field left out stays as it is."""

    name: Name | None = None
    shop_domain: Domain | None = None
    tier: Tier | None = None
    status: str | None = None
