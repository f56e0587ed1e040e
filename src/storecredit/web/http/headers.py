"""HTTP headers as the bytes they travel in: those of a request looked up, those of an answer made.

The framework's own headers decode every one of them to look up any.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from storecredit.stores.rate_limits import RateLimitState

RawHeaders = list[tuple[bytes, bytes]]
"""Names in lower case and values, as ASGI has them."""

EXPOSED_HEADERS: Final = (
    "X-Request-Id, Idempotent-Replayed, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, "
    "X-RateLimit-Reset, RateLimit, RateLimit-Policy, Content-Disposition, X-Next-Cursor, "
    "X-Credits-Remaining, Location, Preference-Applied"
)


CREDITS_REMAINING: Final = "X-Credits-Remaining"
"""A store's balance, on each answer that knows it anyway."""


class SentHeaders:
    """The headers of a request. Of one that stands there twice the first counts."""

    __slots__ = ("_all", "_first")

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._all = list(raw)
        self._first = dict(reversed(self._all))

    def __contains__(self, name: bytes) -> bool:
        return name in self._first

    def get(self, name: bytes) -> str | None:
        """The value of a header, by its name in lower case."""
        value = self._first.get(name)
        return None if value is None else value.decode("latin-1")

    def all(self, name: bytes) -> list[str]:
        """The values of a header, one for each time it stands there."""
        return [value.decode("latin-1") for each, value in self._all if each == name]

    def stands_once(self, name: bytes) -> bool:
        """Whether a header is there, and not twice."""
        # Ordinarily none stands twice, and nothing has to be counted.
        if len(self._first) == len(self._all):
            return name in self._first
        return [each for each, _ in self._all].count(name) == 1


def bearer_of(authorization: str | None) -> str | None:
    """The key or token of `Authorization: Bearer …`."""
    scheme, _, credentials = (authorization or "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def encoded(*headers: tuple[str, str]) -> RawHeaders:
    """Headers of an answer; names in lower case."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def lowered(headers: Mapping[str, str]) -> RawHeaders:
    """Headers of an answer, however their names are written."""
    return encoded(*((name.lower(), value) for name, value in headers.items()))


def cors(origin: str) -> RawHeaders:
    """What lets a page of this origin read the answer."""
    return encoded(
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", EXPOSED_HEADERS),
        ("vary", "Origin"),
    )


OPEN_TO_ALL: Final = encoded(
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", "X-Request-Id"),
    ("cross-origin-resource-policy", "cross-origin"),
)
"""What lets any page read and show the answer; it may send no cookies, and there are none."""


def rate_limit(state: RateLimitState) -> RawHeaders:
    """The X-RateLimit trio, and the fields of draft-ietf-httpapi-ratelimit-headers."""
    policies = ", ".join(
        f'"{_policy_name(window)}";q={limit};w={window}' for limit, window in state.policies
    )
    binding = f'"{_policy_name(state.window_seconds)}";r={state.remaining}'
    return encoded(
        ("x-ratelimit-limit", str(state.limit)),
        ("x-ratelimit-remaining", str(state.remaining)),
        ("x-ratelimit-reset", str(state.reset_at)),
        ("ratelimit-policy", policies),
        ("ratelimit", f"{binding};t={state.retry_after_seconds}"),
    )


def _policy_name(window_seconds: int) -> str:
    return {60: "minute", 3600: "hour"}.get(window_seconds, f"{window_seconds}s")
