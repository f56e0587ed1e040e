"""Signing in and out: by a token or a key, by a link that works once; the same at every door."""

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from storecredit.operator.sign_ins import Door, NewSignIn, SignIns
from storecredit.web.http.visits import visit_of
from storecredit.web.pages.forms import FORM_ID, SIGNS_IN, Form
from storecredit.web.pages.permissions import PUBLIC, SIGNS_OUT
from storecredit.web.pages.rendering import door_of, page
from storecredit.web.pages.signed_in import begun, ended
from storecredit.web.parts import Parts

ENDINGS: Final = ("signed-out", "signed-out-here", "key-over")
"""How a sign-in can have ended that a browser comes from."""
SECRET_MAX: Final = 500
"""Characters of what may be a token or a key; none of ours is longer than a tenth of it."""


@get("/sign-in", opt={PUBLIC: True}, include_in_schema=False)
async def sign_in_page(request: Request[Any, Any, Any]) -> Response[str]:
    """Asks for a token or a key."""
    notice = next((each for each in ENDINGS if each in request.query_params), "")
    return page(request, "sign_in.html", next=request.query_params.get("next", ""), notice=notice)


@post("/sign-in", opt={PUBLIC: True, SIGNS_IN: True}, include_in_schema=False)
async def sign_in(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], form: NamedDependency[Form]
) -> Response[Any]:
    """Signs in with what was typed: at the console a `token`, at the portal a `key`."""
    wanted = form.texts.get("next", "")
    new = await _with_secret(parts.operator.sign_ins, door_of(request.scope["path"]), form)
    if new is None:
        return page(request, "sign_in.html", status=401, next=wanted, notice="wrong")
    return await begun(request, parts, new, wanted)


@get("/sign-in/{code:str}", opt={PUBLIC: True}, include_in_schema=False)
async def link_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], code: FromPath[str]
) -> Response[str]:
    """Asks to go on, by a button that the script presses: a link is not used up by looking at it.

    Programs that people send links through fetch them, to show what is there. The script does not
    press it where the browser is signed in to another store's portal: whoever sent the link might
    want somebody to do things there that they mean to do in their own.
    """
    here = visit_of(request.scope).sign_in
    is_other = False
    if here is not None and here.store_id is not None and len(code) <= SECRET_MAX:
        is_other = await parts.operator.sign_ins.store_of_link(code) not in {None, here.store_id}
    return page(request, "link.html", is_other=is_other)


@post("/sign-in/{code:str}", opt={PUBLIC: True, SIGNS_IN: True}, include_in_schema=False)
async def sign_in_by_link(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    code: FromPath[str],
    form: NamedDependency[Form],
) -> Response[Any]:
    """Signs in by a link, once, however often its form is sent."""
    door, form_id = door_of(request.scope["path"]), form.texts.get(FORM_ID, "")
    new = None
    if len(code) <= SECRET_MAX and len(form_id) <= SECRET_MAX:
        new = await parts.operator.sign_ins.with_link(code, door, form_id)
    if new is None:
        return page(request, "sign_in.html", status=410, next="", notice="link-over")
    return await begun(request, parts, new, None)


@post("/sign-out", opt={PUBLIC: True, SIGNS_OUT: True}, include_in_schema=False)
async def sign_out(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> Response[Any]:
    """Ends the sign-in, wherever its cookie may have got to; who is out already is told the same.

    Such as by the first of two clicks, or in another window.
    """
    return await ended(request, parts)


async def _with_secret(sign_ins: SignIns, door: Door, form: Form) -> NewSignIn | None:
    secret = form.texts.get("token" if door == "console" else "key", "").strip()
    if not 0 < len(secret) <= SECRET_MAX:
        return None
    return await (sign_ins.with_token if door == "console" else sign_ins.with_key)(secret)


HANDLERS: Final = (sign_in_page, sign_in, link_page, sign_in_by_link, sign_out)
