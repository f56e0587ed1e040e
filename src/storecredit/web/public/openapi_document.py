"""The OpenAPI document: made from the route table, served at /api/openapi.json, kept in docs/.

The framework describes what its handlers declare. Added here is what it cannot know (headers that
every request and answer may carry, bodies to try), and mended what client generators trip over:
long names, enums that list null, files.
"""

import importlib.metadata
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import Any, Final

import msgspec
from litestar import Litestar, get
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme, Tag

from storecredit.generation.endings import WAIT_MAX_SECONDS
from storecredit.ledger.outcomes import StoreMovementType
from storecredit.operator.audit import REASON_MAX
from storecredit.web.http.addresses import ADMIN, CREATE_PATH, KEYED_PATHS, MOVED_BELOW
from storecredit.web.http.envelope import ErrorCode
from storecredit.web.http.faults import missing, unknown_name
from storecredit.web.http.openapi import EXAMPLE, error_example
from storecredit.web.parts import Parts
from storecredit.web.public.openapi_events import documented_event_schemas, documented_events
from storecredit.web.resources.waiting import PREFER_MAX

PATH: Final = "/api/openapi.json"
MEDIA_TYPE: Final = "application/vnd.oai.openapi+json"

_TAGS: Final = {
    "stores": "What a store calls, with its API key.",
    "results": "Result images, by links that expire.",
    "operator": "What the operator of the service calls, with the admin token.",
    "webhooks": "What the payment provider calls.",
    "health": "For load balancers and monitoring.",
}
"""In the order in which people read them: stores first."""

# Stores know no other movements than a store's.
_PUBLISHED_AS: Final = {StoreMovementType.__name__: "MovementType"}
_READ_IN_ORDER: Final = (
    "openapi",
    "info",
    "servers",
    "tags",
    "paths",
    "webhooks",
    "components",
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
    "description": "Takes the place of X-Request-Id. What it names is done once, however often it "
    "is sent.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}
_ONCE: Final = {
    **_IDEMPOTENCY_KEY,
    "description": "Takes the place of X-Request-Id. What it names is done once: sent again, it is "
    "answered as before, with `Idempotent-Replayed`.",
}
_REASON: Final = {
    "name": "X-Request-Reason",
    "in": "header",
    "description": "Why; stands in the audit log.",
    "schema": {"type": "string", "maxLength": REASON_MAX},
}
_PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=30` (RFC 7240): answer when the generation has ended, or after so many "
    f"seconds, at most {WAIT_MAX_SECONDS}; `wait` alone: after so many. Other preferences are "
    "passed over.",
    "schema": {"type": "string", "maxLength": PREFER_MAX},
    "example": "wait=30",
}


_PARAMETERS: Final = {
    "store_id": "The store: its id, or its name or domain (in any case) if no other has the same.",
    "user_id": "The end user, by the subject of the token.",
    "key_id": "The API key.",
    "token_id": "The operator's token.",
    "session_id": "The generation, as its creation named it.",
    "problem_id": "The problem, as the list of problems names it.",
    "seq": "The grant, as the list of grants names it.",
    "event_id": "The payment provider's event, as the list of problems names it.",
    "transaction_id": "The payment, by the provider's id, as the list of problems names it.",
    "token": "What a generation's `result_url` ends with.",
    "status": "Only those of this status.",
    "action": "Only this action.",
    "type": "Only movements of this type.",
    "by": "A row for each day (of UTC), plan (a store's tier) or store; unless given, none.",
    "request_id": "Only what this request did.",
}
"""What a parameter means that its handler does not describe: the same one everywhere."""


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


_ANSWER_HEADERS: Final = {
    "X-Request-Id": _header("The request's id, sent or made; logs and ledger have it, too."),
    "Retry-After": _header("Seconds after which to try or to look again.", "integer"),
    "WWW-Authenticate": _header("`Bearer`: send a key or token."),
    "Idempotent-Replayed": _header(
        "`true`: this request was answered before; nothing new is done."
    ),
    "X-Credits-Remaining": _header("The balance of whose credits they are.", "integer"),
    "Preference-Applied": _header("`wait=30`: it was waited for, so long at most."),
    "Location": _header("The address of what was made (a URI reference: RFC 9110, 10.2.2)."),
    "X-Next-Cursor": _header("Of a page of CSV: `next_cursor`, which CSV has no place for."),
    "Content-Disposition": _header("Of a whole file: its name."),
    "X-RateLimit-Limit": _header("Requests in the window that is nearest to its end.", "integer"),
    "X-RateLimit-Remaining": _header("How many of them are left.", "integer"),
    "X-RateLimit-Reset": _header("When that window begins anew, in Unix seconds.", "integer"),
    "RateLimit-Policy": _header("All windows: draft-ietf-httpapi-ratelimit-headers."),
    "RateLimit": _header("The nearest window: draft-ietf-httpapi-ratelimit-headers."),
}
_RATE_LIMIT: Final = tuple(name for name in _ANSWER_HEADERS if "RateLimit" in name)
_OF_STATUS: Final = {
    "401": ("WWW-Authenticate",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
_BALANCE_KNOWN: Final = {
    "createGeneration": {"200", "201", "402"},
    "createHold": {"200", "201", "402"},
    "createUserHold": {"200", "201", "402"},
    "captureHold": {"200"},
    "captureUserHold": {"200"},
    "releaseHold": {"200"},
    "releaseUserHold": {"200"},
    "extendHold": {"200"},
    "extendUserHold": {"200"},
    "spendCredits": {"200", "201", "402"},
    "spendCreditsInBatch": {"200"},
    "refundSpend": {"200", "201"},
    "spendUserCredits": {"200", "201", "402"},
    "refundUserSpend": {"200", "201"},
    "getBalance": {"200"},
    "listTransactions": {"200"},
    "listStoreTransactions": {"200"},
}
"""The answers that say how many credits are left, by operation."""
_OF_ANSWER: Final = {
    ("createGeneration", "200"): ("Location", "Preference-Applied"),
    ("createGeneration", "201"): ("Location", "Preference-Applied"),
    ("createHold", "200"): ("Location",),
    ("createHold", "201"): ("Location",),
    ("createUserHold", "200"): ("Location",),
    ("createUserHold", "201"): ("Location",),
    ("captureHold", "200"): ("Idempotent-Replayed",),
    ("captureUserHold", "200"): ("Idempotent-Replayed",),
    ("releaseHold", "200"): ("Idempotent-Replayed",),
    ("releaseUserHold", "200"): ("Idempotent-Replayed",),
    ("getGeneration", "200"): ("Retry-After",),
    ("spendCredits", "200"): ("Location",),
    ("spendCredits", "201"): ("Location",),
    ("spendUserCredits", "200"): ("Location",),
    ("spendUserCredits", "201"): ("Location",),
    ("createStore", "201"): ("Location",),
    ("listTransactions", "200"): ("X-Next-Cursor", "Content-Disposition"),
    ("listStoreTransactions", "200"): ("X-Next-Cursor", "Content-Disposition"),
}
"""What further answers carry, by operation and status."""
_AS_CSV: Final = frozenset({"listTransactions", "listStoreTransactions", "getReport"})
"""What is answered as CSV, too, to who asks for it. JSON stands first: clients take the first."""


def document(routes: Sequence[Any], *, published_elsewhere: Sequence[ModuleType]) -> bytes:
    """The document of these routes: indented JSON, the same bytes at every call.

    `published_elsewhere`: packages whose types may bear the names of types that stand in it.
    """

    async def provide_parts() -> Parts:
        raise AssertionError("no handler runs to be described")

    described = Litestar(
        routes,
        dependencies={"parts": Provide(provide_parts)},
        openapi_config=_config(),
        logging_config=None,
    )
    schema = described.openapi_schema.to_schema()
    schemas = schema["components"]["schemas"]
    _describe(schemas, tuple(f"{each.__name__}." for each in published_elsewhere))
    examples = _examples(described)
    for path, method, operation in _operations(schema["paths"]):
        _show_errors(operation, schemas)
        _add_parameters(path, method, operation)
        _let_body_be_left_out(operation)
        _add_answer_headers(operation)
        if operation["operationId"] in _AS_CSV:
            operation["responses"]["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}
        if operation["operationId"] in examples:
            [content] = operation["requestBody"]["content"].values()
            content["example"] = examples[operation["operationId"]]
    schema["webhooks"] = documented_events()
    of_events = documented_event_schemas()
    if twice := schemas.keys() & of_events.keys():
        raise ValueError(f"schemas of events and of the API have the same names: {twice}")
    schemas |= of_events
    schema["components"]["headers"] = _ANSWER_HEADERS
    in_order = {name: _mended(schema[name]) for name in _READ_IN_ORDER}
    # By the names that are read: the others say in which module a type stands.
    in_order["components"]["schemas"] = dict(sorted(in_order["components"]["schemas"].items()))
    return msgspec.json.format(msgspec.json.encode(in_order), indent=2) + b"\n"


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
        description="Prepaid credits, spent on whatever they are to pay for, and on generations, "
        "which give them back when they fail.",
        tags=[Tag(name, description) for name, description in _TAGS.items()],
        use_handler_docstrings=True,
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


def _operations(paths: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method in capitals, and operation."""
    for path, item in paths.items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def _examples(described: Litestar) -> dict[str, Any]:
    """The bodies that handlers show, by the operation's id."""
    handlers = (
        handler for route in described.routes for handler in getattr(route, "route_handlers", ())
    )
    return {
        handler.operation_id: handler.opt[EXAMPLE] for handler in handlers if EXAMPLE in handler.opt
    }


def _describe(schemas: dict[str, dict[str, Any]], elsewhere: tuple[str, ...]) -> None:
    """A schema says what its class's docstring says: the framework takes that of enums alone."""
    pending: list[type] = [msgspec.Struct]
    said: dict[str, str] = {}
    while pending:
        subclasses: list[type] = pending.pop().__subclasses__()
        pending += subclasses
        for each in subclasses:
            name = each.__name__
            if name in schemas and _is_ours(each) and not each.__module__.startswith(elsewhere):
                assert name not in said, f"two schemas are called {name}"
                said[name] = inspect.cleandoc(each.__doc__ or "")
    for name, schema in schemas.items():
        words = inspect.cleandoc(schema.get("description", "")) or said.get(name)
        if words:
            schema["description"] = words


def _is_ours(struct: type) -> bool:
    return struct.__module__.startswith("storecredit.")


def _show_errors(operation: dict[str, Any], schemas: dict[str, dict[str, Any]]) -> None:
    """Each error answer by its codes; the framework's own rendering drops null and adds an id."""
    details = [_fault_of(operation, schemas)]
    for answer in operation["responses"].values():
        for content in answer.get("content", {}).values():
            if shown := content.get("examples"):
                shown |= {code: error_example(ErrorCode(code), details) for code in shown}


def _fault_of(operation: dict[str, Any], schemas: dict[str, dict[str, Any]]) -> dict[str, str]:
    """A detail that this very operation could answer: a field left out, else a name not known."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        body = schemas.get(content["schema"].get("$ref", "").rpartition("/")[2], {})
        for name in body.get("required", ()):
            return missing(name, name).detail("body")
    parameters = operation.get("parameters", ())
    taken = {each["name"]: each for each in parameters if each["in"] == "query"}
    return unknown_name("colour", taken, "parameter", "colour").detail("query")


def _add_parameters(path: str, method: str, operation: dict[str, Any]) -> None:
    """What every request may carry is read before any handler, so that no handler declares it."""
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        if "description" not in parameter:
            parameter["description"] = _PARAMETERS[parameter["name"]]
    if method == "POST" and (path in KEYED_PATHS or path.startswith(MOVED_BELOW)):
        parameters.append(_IDEMPOTENCY_KEY)
    elif method != "GET" and path.startswith(f"{ADMIN}/"):
        # Secrets of webhook endpoints are made anew each time.
        parameters.extend([] if "/webhooks" in path else [_ONCE])
    is_apps = any(f"/{{user_id}}/{noun}" in path for noun in ("spend", "holds"))
    if method != "GET" and path.startswith(f"{ADMIN}/") and not is_apps:
        parameters.append(_REASON)
    if path == CREATE_PATH:
        parameters.append(_PREFER)
    parameters.append(_REQUEST_ID)


def _let_body_be_left_out(operation: dict[str, Any]) -> None:
    """A body that may be null may be left out; the framework says that it is required."""
    body = operation.get("requestBody", {})
    for content in body.get("content", {}).values():
        [schema, *others] = content["schema"].get("oneOf", [None])
        if others == [{"type": "null"}]:
            content["schema"] = schema
            body["required"] = False


def _add_answer_headers(operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    is_limited = "429" in answers
    for status, answer in answers.items():
        names = ["X-Request-Id", *_OF_STATUS.get(status, ())]
        if is_limited and status not in {"401", "403"}:
            names += _RATE_LIMIT
        if status == "200" and "201" in answers:
            names.append("Idempotent-Replayed")
        if status in _BALANCE_KNOWN.get(operation["operationId"], ()):
            names.append("X-Credits-Remaining")
        names += _OF_ANSWER.get((operation["operationId"], status), ())
        said = answer.setdefault("headers", {})
        said |= {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _mended(part: Any) -> Any:
    """A part of the document in the words that client generators understand.

    Short names; null beside an enum instead of in it; a file as OpenAPI 3.0 wrote it.
    """
    match part:
        case {"enum": [*values], "type": [*_], **words} if None in values:
            some = {"type": "string", "enum": [each for each in values if each is not None]}
            return {**words, "oneOf": [some, {"type": "null"}]}
        case {"application/octet-stream": {"schema": _}}:
            return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        case dict():
            return {_short(key): _mended(value) for key, value in part.items()}
        case list():
            return [_mended(value) for value in part]
        case str():
            return _short(part)
        case _:
            return part


def _short(name: str) -> str:
    """`Envelope_storecredit.web.b2b.Health_`, also in a reference, as `HealthEnvelope`."""
    start, found, rest = name.partition("Envelope_storecredit.")
    if found:
        return f"{start}{rest.rpartition('.')[2].removesuffix('_')}Envelope"
    path, slash, last = name.rpartition("/")
    return f"{path}{slash}{_PUBLISHED_AS.get(last, last)}"
