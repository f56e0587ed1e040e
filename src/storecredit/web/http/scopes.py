"""What an operator's token must have for a door: a scope, which the door names."""

from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from storecredit.operator.tokens import Scope
from storecredit.web.http.envelope import ErrorCode, Failure
from storecredit.web.http.visits import principal_of

NEEDED: Final = "needed_scope"
"""The option of a handler that holds the scope."""


def needs(scope: Scope) -> dict[str, Any]:
    """The option of a handler that `read` (a GET) or `all` (another) does not fit."""
    return {NEEDED: scope}


def needed_by(handler: BaseRouteHandler) -> Scope:
    """The scope that a handler needs: the one that it names, else the usual one."""
    is_read = isinstance(handler, HTTPRouteHandler) and "GET" in handler.http_methods
    scope: Scope = handler.opt.get(NEEDED, Scope.READ if is_read else Scope.ALL)
    return scope


def check_scope(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard of every door of the operator's API. Raises Failure."""
    require(connection, needed_by(handler))


def require(connection: ASGIConnection[Any, Any, Any, Any], scope: Scope) -> None:
    """Raise Failure unless the operator who asks has the scope."""
    if principal_of(connection.scope).may(scope):
        return
    raise Failure(
        ErrorCode.INSUFFICIENT_SCOPE,
        f"This token does not have the scope `{scope}` that this needs, so it was refused. "
        "Ask whoever gave it to you for one that has.",
        # RFC 6750, 3.1
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
    )
