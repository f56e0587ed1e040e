"""The OpenAPI document: made from the route table, served at /api/openapi.json, kept in docs/.

Hides what the framework cannot know of a route: the headers that every request may carry, and
the errors that are answered before its handler is reached.
"""

import importlib.metadata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from litestar import Litestar, get
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Components, SecurityScheme

from storecredit.web.envelope import STATUS, ErrorCode, ErrorEnvelope
from storecredit.web.parts import Parts

PATH: Final = "/api/openapi.json"
MEDIA_TYPE: Final = "application/vnd.oai.openapi+json"

_ALWAYS: Final = (
    ErrorCode.VALIDATION_ERROR,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.SERVICE_UNAVAILABLE,
)
_REQUEST_ID: Final = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "Names the request; echoed on its answer, made if it is not sent.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Takes the place of X-Request-Id. The same id is charged once, however often it "
    "is sent.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}


def public_errors(*codes: ErrorCode) -> dict[int, ResponseSpec]:
    """The error answers of an endpoint that anybody may ask."""
    of_status: dict[int, list[str]] = {}
    for code in (*codes, *_ALWAYS):
        of_status.setdefault(STATUS[code], []).append(code.value)
    return {
        status: ResponseSpec(ErrorEnvelope, description=" or ".join(names), generate_examples=False)
        for status, names in of_status.items()
    }


def operator_errors(*codes: ErrorCode) -> dict[int, ResponseSpec]:
    """The error answers of an endpoint that takes the operator's token."""
    return public_errors(*codes, ErrorCode.INVALID_API_KEY)


def store_errors(*codes: ErrorCode) -> dict[int, ResponseSpec]:
    """The error answers of an endpoint that takes a store's API key."""
    return operator_errors(
        *codes,
        ErrorCode.API_KEY_REVOKED,
        ErrorCode.API_KEY_EXPIRED,
        ErrorCode.STORE_SUSPENDED,
        ErrorCode.DOMAIN_MISMATCH,
        ErrorCode.RATE_LIMIT_EXCEEDED,
    )


def document(routes: Sequence[Any]) -> bytes:
    """The document of these routes: indented JSON, the same bytes at every call."""

    async def provide_parts() -> Parts:
        raise AssertionError("no handler runs to be described")

    described = Litestar(
        routes,
        dependencies={"parts": Provide(provide_parts)},
        openapi_config=_config(),
        logging_config=None,
    )
    schema = described.openapi_schema.to_schema()
    _add_headers(schema["paths"])
    return msgspec.json.format(msgspec.json.encode(schema, order="deterministic"), indent=2) + b"\n"


def document_handler(make: Callable[[], bytes]) -> HTTPRouteHandler:
    """Serves what `make` makes; made once, when somebody first asks."""
    made = cache(make)

    @get(PATH, media_type=MEDIA_TYPE, include_in_schema=False, sync_to_thread=True)
    def openapi_document() -> bytes:
        return made()

    return openapi_document


def _config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="storecredit",
        version=importlib.metadata.version("storecredit"),
        description="Prepaid credits for generations: one credit each, given back when it fails.",
        components=Components(
            security_schemes={
                "api_key": SecurityScheme(
                    type="http", scheme="bearer", description="A store's API key, sc_live_…"
                ),
                "admin_token": SecurityScheme(
                    type="http", scheme="bearer", description="STORECREDIT_ADMIN_TOKEN"
                ),
            }
        ),
    )


def _add_headers(paths: dict[str, dict[str, Any]]) -> None:
    """What every request may carry is read before any handler, so that no handler declares it."""
    for path, operations in paths.items():
        for operation in operations.values():
            parameters = operation.setdefault("parameters", [])
            if path.endswith(("/generation/create", "/billing/checkout")):
                parameters.append(_IDEMPOTENCY_KEY)
            parameters.append(_REQUEST_ID)
