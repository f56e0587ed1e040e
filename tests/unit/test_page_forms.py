"""What a form of a page is read as, and what is told of what cannot be."""

from datetime import UTC, datetime
from typing import Annotated, Any, cast

import msgspec
import pytest
from litestar import Request

from storecredit.settings import Settings
from storecredit.web.pages.forms import DIGITS, NEEDED, Form, FormRefused, read_form

Request_ = Request[Any, Any, Any]


class Wanted(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(max_length=5)]
    amount: Annotated[int, msgspec.Meta(ge=1, le=10)]
    at: datetime | None = None
    lines: Annotated[list[str], msgspec.Meta(max_length=2)] = msgspec.field(default_factory=list)
    is_on: bool = False


class _State:
    class app:  # noqa: N801 - as the framework names it
        state = {"settings": Settings()}  # noqa: RUF012 - read only


def read(**texts: str | list[str]) -> Wanted:
    lists = {name: [value] if isinstance(value, str) else value for name, value in texts.items()}
    form = Form({name: values[-1] for name, values in lists.items()}, lists)
    return read_form(cast("Request_", _State), form, Wanted)


def test_fields_are_what_their_types_say() -> None:
    found = read(name=" a ", amount="3", at="2026-12-01T10:30", lines="x\n\n y ", is_on="true")
    assert found == Wanted("a", 3, datetime(2026, 12, 1, 10, 30, tzinfo=UTC), ["x", "y"], True)
    assert read(name="a", amount="3", at="2026-12-01", lines=["x", "y"]).at == datetime(
        2026, 12, 1, tzinfo=UTC
    )


def test_an_empty_field_counts_as_left_out() -> None:
    assert read(name="a", amount="3", at=" ", lines="", is_on="") == Wanted("a", 3)


@pytest.mark.parametrize(
    "sent, faults",
    [
        ({}, {"name": NEEDED, "amount": NEEDED}),
        ({"name": "a", "amount": "0"}, {"amount": "This must be at least 1."}),
        ({"name": "a", "amount": "11"}, {"amount": "This must be at most 10."}),
        *(
            ({"name": "a", "amount": text}, {"amount": DIGITS})
            # A thousand as Germans, the Swiss and the English write it; a thousand of programs.
            for text in ("1.000", "1'000", "1,000", "1e3", "٣")
        ),
        ({"name": "a", "amount": "1.5"}, {"amount": DIGITS}),
        (
            {"name": "abcdef", "amount": "x"},
            {
                "name": "This has at most 5 characters.",
                "amount": DIGITS,
            },
        ),
        ({"name": "a", "amount": "1", "lines": "x\ny\nz"}, {"lines": "There can be at most 2."}),
    ],
)
def test_every_fault_is_told_by_its_field(sent: dict[str, str], faults: dict[str, str]) -> None:
    with pytest.raises(FormRefused) as refused:
        read(**sent)
    assert refused.value.form.faults == faults
    assert refused.value.form.texts == sent


def test_what_is_no_moment_is_told() -> None:
    for text in ("soon", "2026-13-01", "1795948200000"):
        with pytest.raises(FormRefused) as refused:
            read(name="a", amount="1", at=text)
        assert list(refused.value.form.faults) == ["at"]
