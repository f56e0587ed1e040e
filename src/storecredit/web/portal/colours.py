"""`/portal/colours.css`: the operator's own colours, if they set any, over those of the pages."""

from typing import Any, Final

from litestar import Request, Response, get

from storecredit.settings import Settings
from storecredit.web.pages.signed_in import PUBLIC

SECONDS: Final = 300


@get("/colours.css", opt={PUBLIC: True})
async def colours(request: Request[Any, Any, Any]) -> Response[str]:
    """A style of two custom properties; empty where the operator sets none."""
    settings: Settings = request.app.state["settings"]
    set_ = {"--accent": settings.portal_accent, "--page": settings.portal_background}
    lines = "".join(f"{name}: {colour};" for name, colour in set_.items() if colour)
    return Response(
        f".portal {{ {lines} }}\n" if lines else "",
        media_type="text/css; charset=utf-8",
        headers={
            "Cache-Control": f"public, max-age={SECONDS}",
            "X-Content-Type-Options": "nosniff",
        },
    )
