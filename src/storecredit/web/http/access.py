"""What happens to every request before its handler, in this order, once.

    request id → (B2B) API key → origin → rate limit
               → (operator) admin token
               → (B2C) only whether it is on: a token is looked at by the calls it comes with

To every answer after it: the request id echoed, rate-limit and CORS headers, one log line,
one count. An ASGI application around the framework's, so that unknown paths, wrong methods and
errors pass through the same door.
"""

import hmac
import time
from collections.abc import Callable
from typing import Any, Final, assert_never
from urllib.parse import urlsplit

from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from storecredit import telemetry
from storecredit.operator.tokens import ADMINISTRATOR, TOKEN_PREFIX, AdminTokens
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.settings import Settings
from storecredit.stores.api_keys import ApiKeys
from storecredit.stores.callers import RefusalCause, Refused
from storecredit.stores.rate_limits import RateLimits
from storecredit.web.http.addresses import ADMIN, B2B, RESULTS, budget_of, is_b2c, request_id_of
from storecredit.web.http.envelope import ErrorCode, Failure, answer_to, not_found
from storecredit.web.http.framework import Framework
from storecredit.web.http.headers import (
    OPEN_TO_ALL,
    RawHeaders,
    SentHeaders,
    bearer_of,
    cors,
    encoded,
    rate_limit,
)
from storecredit.web.http.links import address_asked
from storecredit.web.http.paths import path_of
from storecredit.web.http.visits import HTTP, Visit, visit_of

PREFLIGHT_SECONDS: Final = 600
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
"""Counted by name. Anybody can make up another, and each name would be one more time series."""
ALLOWED_METHODS: Final = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
ALLOWED_HEADERS: Final = (
    "Authorization, Content-Type, Idempotency-Key, X-Request-Id, Accept, Prefer"
)

AppRefusal = Callable[[Failure, str | None], tuple[int, bytes, RawHeaders]]
"""A refusal in the form that the app's client reads, as by the Accept header it sent.

Gives status, body and headers. Handed in, as what every request passes knows no caller's forms.
"""


class Access:
    """The ASGI application that lets requests in."""

    def __init__(
        self,
        app: ASGIApp,
        api_keys: ApiKeys,
        admin_tokens: AdminTokens,
        rate_limits: RateLimits,
        settings: Settings,
        metrics: telemetry.Metrics,
        framework: Framework,
        refusal_for_apps: AppRefusal,
    ) -> None:
        self._app = app
        self._api_keys = api_keys
        self._admin_tokens = admin_tokens
        self._rate_limits = rate_limits
        self._admin_token = settings.admin_token
        self._own_host = urlsplit(settings.public_url).netloc if settings.public_url else None
        self._settings = settings
        self._serves_users = settings.serves_users
        self._users_origins = frozenset(settings.trpc_origins)
        self._requests = telemetry.Requests(metrics, "web.access")
        self._framework = framework
        self._refusal_for_apps = refusal_for_apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of connection go to the framework."""
        if scope["type"] != HTTP:
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        # The framework serves //api/admin/ as /api/admin: what is checked here must be what is
        # served there, so an address is brought to its one spelling first.
        scope["path"] = path = path_of(scope)
        if not self._framework.serves(scope):
            await self._framework.made()
        headers = SentHeaders(scope["headers"])
        request_id, wrong = request_id_of(scope, headers)
        visit = Visit(
            request_id, headers, receive, headers=[(b"x-request-id", request_id.encode("latin-1"))]
        )
        scope.setdefault("state", {})["visit"] = visit
        telemetry.begin(request_id=request_id)
        send = visit.send_through(send)
        try:
            if wrong is not None:
                if is_b2c(path):
                    visit.headers.extend(self._users_cors(headers))
                await self._answer(wrong, scope, send)
            elif await self._let_in(scope, headers, visit, send):
                await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - it becomes the answer
            # Under no name here: it knows this frame, and such a circle is left to the garbage
            # collector with all of the request.
            await self._answer(answer_to(error), scope, send)
        finally:
            visit.close()
            self._record(scope, visit, time.monotonic() - began - visit.waited_seconds)

    async def _let_in(
        self, scope: HTTPScope, headers: SentHeaders, visit: Visit, send: Send
    ) -> bool:
        """Whether the request goes on to its handler; a preflight is answered here."""
        path = scope["path"]
        if path.startswith(f"{B2B}/"):
            if scope["method"] == "OPTIONS":
                await self._preflight(headers, visit, send)
                return False
            await self._admit_store(scope, headers, visit)
        elif path.startswith(f"{ADMIN}/"):
            await self._admit_operator(headers, visit)
        elif is_b2c(path):
            return await self._admit_app(scope, headers, visit, send)
        elif path.startswith(f"{RESULTS}/"):
            return await _open_to_all(scope, headers, visit, send)
        return True

    async def _admit_store(self, scope: HTTPScope, headers: SentHeaders, visit: Visit) -> None:
        key = bearer_of(headers.get(b"authorization"))
        try:
            # Most are known, and a coroutine that never waits costs as much as the look-up.
            caller = self._api_keys.known(key) if key else None
            if caller is None and key:
                caller = await self._api_keys.authenticate(key)
        except DatabaseUnavailable:
            self._name_in_log(key or "")
            raise
        if caller is None:
            raise _unauthenticated("Send a valid API key: `Authorization: Bearer sc_live_…`.")
        telemetry.bind(store_id=str(caller.store_id))
        if isinstance(caller, Refused):
            raise _refused(caller.cause)
        visit.caller = caller

        origin = headers.get(b"origin")
        if origin is not None and not self._serves_itself(origin, scope):
            if not caller.allows(origin):
                raise Failure(
                    ErrorCode.DOMAIN_MISMATCH,
                    "This API key does not list the request's origin: have the origin added, or "
                    "call from your server.",
                )
            visit.headers.extend(cors(origin))

        state = await self._rate_limits.hit(caller.store_id, caller.tier, budget_of(scope))
        if state is not None:
            visit.headers.extend(rate_limit(state))
            if not state.allowed:
                raise Failure(
                    ErrorCode.RATE_LIMIT_EXCEEDED,
                    f"Too many requests; try again in {state.retry_after_seconds} s. Nothing was "
                    "charged: the same request may be sent again with the same request id.",
                    headers={"Retry-After": str(state.retry_after_seconds)},
                )

    def _name_in_log(self, key: str) -> None:
        """For the log line alone: whom it was that could not be served."""
        store_id = self._api_keys.last_known_store(key)
        if store_id is not None:
            telemetry.bind(store_id=str(store_id))

    def _serves_itself(self, origin: str, scope: HTTPScope) -> bool:
        """Whether a page of ours asks (the documentation): no key needs to list our own origin.

        Host and port are compared, not the scheme: behind a proxy that ends TLS we see another.
        """
        own_host = self._own_host or address_asked(scope, self._settings)[1]
        return origin.partition("://")[2] == own_host

    async def _admit_operator(self, headers: SentHeaders, visit: Visit) -> None:
        sent = bearer_of(headers.get(b"authorization")) or ""
        token = self._admin_token.get_secret_value() if self._admin_token else ""
        if token and hmac.compare_digest(sent.encode("latin-1", "replace"), token.encode()):
            visit.principal = ADMINISTRATOR
            return
        is_named = sent.startswith(TOKEN_PREFIX)
        if not token and not is_named:  # an empty one is none: else no token at all would equal it
            raise not_found(
                "address: STORECREDIT_ADMIN_TOKEN is not set, and this is no token that "
                "`storecredit token create` made"
            )
        visit.principal = await self._admin_tokens.authenticate(sent) if is_named else None
        if visit.principal is None:
            raise _unauthenticated(
                "Send the operator's token: `Authorization: Bearer <STORECREDIT_ADMIN_TOKEN>`, or "
                "one that `storecredit token create` made and that still works."
            )

    async def _admit_app(
        self, scope: HTTPScope, headers: SentHeaders, visit: Visit, send: Send
    ) -> bool:
        """Whether the request goes on. A page of an origin that is not listed cannot read it.

        It is not refused for it: an app served from our own address names its origin, too.
        """
        readable = self._users_cors(headers)
        visit.headers.extend(readable)
        if scope["method"] != "OPTIONS" or b"access-control-request-method" not in headers:
            if not self._serves_users:
                raise not_found("address: it is off (no STORECREDIT_JWT_SECRET or _JWKS_URL)")
            return True
        if not readable:
            raise Failure(ErrorCode.DOMAIN_MISMATCH, "This origin is not listed.")
        asked = headers.get(b"access-control-request-headers")
        await _allow(visit, send, headers=ALLOWED_HEADERS if asked is None else asked)
        return False

    def _users_cors(self, headers: SentHeaders) -> RawHeaders:
        """What lets a page of the app read the answer; nothing for an origin not listed."""
        origin = headers.get(b"origin")
        if origin is None or origin not in self._users_origins:
            return []
        # The page's fetch may be set to send cookies: there are none here to be abused.
        return [*cors(origin), (b"access-control-allow-credentials", b"true")]

    async def _preflight(self, headers: SentHeaders, visit: Visit, send: Send) -> None:
        """A preflight carries no key: it is answered for an origin that some active key lists."""
        origin = headers.get(b"origin")
        if origin is None or not await self._api_keys.origin_is_listed(origin):
            raise Failure(ErrorCode.DOMAIN_MISMATCH, "No API key lists this origin.")
        visit.headers.extend(cors(origin))
        await _allow(visit, send, headers=ALLOWED_HEADERS)

    async def _answer(self, failure: Failure, scope: HTTPScope, send: Send) -> None:
        """Answer a request that did not get as far as its handler, in the form its caller reads.

        Once an answer has begun it is too late for another. What is left without its end, the
        server breaks off, so that nobody takes it for whole.
        """
        if visit_of(scope).is_answer_begun:
            return
        if is_b2c(scope["path"]):
            accept = visit_of(scope).sent.get(b"accept")
            status, body, headers = self._refusal_for_apps(failure, accept)
        else:
            status, body = failure.status, failure.body()
            headers = encoded(
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                *((name.lower(), value) for name, value in failure.headers.items()),
            )
        start: Any = {"type": "http.response.start", "status": int(status), "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _record(self, scope: HTTPScope, visit: Visit, seconds: float) -> None:
        route = scope.get("path_template") or self._framework.template_of(scope)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._requests.record(method, route, visit.status, seconds)


def _unauthenticated(message: str, code: ErrorCode = ErrorCode.INVALID_API_KEY) -> Failure:
    """401. Made anew each time: a raised exception keeps the frames it passed, for ever if kept."""
    return Failure(code, message, headers={"WWW-Authenticate": "Bearer"})


def _refused(cause: RefusalCause) -> Failure:
    """The answer to a key that is genuine and does not work: its holder learns which it is."""
    match cause:
        case RefusalCause.REVOKED:
            return _unauthenticated(
                "This API key was revoked. Use another, or ask for a new one.",
                ErrorCode.API_KEY_REVOKED,
            )
        case RefusalCause.EXPIRED:
            return _unauthenticated(
                "This API key has expired, or was replaced and its time is over. Use the new one.",
                ErrorCode.API_KEY_EXPIRED,
            )
        case RefusalCause.SUSPENDED:
            return Failure(
                ErrorCode.STORE_SUSPENDED,
                "This store is suspended by whoever runs this service. Its credits are kept, and "
                "its keys work again when it is resumed.",
            )
        case _:
            assert_never(cause)


async def _open_to_all(scope: HTTPScope, headers: SentHeaders, visit: Visit, send: Send) -> bool:
    """A link is all that a result needs, so a page of any origin may read it."""
    visit.headers.extend(OPEN_TO_ALL)
    if scope["method"] != "OPTIONS" or b"access-control-request-method" not in headers:
        return True
    asked = headers.get(b"access-control-request-headers")
    await _allow(visit, send, headers=ALLOWED_HEADERS if asked is None else asked)
    return False


async def _allow(visit: Visit, send: Send, *, headers: str) -> None:
    """Answer a preflight."""
    visit.headers.extend(
        encoded(
            ("access-control-allow-methods", ALLOWED_METHODS),
            ("access-control-allow-headers", headers),
            ("access-control-max-age", str(PREFLIGHT_SECONDS)),
        )
    )
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
