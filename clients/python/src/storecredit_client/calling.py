"""A call: one request as a value, the page of a list, and how the one leads to the next."""

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Literal, Protocol, TypeVar
from urllib.parse import quote

from storecredit_client.errors import StorecreditError

KEY_MAX: Final = 200
PAGE_MAX: Final = 100

T_co = TypeVar("T_co", covariant=True)
PageT = TypeVar("PageT", bound="Page[Any]")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T_co]):
    """One request for one operation, by the `operationId` of the OpenAPI document.

    `result` is what its answer holds. `wait_seconds`: the service may take that much longer.
    """

    operation: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    result: type[T_co]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    wait_seconds: float = 0.0

    @property
    def is_safe(self) -> bool:
        """Whether it may be sent again while nobody knows what became of it.

        Twice is as once for what reads, what sets values (PUT, PATCH), and what has a key.
        """
        return self.method in {"GET", "PUT", "PATCH"} or self.idempotency_key is not None


class Page(Protocol[T_co]):
    """Some items of a list."""

    @property
    def items(self) -> Sequence[T_co]:
        """They themselves."""

    @property
    def next_cursor(self) -> str | None:
        """Where the next page begins; None: there is none."""


def following(call: Call[PageT], page: PageT) -> Call[PageT] | None:
    """The call for the page after this one; None: it was the last."""
    cursor = page.next_cursor
    if cursor is None:
        return None
    if cursor == call.query.get("cursor"):
        raise StorecreditError("The list does not go on: its next page is the one that was read.")
    return dataclasses.replace(call, query={**call.query, "cursor": cursor})


def reading(
    operation: str,
    path: str,
    result: type[ResultT],
    **query: datetime | str | int | None,
) -> Call[ResultT]:
    """A call that reads. In the names of parameters a `_` at the end is Python's."""
    asked = {
        name.rstrip("_"): value.isoformat() if isinstance(value, datetime) else str(value)
        for name, value in query.items()
        if value is not None
    }
    return Call(operation=operation, method="GET", path=path, result=result, query=asked)


def changing(
    operation: str, path: str, result: type[ResultT], body: Any, idempotency_key: str | None
) -> Call[ResultT]:
    """A call that changes something, once, under the key that is given or one made for it."""
    key = _key(idempotency_key)
    return Call(
        operation=operation,
        method="POST",
        path=path,
        result=result,
        body=_given(body),
        idempotency_key=key,
    )


def changing_without_key(
    operation: str,
    method: Literal["POST", "PUT", "PATCH", "DELETE"],
    path: str,
    result: type[ResultT],
    body: Any = None,
) -> Call[ResultT]:
    """A call that changes something for which the API takes no key."""
    return Call(operation=operation, method=method, path=path, result=result, body=_given(body))


def _given(body: Any) -> dict[str, Any] | None:
    """The fields of a body that were given; None: there is no body."""
    if body is None:
        return None
    values = ((each.name, getattr(body, each.name)) for each in dataclasses.fields(body))
    return {name: value for name, value in values if value is not None}


def copied(strings: Mapping[str, str] | None) -> dict[str, str] | None:
    """Strings of their own, for a body."""
    return None if strings is None else dict(strings)


def _key(given: str | None) -> str:
    if given is None:
        return str(uuid.uuid4())
    is_of_a_length = 1 <= len(given) <= KEY_MAX and given == given.strip()
    if not (is_of_a_length and given.isascii() and given.isprintable()):
        raise ValueError(
            f"An idempotency key is 1 to {KEY_MAX} printable ASCII characters, with no space at "
            "its ends."
        )
    return given


def path_part(name: str) -> str:
    """One part of a path. Dots alone would lead elsewhere (RFC 3986, 5.2.4): they are encoded."""
    if not name:
        raise ValueError("An id is needed, and this one is empty.")
    encoded = quote(name, safe="")
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")
