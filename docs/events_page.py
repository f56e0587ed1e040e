"""The page of all events, made from the catalogue."""

from collections.abc import Mapping
from typing import Any

import msgspec

from storecredit.webhooks.catalogue import CATALOGUE, EVERY, TEST, EventType, HeardBy
from storecredit.webhooks.event_schemas import event_example, event_schemas

_HEARERS = {
    HeardBy.STORE: "store, operator",
    HeardBy.OPERATOR: "operator",
    HeardBy.TESTED: "the endpoint that is tested",
}
_HEAD = """# Events

What can be told to a webhook endpoint. [webhooks.md](webhooks.md) says how to register one and how
to verify what it is sent. Each event is posted as JSON:

```json
{example}
```

- `version` is 1 for all of them. Fields and types are added within it: pass over what you do not
  know, and answer 2xx.
- `timestamp` is when it happened. The header `webhook-id` names the event: the same at every
  attempt.
- `data` begins with whose it is: `store_id`, or `user_id` for an end user, of whom the operator
  alone hears. Nothing personal is in it.
- A store hears of itself, the operator of every owner. `{every}` in the place of types asks for all
  that the owner may hear. `{test}` comes when an endpoint is tested, whatever types it hears.

As JSON schemas (2020-12): [events.schema.json](events.schema.json). In the OpenAPI document they
are `webhooks`: `openapi-typescript` makes a type of each.

| type | who may hear it | |
|---|---|---|
"""


def events_page() -> str:
    """Every type of event: what it tells and when, its fields, an example."""
    first = CATALOGUE[0]
    head = _HEAD.format(example=_json(event_example(first)), every=EVERY, test=TEST)
    schemas = event_schemas("#/$defs/{name}")
    rows = "\n".join(
        f"| [`{event.name}`](#{event.name.replace('.', '')}) | {_HEARERS[event.heard_by]} "
        f"| {_first_sentence(event)} |"
        for event in CATALOGUE
    )
    sections = "\n".join(_section(event, schemas) for event in CATALOGUE)
    return f"{head}{rows}\n\n{sections}"


def _section(event: EventType, schemas: Mapping[str, dict[str, Any]]) -> str:
    fields = schemas[event.data.__name__]
    rows = "\n".join(
        f"| `{name}` | {_kind(field)}{_left_out(name, fields)} | {field['description']} |"
        for name, field in fields["properties"].items()
    )
    return f"""## {event.name}

{event.words}

| `data` | | |
|---|---|---|
{rows}

```json
{_json(event_example(event)["data"])}
```
"""


def _first_sentence(event: EventType) -> str:
    return event.words.partition(". ")[0].removesuffix(".") + "."


def _kind(field: Mapping[str, Any]) -> str:
    return " or ".join(_one_kind(each) for each in field.get("anyOf", (field,)))


def _one_kind(field: Mapping[str, str]) -> str:
    return {"uuid": "UUID", "date-time": "time"}.get(field.get("format", ""), field["type"])


def _left_out(name: str, fields: Mapping[str, Any]) -> str:
    return "" if name in fields["required"] else ", or left out"


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
