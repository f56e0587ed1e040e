"""The catalogue of events as JSON schemas (2020-12), for docs/ and for the OpenAPI document.

A receiver is to go on when a later build says more: so the schemas allow further fields.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from storecredit.webhooks.catalogue import CATALOGUE, EXAMPLE_TIME, VERSION, EventType

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def event_example(event: EventType) -> dict[str, Any]:
    """A whole body as it is delivered."""
    told: dict[str, Any] = msgspec.to_builtins(
        {
            "type": event.name,
            "version": VERSION,
            "timestamp": EXAMPLE_TIME,
            "data": event.example,
        }
    )
    return told


def event_schemas(ref_template: str) -> Mapping[str, dict[str, Any]]:
    """The schemas of all events and of what they say, by their names.

    `ref_template` is where they refer to one another: `#/$defs/{name}`.
    """
    _, said = msgspec.json.schema_components(
        [event.data for event in CATALOGUE], ref_template=ref_template
    )
    schemas = {name: _open(schema) for name, schema in said.items()}
    for event in CATALOGUE:
        reference = {"$ref": ref_template.format(name=event.data.__name__)}
        schemas[schema_name(event)] = _whole(event, reference)
    return schemas


def schema_name(event: EventType) -> str:
    """The name of an event's schema; that of what it says is the struct's."""
    return event.data.__name__.removesuffix("Data") + "Event"


def events_document() -> bytes:
    """One schema that any event has to meet, with those of all types: indented JSON."""
    document = {
        "$schema": DIALECT,
        "title": "An event of storecredit",
        "description": "Of a type that is not here: answer 2xx and pass over it.",
        "oneOf": [{"$ref": f"#/$defs/{schema_name(event)}"} for event in CATALOGUE],
        "$defs": dict(sorted(event_schemas("#/$defs/{name}").items())),
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _whole(event: EventType, data: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"`{event.name}`: {event.words}",
        "properties": {
            # Client generators take a const without a type for anything.
            "type": {"type": "string", "const": event.name},
            "version": {
                "type": "integer",
                "const": VERSION,
                "description": "Of the form of all events; it changes only if what is here does.",
            },
            "timestamp": {
                "type": "string",
                "format": "date-time",
                "description": "When it happened.",
            },
            "data": data,
        },
        "required": ["type", "version", "timestamp", "data"],
        "examples": [event_example(event)],
    }


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    closed = {"title", "additionalProperties"}
    words = " ".join(schema.get("description", "").split())
    return {
        **{name: value for name, value in schema.items() if name not in closed},
        "description": words,
    }
