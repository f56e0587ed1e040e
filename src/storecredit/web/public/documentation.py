"""`/api/docs`: the API's documentation, as pages, and sample pictures; all served from here."""

from pathlib import Path
from typing import Final

import msgspec
from litestar import MediaType, get
from litestar.params import FromPath
from litestar.response import File

from storecredit.web.http.envelope import not_found

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
SAMPLE_PICTURES: Final = {"day.webp": "image/webp", "night.webp": "image/webp"}
"""A bay by day and by night, 840 × 555 each, to make a first generation of."""


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
    """A file of the documentation page, or a sample picture."""
    if name in SAMPLE_PICTURES:
        return _inline(Path(__file__).with_name("pictures") / name, SAMPLE_PICTURES[name])
    if name not in DOCS_ASSETS:
        raise not_found("page")
    # Imported here: only who reads the documentation needs it.
    import swagger_ui  # noqa: PLC0415

    return _inline(Path(swagger_ui.__file__).with_name("static") / name, DOCS_ASSETS[name])


def _inline(path: Path, media_type: str) -> File:
    return File(path=path, media_type=media_type, content_disposition_type="inline")
