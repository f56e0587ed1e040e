"""The catalogue of events: examples, schemas, and that SQL tells these types and no other."""

import re
from pathlib import Path

import msgspec
import pytest

import storecredit.sql
from storecredit.webhooks.catalogue import CATALOGUE, EVENT_TYPES, TEST, EventType, HeardBy
from storecredit.webhooks.event_schemas import event_example
from tests.web.webhooks.hearing import assert_of_the_catalogue, schema

SQL = Path(storecredit.sql.__file__).parent
NAMES = {event.name for event in CATALOGUE}
ROOMS = "|".join(sorted({name.partition(".")[0] for name in NAMES}))


def named_in(folder: str) -> set[str]:
    """What looks like a type of event in the SQL of a folder: in quotes, alone or in an array."""
    text = "".join(file.read_text(encoding="utf-8") for file in (SQL / folder).rglob("*.sql"))
    return set(re.findall(rf"['{{]((?:{ROOMS})\.[a-z_]+)['}},]", text))


def test_sql_tells_the_types_of_the_catalogue_and_no_other() -> None:
    # These two are made of the status of their session.
    assert named_in("functions") | {"generation.completed", "generation.failed"} == NAMES


def test_every_name_is_that_of_a_room_and_what_happened() -> None:
    assert len(NAMES) == len(CATALOGUE)
    assert {*EVENT_TYPES, TEST} == NAMES
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", name) for name in NAMES)
    assert all(event.words.endswith(".") for event in CATALOGUE)


@pytest.mark.parametrize("event", CATALOGUE, ids=lambda event: event.name)
def test_an_example_is_what_a_body_would_be(event: EventType) -> None:
    assert_of_the_catalogue(event_example(event))
    whose = set(event_example(event)["data"]) & {"store_id", "user_id"}
    assert len(whose) == 1 or event.heard_by is HeardBy.OPERATOR


@pytest.mark.parametrize("event", CATALOGUE, ids=lambda event: event.name)
def test_a_schema_takes_more_than_there_is_and_nothing_else(event: EventType) -> None:
    example = event_example(event)
    more = example | {"more": 1, "data": example["data"] | {"more": 1}}
    assert schema().is_valid(more), "a later build says more"
    for body in (
        example | {"type": "credits.found"},
        example | {"version": 2},
        example | {"timestamp": "yesterday"},
        {name: example[name] for name in example if name != "timestamp"},
        example | {"data": dict.fromkeys(example["data"]) | {"store_id": "one"}},
    ):
        assert not schema().is_valid(body), body


def test_what_nobody_has_said_yet_is_noticed_in_tests() -> None:
    body = event_example(CATALOGUE[0])
    body["data"]["more"] = 1
    with pytest.raises(msgspec.ValidationError):
        assert_of_the_catalogue(body)
