"""What needs no key: health, metrics, signed result links, the API's documentation."""

from pathlib import Path
from typing import Final

import msgspec
from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.response import File
from prometheus_client import CONTENT_TYPE_LATEST

from storecredit.postgres.schema.schema_version import SchemaState, schema_state
from storecredit.web.http.envelope import Envelope, ErrorCode, not_found, unavailable
from storecredit.web.http.openapi import public_errors
from storecredit.web.parts import Parts
from storecredit.web.trpc.router_types import module

DOCS_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>storecredit API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/api/docs/swagger-ui.css">
</head>
<body>
<nav style="padding: 1em; font: 1em sans-serif">
<a href="/api/docs">For stores</a> · <a href="/api/docs/operator">For the operator</a> ·
<a href="/api/openapi.json">openapi.json</a>
</nav>
<div id="docs"></div>
<script src="/api/docs/swagger-ui-bundle.js"></script>
<script>
const shown = {shown};
const scheme = {scheme};
fetch("/api/openapi.json").then((answer) => answer.json()).then((spec) => {
  for (const [path, operations] of Object.entries(spec.paths)) {
    const [operation] = Object.values(operations);
    if (!operation.tags.some((tag) => shown.includes(tag))) delete spec.paths[path];
  }
  spec.tags = spec.tags.filter((tag) => shown.includes(tag.name));
  for (const name of Object.keys(spec.components.securitySchemes)) {
    if (name !== scheme) delete spec.components.securitySchemes[name];
  }
  SwaggerUIBundle({
    spec, dom_id: "#docs", tryItOutEnabled: true, persistAuthorization: true,
    defaultModelsExpandDepth: -1,
  });
});
</script>
</body>
</html>
"""
DOCS_PARTS: Final = {
    "stores": ("stores", "results"),
    "operator": ("operator", "webhooks", "health"),
}
"""What each page shows, by the tags of the operations: a store sees nothing of the operator's."""
DOCS_SCHEMES: Final = {"stores": "api_key", "operator": "admin_token"}
"""What the reader of each page authorizes with."""
DOCS_ASSETS: Final = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
}


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


@get("/metrics", summary="Prometheus metrics", tags=["health"], include_in_schema=False)
async def metrics(parts: NamedDependency[Parts]) -> Response[bytes]:
    """The service's metrics in Prometheus' text format; those of the database while it answers."""
    # The framework adds the character set to text of any kind; said twice, the header is broken.
    media_type = CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8")
    return Response(parts.metrics.exposition(await parts.gauges.read()), media_type=media_type)


@get(
    "/results/{token:str}",
    summary="Fetch a result image",
    tags=["results"],
    operation_id="getResult",
    responses={
        200: ResponseSpec(
            bytes,
            description="The image; its Content-Type says whether PNG, JPEG or WebP",
            # The one media type under which client generators keep bytes as they are.
            media_type="application/octet-stream",
            generate_examples=False,
        ),
        **public_errors(ErrorCode.NOT_FOUND),
    },
)
async def result(parts: NamedDependency[Parts], token: FromPath[str]) -> Response[bytes]:
    """The image behind a signed link, until the link or the result's retention is over."""
    key = parts.results.verify(token)
    image = await parts.results.load(key) if key is not None else None
    if image is None:
        raise not_found("result, or its link has expired: read the generation for a new link")
    return Response(
        image.content,
        media_type=image.media_type,
        headers={"Cache-Control": "private", "X-Content-Type-Options": "nosniff"},
    )


@get("/api/trpc.d.ts", media_type=MediaType.TEXT, include_in_schema=False)
async def trpc_types() -> str:
    """The types of `/api/trpc` for an app's compiler, as in docs/trpc.d.ts."""
    return module()


@get("/api/docs", media_type=MediaType.HTML, include_in_schema=False)
async def docs() -> str:
    """The API's documentation for stores, as a page; all of it served from here."""
    return _docs_page("stores")


@get("/api/docs/operator", media_type=MediaType.HTML, include_in_schema=False)
async def operator_docs() -> str:
    """The operator's part of the API."""
    return _docs_page("operator")


def _docs_page(part: str) -> str:
    page = DOCS_PAGE.replace("{shown}", msgspec.json.encode(DOCS_PARTS[part]).decode())
    return page.replace("{scheme}", msgspec.json.encode(DOCS_SCHEMES[part]).decode())


@get("/api/docs/{name:str}", include_in_schema=False)
async def docs_asset(name: FromPath[str]) -> File:
    """A file of the documentation page."""
    if name not in DOCS_ASSETS:
        raise not_found("page")
    # Imported here: only who reads the documentation needs it.
    import swagger_ui  # noqa: PLC0415

    return File(
        path=Path(swagger_ui.__file__).with_name("static") / name,
        media_type=DOCS_ASSETS[name],
        content_disposition_type="inline",
    )
