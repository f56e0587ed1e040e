"""What a page's address asks for: filters, an order, a place in a list.

Filters are forms that are sent by GET, so that what they find has an address of its own; a field
that is left empty asks for nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar, get_args, get_origin
from urllib.parse import urlencode

import msgspec
from litestar import Request
from litestar.params import QueryParameter

from storecredit.web.http.faults import faults_of
from storecredit.web.http.queries import bounded
from storecredit.web.pages.forms import Form, for_people

S = TypeVar("S", bound=msgspec.Struct)

CURSOR: Final = "cursor"


@dataclass(frozen=True, slots=True)
class Query(Generic[S]):
    """What was asked for. `wanted` is None where something of it is not taken: `form` says what."""

    path: str
    form: Form
    wanted: S | None

    @property
    def status(self) -> int:
        """Of the page."""
        return 400 if self.wanted is None else 200

    @property
    def is_bare(self) -> bool:
        """Whether nothing was asked for in particular: what is listed is all there is."""
        return not self.form.texts

    @property
    def filters(self) -> dict[str, str]:
        """What was asked for but for the place in the list."""
        return {name: text for name, text in self.form.texts.items() if name != CURSOR}

    def refused(self, name: str, message: str) -> "Query[S]":
        """The same, of which something is not taken that only shows when all is read."""
        return Query(self.path, self.form.with_faults({name: message}), None)

    @property
    def first(self) -> str:
        """The address of the list's first page; empty on that page itself."""
        return self.first_of(CURSOR)

    def next(self, cursor: str | None) -> str:
        """The address of the page after this one; empty where there is none."""
        return self.next_of(CURSOR, cursor)

    def first_of(self, name: str) -> str:
        """The same of one of several lists, whose place stands in a parameter of its own."""
        texts = {each: text for each, text in self.form.texts.items() if each != name}
        return _address(self.path, texts) if name in self.form.texts else ""

    def next_of(self, name: str, cursor: str | None) -> str:
        """Likewise."""
        return "" if cursor is None else _address(self.path, {**self.form.texts, name: cursor})

    def under(self, path: str) -> str:
        """An address that takes the same filters."""
        return _address(path, self.filters)


def _address(path: str, texts: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(texts)}" if texts else path


def read_query(request: Request[Any, Any, Any], type_: type[S]) -> Query[S]:
    """The query as a value of this type, whose fields are those of it that are heeded.

    They may be declared as a handler's query parameters are. Of one that stands there twice the
    last counts, as in forms.
    """
    fields = {each.encode_name: _taken(each.type) for each in msgspec.structs.fields(type_)}
    sent = {name: text.strip() for name, text in request.query_params.items() if name in fields}
    texts = {name: text for name, text in sent.items() if text}
    faults: dict[str, str] = {}
    for name, text in texts.items():
        for fault in faults_of(text, fields[name], request.app.state["settings"], name):
            faults.setdefault(name, for_people(fault.message))
    path = request.scope["path"]
    if faults:
        return Query(path, Form(texts, {}, faults), None)
    names = {each.encode_name: each.name for each in msgspec.structs.fields(type_)}
    values = {
        names[name]: msgspec.convert(text, fields[name], strict=False)
        for name, text in texts.items()
    }
    return Query(path, Form(texts), type_(**values))


def _taken(type_: Any) -> Any:
    """The type of what is sent for a field."""
    extras = get_args(type_)[1:] if get_origin(type_) is Annotated else ()
    declared = [extra for extra in extras if isinstance(extra, QueryParameter)]
    return bounded(type_, declared[0]) if declared else type_
