"""`/`: what this is, and where to go from here, for whoever opens the address in a browser."""

import base64
from hashlib import sha256
from typing import Final

from litestar import MediaType, Response, get

STYLE: Final = """
:root { color-scheme: light dark; font: 1.0625rem/1.6 system-ui, sans-serif; }
html { background: Canvas; color: CanvasText; }
body { max-width: 40rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { margin-bottom: 0; line-height: 1.2; }
h1 + p { margin-top: .25rem; font-size: 1.2em; }
dt { margin-top: 1rem; font-weight: 600; }
dd { margin-left: 0; }
code { font-size: .95em; overflow-wrap: anywhere; }
a { text-underline-offset: .15em; }
a:focus-visible { outline: 3px solid; outline-offset: 2px; }
"""
PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>storecredit</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>storecredit</h1>
<p>Prepaid credits for API businesses.</p>
<p>This service takes credits for work, gives them back when the work fails, and keeps every
movement in an append-only ledger under the request's id.</p>
<dl>
<dt><a href="/console">For the operator</a></dt>
<dd>The console: stores, end users, credits, problems, the audit log. The same is in the
<a href="/api/docs/operator">API below <code>/api/admin</code></a> and on the command line,
<code>storecredit --help</code>.</dd>
<dt><a href="/portal">For stores</a></dt>
<dd>The portal: your credits, how long they last, the ledger, your keys. The
<a href="/api/docs">API below <code>/api/v1</code></a> is there to read and to try. Both ask for an
API key, which whoever runs this service issues.</dd>
<dt><a href="/api/trpc.d.ts">For apps of end users</a></dt>
<dd>The types of the tRPC router below <code>/api/trpc</code>.</dd>
<dt><a href="/api/openapi.json">For programs</a></dt>
<dd>The OpenAPI document of all of it; <a href="/health/ready">whether the service can
serve</a>.</dd>
</dl>
</main>
</body>
</html>
"""
_STYLE_HASH: Final = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    # Nothing is loaded, run or sent, and no other page may show this one as its own.
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "public, max-age=300",
}


@get("/", media_type=MediaType.HTML, include_in_schema=False)
async def front_page() -> Response[str]:
    """What this is, and where to go from here. It tells nothing that is not told to everybody."""
    return Response(PAGE, headers=HEADERS)
