"""Pages of templates: what every one of them is rendered with, and the headers it goes out under.

Every text in a page is escaped unless a template's own macro made it. There is no way to have a
script or a style in a page: the policy allows files of ours alone.
"""

import contextlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from litestar import Request, Response
from uuid_utils import uuid4

from storecredit import __version__
from storecredit.data_files.signing_key import signing_key
from storecredit.operator.live_looks import COUNTED_MAX
from storecredit.operator.sign_ins import Door, SignIn
from storecredit.settings import Settings
from storecredit.web.http.visits import visit_of
from storecredit.web.pages import charts, formats
from storecredit.web.pages.assets import asset_address
from storecredit.web.pages.compiled_templates import CompiledTemplates
from storecredit.web.pages.forms import NO_FORM
from storecredit.web.pages.permissions import Permissions

HTML: Final = "text/html"
NOBODY_FRAMES: Final = "'none'"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
)
_WEB: Final = Path(__file__).parent.parent


def headers(ancestors: str = NOBODY_FRAMES) -> dict[str, str]:
    """What every page goes out with. `ancestors`: whose pages may show it within theirs."""
    return {
        "Content-Security-Policy": _POLICY.format(ancestors=ancestors),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        # Pages say what was so when they were made, and whose they are depends on the cookie.
        "Cache-Control": "no-store",
        "Vary": "Cookie",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def page(
    request: Request[Any, Any, Any],
    template: str,
    *,
    status: int = 200,
    **values: object,
) -> Response[str]:
    """A page of the door that the request came to. `template`: a file of its `templates/`.

    Every template has `sign_in` (None: nobody is), `may` (what whoever looks at it may open and
    send), `locale`, `path`, `form` (what was sent and what was wrong with it) and `sells` (whether
    credits can be bought), besides `values`.
    """
    door = door_of(request.scope["path"])
    ancestors = request.app.state["settings"].portal_frame_ancestors
    framed_by = " ".join(ancestors) if door == "portal" and ancestors else NOBODY_FRAMES
    return Response(
        rendered(request, door, template, values),
        status_code=status,
        headers=headers(framed_by),
        media_type=HTML,
    )


def rendered(
    request: Request[Any, Any, Any], door: Door, template: str, values: Mapping[str, object]
) -> str:
    """The text of a page."""
    visit = visit_of(request.scope)
    signed_in: SignIn | None = visit.sign_in
    return (
        _environment_for(door, request.app.state["settings"])
        .get_template(template)
        .render(
            {
                "form": NO_FORM,
                "door": door,
                "sign_in": signed_in,
                "may": Permissions(request.app.state["needed_scopes"], signed_in),
                "request_id": visit.request_id,
                "locale": formats.locale_of(visit.sent.get(b"accept-language")),
                "path": request.scope["path"],
                "query": request.scope["query_string"].decode("latin-1"),
                "sells": request.app.state["parts"].signatures is not None,
                **values,
            }
        )
    )


def door_of(path: str) -> Door:
    """Which door's page an address is."""
    return "portal" if is_below(path, "/portal") else "console"


def is_page(path: str) -> bool:
    """Whether a person's browser asks there, who is to be answered by a page."""
    return is_below(path, "/console") or is_below(path, "/portal")


def is_below(path: str, root: str) -> bool:
    """Whether it is `root` or an address below."""
    return path == root or path.startswith(f"{root}/")


def _environment_for(door: Door, settings: Settings) -> jinja2.Environment:
    """The door's, which keeps what it compiles in the data directory of whose page comes first."""
    environment = _environment(door)
    if environment.bytecode_cache is None:
        # A key that cannot be read is the business of what is signed with it.
        with contextlib.suppress(OSError, ValueError):
            environment.bytecode_cache = CompiledTemplates(
                settings.data_dir,
                signing_key(settings.data_dir, settings.signing_key),
                _WEB / "pages",
            )
    return environment


@cache
def _environment(door: Door) -> jinja2.Environment:
    """A door's own templates, and those that both share."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_WEB / door / "templates", _WEB / "pages" / "templates"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # They are files of the package, which do not change while it runs.
        auto_reload=False,
    )
    environment.filters.update(formats.FILTERS)
    environment.filters.update(charts.FILTERS)
    environment.globals.update(
        counted_max=COUNTED_MAX,
        asset=asset_address,
        version=__version__,
        form_id=lambda: f"form_{uuid4()}",
    )
    return environment
