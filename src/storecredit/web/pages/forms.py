"""Forms: what was sent, proof that a page of ours sent it, and what is wrong with it by field.

Every form carries the token of its sign-in, which no other site can read, and an id of its own,
made with the page. By the id it acts once: a double click, a reload, a second send after a lost
answer find what was done.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec
from litestar import Request
from litestar.di import NamedDependency

from storecredit.operator.audit import REASON_MAX, ActionContext
from storecredit.operator.drawing import seed_of_form
from storecredit.web.http.envelope import ErrorCode, Failure
from storecredit.web.http.faults import faults_of
from storecredit.web.http.links import address_asked
from storecredit.web.http.moments import span
from storecredit.web.http.request_ids import is_request_id
from storecredit.web.http.visits import visit_of

S = TypeVar("S", bound=msgspec.Struct)

CSRF: Final = "csrf"
FORM_ID: Final = "form_id"
REASON: Final = "reason"
FIELDS_MAX: Final = 200
FORM_MAX_BYTES: Final = 256 * 1024
SIGNS_IN: Final = "signs_in"
"""The option of a handler that begins a sign-in."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
NEEDED: Final = "This is needed."
DIGITS: Final = "This must be a whole number, in digits alone."
_WHOLE: Final = re.compile(r"-?[0-9]+")
_IN_WORDS: Final = (
    (re.compile(r"Expected `int` >= (\d+)\."), r"This must be at least \1."),
    (re.compile(r"Expected `int` <= (\d+)\."), r"This must be at most \1."),
    (re.compile(r"Expected `int`, got `\w+`\."), DIGITS),
    (re.compile(r"Expected `str` of length <= (\d+)\."), r"This has at most \1 characters."),
    (re.compile(r"Expected `array` of length <= (\d+)\."), r"There can be at most \1."),
)
"""What the decoder says (msgspec 0.22), as people do."""
UNTRUSTED: Final = (
    "This did not come from a page of this service that you have open, or you signed in again "
    "since the page was made. Nothing was done: go back, reload the page, and try again."
)


@dataclass(frozen=True, slots=True)
class Form:
    """What a form was sent with, by the names of its fields, and what was wrong with which.

    Of a field that stands there several times `texts` has the last, `lists` all.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, list[str]] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    def with_faults(self, faults: Mapping[str, str]) -> "Form":
        """The same, to be shown again with what is wrong."""
        return Form(self.texts, self.lists, faults)


NO_FORM: Final = Form()


class FormRefused(Exception):
    """Something in a form is not taken; nothing was done. `form` says what, by field."""

    def __init__(self, form: Form) -> None:
        super().__init__("; ".join(form.faults.values()))
        self.form = form


def form_of_query(request: Request[Any, Any, Any]) -> Form:
    """What a form that was sent by GET asks for."""
    lists: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        lists.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return Form({name: values[-1] for name, values in lists.items()}, lists)


def read_form(request: Request[Any, Any, Any], form: Form, type_: type[S]) -> S:
    """The fields of a form as a value of this type, its own three left out.

    An empty field counts as left out; a field of the type that is a list takes each of those sent,
    or the lines of one; one that is a moment takes what `moments` reads, in UTC unless it says
    otherwise. Raises FormRefused, with every fault by its field.
    """
    content: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for each in msgspec.structs.fields(type_):
        name = each.encode_name
        values = [value.strip() for value in form.lists.get(name, ()) if value.strip()]
        try:
            if values:
                content[name] = _sent(values, str(each.type))
        except ValueError as error:
            content[name] = None
            faults[name] = str(error)
    for fault in faults_of(content, type_, request.app.state["settings"]):
        name = fault.key.partition("[")[0].partition(".")[0]
        is_missing = name not in content
        faults.setdefault(name, NEEDED if is_missing else for_people(fault.message))
    if faults:
        raise FormRefused(form.with_faults(faults))
    return msgspec.convert(content, type_, strict=False)


def for_people(message: str) -> str:
    """What the decoder says of a value, in words for people."""
    for pattern, words in _IN_WORDS:
        if found := pattern.fullmatch(message):
            return found.expand(words)
    return message


def _sent(values: list[str], type_: str) -> Any:
    """What a field's texts stand for, as far as its type says how they are written."""
    if "list" in type_:
        lines = [line.strip() for value in values for line in value.splitlines()]
        return [line for line in lines if line]
    if re.search(r"\bint\b", type_) and not _WHOLE.fullmatch(values[-1]):
        # The decoder takes 1.000 for one, and who writes a thousand so would move a single credit.
        raise ValueError(DIGITS)
    return span(values[-1]).start if "datetime" in type_ else values[-1]


async def sent_form(request: Request[Any, Any, Any]) -> Form:
    """A dependency: the form that the request brings; an empty one of a GET."""
    if request.method in SAFE_METHODS:
        return NO_FORM
    return await _decoded(request)


async def acting(request: Request[Any, Any, Any], form: NamedDependency[Form]) -> ActionContext:
    """A dependency of what is done by a form: who does it, why, and the id by which it is once.

    Raises FormRefused for a reason that is too long.
    """
    form_id, reason = form.texts.get(FORM_ID, ""), form.texts.get(REASON, "").strip()
    if len(reason) > REASON_MAX or "\0" in reason:
        message = f"A reason has at most {REASON_MAX} characters, and no NUL."
        raise FormRefused(form.with_faults({REASON: message}))
    if not is_request_id(form_id):
        raise Failure(ErrorCode.VALIDATION_ERROR, UNTRUSTED)
    sign_in = visit_of(request.scope).sign_in
    assert sign_in is not None, "the guard lets nobody else in"
    return ActionContext(
        actor=sign_in.actor,
        door=sign_in.door,
        request_id=form_id,
        reason=reason,
        idempotency_key=form_id,
        seed=seed_of_form(sign_in.seed, form_id),
    )


async def check_origin(request: Request[Any, Any, Any]) -> None:
    """Before every handler: what changes something is asked for by a page of ours alone.

    Browsers say so by themselves (Sec-Fetch-Site, W3C Fetch Metadata; Origin, RFC 6454), and the
    form has the token of the sign-in, if there is one; but that of a form which signs in may have
    begun by its first click, or in another window. Raises Failure.
    """
    if request.method in SAFE_METHODS:
        return
    visit = visit_of(request.scope)
    site, origin = visit.sent.get(b"sec-fetch-site"), visit.sent.get(b"origin")
    is_ours = site == "same-origin" if site is not None else _is_own(request, origin)
    if is_ours and visit.sign_in is not None and not request.route_handler.opt.get(SIGNS_IN):
        sent = (await _decoded(request)).texts.get(CSRF, "")
        is_ours = hmac.compare_digest(sent.encode(), visit.sign_in.csrf_token.encode())
    if not is_ours:
        raise Failure(ErrorCode.DOMAIN_MISMATCH, UNTRUSTED)


def _is_own(request: Request[Any, Any, Any], origin: str | None) -> bool:
    settings = request.app.state["settings"]
    named = urlsplit(settings.public_url).netloc if settings.public_url else None
    host = (origin or "").partition("://")[2]
    return bool(host) and host in {named, address_asked(request.scope, settings)[1]}


async def _decoded(request: Request[Any, Any, Any]) -> Form:
    body = await request.body()
    if len(body) > FORM_MAX_BYTES:
        raise Failure(ErrorCode.PAYLOAD_TOO_LARGE, "The form is too large. Nothing was done.")
    try:
        # As browsers send it (application/x-www-form-urlencoded, in the WHATWG's URL standard).
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise Failure(ErrorCode.VALIDATION_ERROR, UNTRUSTED) from None
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return Form({name: values[-1] for name, values in lists.items()}, lists)
