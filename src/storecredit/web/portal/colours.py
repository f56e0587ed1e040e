"""`/portal/colours.css`: the operator's own colours, if they set any, over those of the pages.

Whatever they set, texts can be read and figures be seen: what stands on a colour of theirs, and
what is made of one, is darkened or lightened as far as that takes.
"""

from typing import Any, Final

from litestar import Request, Response, get

from storecredit.settings import Settings
from storecredit.web.pages.colours import (
    BLACK,
    FIGURE_CONTRAST,
    TEXT_CONTRAST,
    on,
    readable,
    schemes,
)
from storecredit.web.pages.permissions import PUBLIC, WHOEVER

SECONDS: Final = 300
GROUNDS: Final = ("page", "surface", "sunken")
"""What texts stand on."""


@get("/colours.css", opt={PUBLIC: True, WHOEVER: True})
async def colours(request: Request[Any, Any, Any]) -> Response[str]:
    """A style of custom properties; empty where the operator sets none."""
    settings: Settings = request.app.state["settings"]
    return Response(
        style(settings.portal_accent, settings.portal_background),
        media_type="text/css; charset=utf-8",
        headers={
            "Cache-Control": f"public, max-age={SECONDS}",
            "X-Content-Type-Options": "nosniff",
        },
    )


def style(accent: str | None, background: str | None) -> str:
    """What is to be otherwise than in `pages.css`.

    With a background of theirs the pages are light or dark as that is, whatever the viewer likes:
    nobody can read both on one ground.
    """
    if accent is None and background is None:
        return ""
    light = _colours(schemes().light, accent, background)
    dark = _colours(schemes().dark, accent, background)
    if background is None:
        return _root({name: _either(light[name], dark[name]) for name in light})
    is_light = on(background) == BLACK
    return _root(light if is_light else dark, f"color-scheme: {'light' if is_light else 'dark'}; ")


def _either(light: str, dark: str) -> str:
    return light if light == dark else f"light-dark({light}, {dark})"


def _root(values: dict[str, str], scheme: str = "") -> str:
    lines = "".join(f"  --{name}: {value};\n" for name, value in values.items())
    return f":root {{ {scheme}\n{lines}}}\n"


def _colours(usual: dict[str, str], accent: str | None, background: str | None) -> dict[str, str]:
    changed = {}
    if background is not None:
        changed["page"] = background.lower()
    if accent is not None:
        changed |= {"accent": accent.lower(), "on-accent": on(accent)}
    with_them = usual | changed
    grounds = [with_them[name] for name in GROUNDS]

    def text(name: str, colour: str, *further: str) -> None:
        on_all = [*grounds, *(usual[ground] for ground in further)]
        changed[name] = readable(colour, on_all, TEXT_CONTRAST)

    text("text", usual["text"])
    text("quiet", usual["quiet"])
    text("link", accent.lower() if accent else usual["link"])
    for name in ("good", "bad", "warn"):
        text(name, usual[name], f"{name}-surface")
    changed["edge-strong"] = readable(usual["edge-strong"], grounds, FIGURE_CONTRAST)
    if accent is not None:
        # What was spent; the other colours of charts mean something by themselves.
        changed["chart-blue"] = readable(accent.lower(), [usual["surface"]], FIGURE_CONTRAST)
    return changed
