"""superjson, read and written as the library does it; the expected forms are its own output."""

from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from math import isnan
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storecredit.web.trpc.superjson import (
    ANNOTATIONS_MAX,
    PATH_MAX_CHARACTERS,
    UNDEFINED,
    Foreign,
    NotSuperjson,
    deserialize,
    serialize,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
AT_TEXT = "2026-01-02T03:04:05.678Z"


class Colour(StrEnum):
    RED = "red"


class Row(msgspec.Struct, rename="camel"):
    row_id: UUID
    created_at: datetime
    colour: Colour = Colour.RED
    ended_at: datetime | None = None


def meta(values: object) -> dict[str, object]:
    return {"values": values, "v": 1}


@pytest.mark.parametrize(
    "value, json, values",
    [
        (None, None, None),
        (5, 5, None),
        (True, True, None),
        ("a", "a", None),
        ([], [], None),
        ({}, {}, None),
        (AT, AT_TEXT, ["Date"]),
        (UNDEFINED, None, ["undefined"]),
        ([AT, 1], [AT_TEXT, 1], {"0": ["Date"]}),
        ({"a": {"b": [AT]}}, {"a": {"b": [AT_TEXT]}}, {"a.b.0": ["Date"]}),
        ({"a.b": AT}, {"a.b": AT_TEXT}, {"a\\.b": ["Date"]}),
        ({"a\\b": AT}, {"a\\b": AT_TEXT}, {"a\\\\b": ["Date"]}),
        ({"": AT}, {"": AT_TEXT}, {"": ["Date"]}),
        ({"a": UNDEFINED}, {"a": None}, {"a": ["undefined"]}),
        (
            (Row(UUID(int=1), AT),),
            [
                {
                    "rowId": "00000000-0000-0000-0000-000000000001",
                    "createdAt": AT_TEXT,
                    "colour": "red",
                    "endedAt": None,
                }
            ],
            {"0.createdAt": ["Date"]},
        ),
    ],
)
def test_writing(value: object, json: object, values: object) -> None:
    written = serialize(value)
    assert msgspec.json.decode(msgspec.json.encode(written)) == (
        {"json": json} if values is None else {"json": json, "meta": meta(values)}
    )


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    elsewhere = datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert serialize(elsewhere)["json"] == "2026-01-02T03:04:05.000Z"


@pytest.mark.parametrize(
    "payload, value",
    [
        ({"json": {"a": 1}}, {"a": 1}),
        ({"json": None}, None),
        ({"json": None, "meta": meta(["undefined"])}, UNDEFINED),
        ({"json": None, "meta": {"values": ["undefined"]}}, UNDEFINED),
        ({}, UNDEFINED),
        (5, UNDEFINED),
        ("", UNDEFINED),
        ([], UNDEFINED),
        ({"json": {"a": 1}, "meta": None}, {"a": 1}),
        ({"json": {"a": 1}, "meta": "x"}, {"a": 1}),
        ({"json": {"a": 1}, "meta": meta(5)}, {"a": 1}),
        ({"json": {"a": 1}, "meta": meta(None)}, {"a": 1}),
        ({"json": {"a": 1}, "meta": meta([])}, {"a": 1}),
        ({"json": {"a": None}, "meta": meta({"a": ["undefined"]})}, {"a": UNDEFINED}),
        ({"json": {}, "meta": meta({"a": ["undefined"]})}, {"a": UNDEFINED}),
        ({"json": {"a": 1}, "meta": meta({"b.c": ["undefined"]})}, {"a": 1}),
        ({"json": [1], "meta": meta({"5": ["undefined"]})}, [1]),
        ({"json": [1], "meta": meta({"x": ["undefined"]})}, [1]),
        ({"json": [1], "meta": meta({"9" * PATH_MAX_CHARACTERS: ["undefined"]})}, [1]),
        ({"json": [1, None], "meta": meta({"1": ["undefined"]})}, [1, UNDEFINED]),
        ({"json": {"a.b": "x"}, "meta": meta({"a\\.b": ["undefined"]})}, {"a.b": UNDEFINED}),
        ({"json": {"a\\b": "x"}, "meta": meta({"a\\\\b": ["URL"]})}, {"a\\b": Foreign("URL")}),
        (
            {"json": {"a\\b": 1}, "meta": {"values": {"a\\b": ["Error"]}}},
            {"a\\b": Foreign("Error")},
        ),
        ({"json": {"a.b": 1}, "meta": {"values": {"a\\.b": ["Error"]}}}, {"a.b": Foreign("Error")}),
        ({"json": AT_TEXT, "meta": meta(["Date"])}, AT.replace(microsecond=678_000)),
        ({"json": "2026-01-02", "meta": meta(["Date"])}, Foreign("Date")),
        ({"json": "yesterday", "meta": meta(["Date"])}, Foreign("Date")),
        ({"json": "0001-01-01T00:00:00+14:00", "meta": meta(["Date"])}, Foreign("Date")),
        ({"json": "9999-12-31T23:59:59-14:00", "meta": meta(["Date"])}, Foreign("Date")),
        ({"json": 5, "meta": meta(["Date"])}, Foreign("Date")),
        ({"json": "-Infinity", "meta": meta(["number"])}, float("-inf")),
        ({"json": "7", "meta": meta(["number"])}, 7),
        ({"json": "7", "meta": meta(["bigint"])}, Foreign("bigint")),
        ({"json": "/a/", "meta": meta(["regexp"])}, Foreign("RegExp")),
        ({"json": [1], "meta": meta([["typed-array", "Uint8Array"]])}, Foreign("Uint8Array")),
        ({"json": [AT_TEXT], "meta": meta(["set", {"0": ["Date"]}])}, Foreign("Set")),
        ({"json": [["a", 1]], "meta": meta(["map", {"0.1": ["bigint"]}])}, Foreign("Map")),
        (
            {"json": {"a": 3, "b": None}, "meta": {"referentialEqualities": {"a": ["b"]}, "v": 1}},
            {"a": 3, "b": 3},
        ),
        (
            {
                "json": {"a": {"n": None}, "b": None},
                "meta": meta({"a.n": ["undefined"]}) | {"referentialEqualities": {"a": ["b", "c"]}},
            },
            {"a": {"n": UNDEFINED}, "b": {"n": UNDEFINED}, "c": {"n": UNDEFINED}},
        ),
    ],
)
def test_reading(payload: Any, value: object) -> None:
    assert deserialize(payload) == value


def test_reading_what_is_not_a_number() -> None:
    texts: list[Any] = ["NaN", "/x/", None, [], "9" * 5000]
    for text in texts:
        number = deserialize({"json": {"a": text}, "meta": meta({"a": ["number"]})})["a"]
        assert isnan(number) or number == float("inf")


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {"json": 1, "meta": meta(["wat"])},
        {"json": 1, "meta": meta([5])},
        {"json": 1, "meta": meta([["class", "User"]])},
        {"json": 1, "meta": meta([["custom", "Decimal"]])},
        {"json": 1, "meta": meta([["symbol", "s"]])},
        {"json": 1, "meta": meta([[]])},
        {"json": {}, "meta": meta("x")},
        {"json": {}, "meta": meta({"a": "x"})},
        {"json": {}, "meta": meta({"a\\b": ["undefined"]})},
        {"json": {}, "meta": meta({"a\\": ["undefined"]})},
        {"json": {}, "meta": meta({"__proto__": ["undefined"]})},
        {"json": {}, "meta": meta({"a.constructor": ["undefined"]})},
        {"json": {}, "meta": meta({"prototype.a": ["undefined"]})},
        {"json": {}, "meta": {"referentialEqualities": {"a": ["__proto__"]}}},
        {"json": {}, "meta": {"referentialEqualities": {"a": [5]}}},
        {"json": {}, "meta": {"referentialEqualities": [["a"]]}},
        {"json": {}, "meta": meta({str(n): ["undefined"] for n in range(ANNOTATIONS_MAX + 1)})},
        {"json": {}, "meta": {"referentialEqualities": {"a": ["b"] * (ANNOTATIONS_MAX + 1)}}},
        {"json": {}, "meta": meta({"a" * (PATH_MAX_CHARACTERS + 1): ["undefined"]})},
        {"json": {}, "meta": meta({"." * 200: {"." * 200: ["undefined"]}})},
        {"json": {}, "meta": {"referentialEqualities": {"a": ["b" * (PATH_MAX_CHARACTERS + 1)]}}},
        {"json": {}, "meta": {"referentialEqualities": {"a" * (PATH_MAX_CHARACTERS + 1): ["b"]}}},
    ],
)
def test_what_is_not_of_this_form_is_refused(payload: Any) -> None:
    with pytest.raises(NotSuperjson):
        deserialize(payload)


def test_annotations_nested_beyond_reason_are_refused() -> None:
    tree: Any = ["undefined"]
    for _ in range(5000):
        tree = {"a": tree}
    with pytest.raises(NotSuperjson):
        deserialize({"json": {}, "meta": meta(tree)})


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.just(UNDEFINED)
    | st.datetimes(timezones=st.just(UTC)).map(lambda it: it.replace(microsecond=0)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=4).filter(lambda it: it not in {"__proto__", "constructor"}), inner
        )
    ),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read_as_it_was(value: object) -> None:
    written = msgspec.json.decode(msgspec.json.encode(serialize(value)))
    assert deserialize(written) == value
