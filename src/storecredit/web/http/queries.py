"""Query parameters, before the framework reads them: it passes over what no handler asked for.

A filter that is not there would answer unfiltered. So every parameter must be one that the handler
or what it depends on declares (`QueryParameter`, `FromQuery`), stand once, and be right; all that
is not is told at once.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
from litestar import Request
from litestar.params import QueryParameter

from storecredit.settings import Settings
from storecredit.web.http.envelope import invalid
from storecredit.web.http.faults import Fault, details_of, faults_of, unknown_name

INVALID_QUERY: Final = "The query of this address is not valid: see `details`."
_BOUNDS: Final = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length")

Parameters = Mapping[str, Any]
"""The type of each query parameter that is taken, by its name."""


class QueryCheck:
    """Called by the framework before each handler of a router."""

    def __init__(self) -> None:
        self._known: dict[Callable[..., Any], Parameters] = {}

    async def __call__(self, request: Request[Any, Any, Any]) -> None:
        """Raises Failure unless the query is made of what the handler takes."""
        # What is answered to OPTIONS is the framework's own, and takes no query.
        if not request.scope["query_string"] or request.method == "OPTIONS":
            return
        sent = list(request.query_params.items())
        faults = _faults_of(sent, self._parameters(request), request.app.state["settings"])
        if details := details_of(faults, "query"):
            raise invalid(INVALID_QUERY, details)

    def _parameters(self, request: Request[Any, Any, Any]) -> Parameters:
        handler = request.route_handler
        known = self._known.get(handler.fn)
        if known is None:
            # As bounded as the route table is.
            functions = [handler.fn]
            functions += [each.dependency for each in handler.resolve_dependencies().values()]
            known = {}
            for function in functions:
                known |= parameters_of(function)
            self._known[handler.fn] = known
        return known


def parameters_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The query parameters that a handler or a dependency declares."""
    found = {}
    hints = get_type_hints(function, include_extras=True)
    for name in inspect.signature(function).parameters:
        type_ = hints.get(name)
        extras = get_args(type_)[1:] if get_origin(type_) is Annotated else ()
        for extra in extras:
            if isinstance(extra, QueryParameter):
                found[extra.name or name] = bounded(type_, extra)
    return found


def bounded(type_: Any, parameter: QueryParameter) -> Any:
    """The type, with the framework's bounds in the decoder's words; what was sent is never null."""
    inner, *extras = get_args(type_)
    if type(None) in get_args(inner):
        [inner] = [arm for arm in get_args(inner) if arm is not type(None)]
    bounds = {name: getattr(parameter, name) for name in _BOUNDS}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    return Annotated[(inner, msgspec.Meta(**given), *extras)]


def _faults_of(
    sent: list[tuple[str, str]], known: Parameters, settings: Settings
) -> Iterator[Fault]:
    names = [name for name, _ in sent]
    for name, value in sent:
        if name not in known:
            yield unknown_name(name, known, "parameter", name)
        elif names.count(name) > 1:
            yield Fault(name, "This parameter is taken once, and was sent more than once.")
        else:
            yield from faults_of(value, known[name], settings, name)
