"""`GET /api/v1/health`: whether the key works."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, get

from storecredit.web.http.envelope import Envelope
from storecredit.web.http.openapi import said, store_errors
from storecredit.web.http.visits import caller_of


class Health(msgspec.Struct, frozen=True):
    """The key works."""

    status: Annotated[str, said("`ok`")]
    store_id: Annotated[UUID, said("The store whose key it is.")]
    timestamp: datetime


@get("/health", summary="Check the key", operation_id="getHealth", responses=store_errors())
async def get_health(request: Request[Any, Any, Any]) -> Envelope[Health]:
    """The key works and the store is active."""
    return Envelope(Health("ok", caller_of(request.scope).store_id, datetime.now(UTC)))
