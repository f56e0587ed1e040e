"""Faults of values: what no body of ours holds so far, but a type may."""

from typing import Annotated, Any

import msgspec
import pytest

from storecredit.settings import Settings
from storecredit.web.http.faults import Check, CheckedField, checked_fields, faults_of


def refusal(text: str, _settings: Settings) -> str | None:
    return "Not this." if text == "no" else None


Checked = Annotated[str, Check(refusal)]


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    name: Checked
    place: int | None = None


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner
    rows: list[list[Checked]] = msgspec.field(default_factory=list)
    by_name: dict[str, Inner] = msgspec.field(default_factory=dict)
    either: int | str | None = None
    renamed: int = msgspec.field(default=0, name="camelCase")


class Flat(msgspec.Struct):
    word: Checked | None = None
    words: Annotated[list[Checked], msgspec.Meta(max_length=2)] | None = None


class Rows(msgspec.Struct):
    rows: list[Flat]
    inner: list[Inner] = msgspec.field(default_factory=list)


def places(value: Any, type_: Any = Outer) -> list[str]:
    return [fault.key for fault in faults_of(value, type_, Settings())]


def test_faults_are_found_however_deep_they_stand() -> None:
    assert places(
        {
            "inner": {"nmae": "", "place": "x"},
            "rows": [["yes", "no"], 7, [None]],
            "by_name": {"a": {"name": "no"}, "b": []},
            "either": [],
            "camelCase": "x",
            "renamed": 1,
        }
    ) == [
        "renamed",
        "inner.nmae",
        "inner.name",
        "inner.place",
        "rows[0][1]",
        "rows[1]",
        "rows[2][0]",
        "by_name[...].name",
        "by_name[...]",
        "either",
        "camelCase",
    ]


def test_what_is_right_has_no_fault() -> None:
    assert places({"inner": {"name": "yes", "place": None}, "either": "x", "camelCase": 7}) == []
    assert places(None, Outer | None) == []


@pytest.mark.parametrize("value", [None, [], "x", 7, True])
def test_what_is_no_object_is_one_fault_of_the_whole(value: Any) -> None:
    assert places(value) == [""]


def test_checks_of_what_is_decoded_are_those_of_its_faults() -> None:
    fields = checked_fields(Flat)
    check = Check(refusal)
    assert fields == (CheckedField("word", check, False), CheckedField("words", check, True))
    for body, refuses in (
        (Flat(), [False, False]),
        (Flat("no", ["yes"]), [True, False]),
        (Flat("yes", ["yes", "no"]), [False, True]),
    ):
        assert [field.refuses(body, Settings()) for field in fields] == refuses
        assert bool(places(msgspec.to_builtins(body), Flat)) == any(refuses)


def test_checks_of_the_items_of_a_list_are_those_of_its_faults() -> None:
    checked = checked_fields(Rows)
    for body, refuses in (
        (Rows([]), False),
        (Rows([Flat("yes")], [Inner("yes")]), False),
        (Rows([Flat("yes"), Flat("yes", ["no"])]), True),
        (Rows([], [Inner("yes"), Inner("no")]), True),
    ):
        assert any(each.refuses(body, Settings()) for each in checked) is refuses
        assert bool(places(msgspec.to_builtins(body), Rows)) is refuses


def test_a_check_that_would_be_passed_over_is_no_type_for_a_direct_route() -> None:
    with pytest.raises(TypeError, match=r"Outer\.inner"):
        checked_fields(Outer)
