"""`/health/live` and `/health/ready`: for load balancers and monitoring."""

import msgspec
from litestar import get
from litestar.di import NamedDependency

from storecredit.postgres.schema.schema_version import SchemaState, schema_state
from storecredit.web.http.envelope import Envelope, unavailable
from storecredit.web.http.openapi import public_errors
from storecredit.web.parts import Parts


class Status(msgspec.Struct, frozen=True):
    """A health answer."""

    status: str


@get(
    "/health/live",
    summary="Is the process up?",
    tags=["health"],
    operation_id="live",
    responses=public_errors(),
)
async def live() -> Envelope[Status]:
    """Answers as long as the process serves at all."""
    return Envelope(Status("ok"))


@get(
    "/health/ready",
    summary="Can it serve requests?",
    tags=["health"],
    operation_id="ready",
    responses=public_errors(),
)
async def ready(parts: NamedDependency[Parts]) -> Envelope[Status]:
    """200 when the database answers and is migrated; else 503."""
    async with parts.database.acquire() as connection:
        state = await schema_state(connection)
    match state:
        case SchemaState.CURRENT:
            return Envelope(Status("ok"))
        case SchemaState.OUTDATED | SchemaState.MISSING:
            raise unavailable("The database is not migrated: run `storecredit migrate`.")
