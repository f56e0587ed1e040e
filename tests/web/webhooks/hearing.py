"""Endpoints that hear, and whether what they are to be told is as the catalogue has it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from jsonschema import Draft202012Validator, FormatChecker

from storecredit.webhooks.catalogue import CATALOGUE, VERSION
from storecredit.webhooks.messages import Event, body_of
from tests.billing.everywhere import in_each_bucket

DOCS: Final = Path(__file__).parents[3] / "docs"
EVENTS: Final = {event.name: event for event in CATALOGUE}
BODIES: Final = """
    SELECT e.event_id, e.type, e.created_at, e.data, a.owner_kind, a.owner_id
    FROM deliveries d JOIN events e USING (seq) LEFT JOIN accounts a USING (account_id)
    WHERE d.endpoint_id = $1 ORDER BY seq"""


@cache
def schema() -> Draft202012Validator:
    """The schema of any event, as it is kept in docs/; formats are looked at, too."""
    kept = json.loads((DOCS / "events.schema.json").read_bytes())
    Draft202012Validator.check_schema(kept)
    formats = FormatChecker(["uuid"])
    # The library passes over a format that it has no package for, without a word.
    formats.checks("date-time", raises=ValueError)(is_moment)
    return Draft202012Validator(kept, format_checker=formats)


def is_moment(value: object) -> bool:
    """Whether a string is a time in UTC as all are told. Raises ValueError for what is none."""
    if not isinstance(value, str):
        return True
    datetime.fromisoformat(value)
    return value.endswith("Z")


def assert_of_the_catalogue(body: dict[str, Any]) -> None:
    """A body is what its struct and its schema say, and nothing is in it beside."""
    assert list(body) == ["type", "version", "timestamp", "data"]
    assert body["version"] == VERSION
    msgspec.convert(body["data"], EVENTS[body["type"]].data, strict=False)
    errors = [error.message for error in schema().iter_errors(body)]
    assert errors == [], body


@dataclass(frozen=True, slots=True)
class Ear:
    """An endpoint that hears one type of event, and so tells whether that alone is enough."""

    admin: asyncpg.Connection
    endpoint_id: UUID

    async def heard(self) -> Sequence[dict[str, Any]]:
        """The bodies of what it is told, oldest first; each is of the catalogue."""
        # It is in one bucket, with all that it is told.
        rows = await in_each_bucket(self.admin, BODIES, self.endpoint_id)
        bodies = [json.loads(body_of(Event(**row))) for row in rows]
        for body in bodies:
            assert_of_the_catalogue(body)
        return bodies

    async def said(self) -> Sequence[dict[str, Any]]:
        """What those say."""
        return [body["data"] for body in await self.heard()]
