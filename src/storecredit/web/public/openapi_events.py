"""The events of webhooks in the OpenAPI document: what is posted to whoever registered for it."""

from typing import Any, Final

from storecredit.webhooks.catalogue import CATALOGUE, EventType, HeardBy
from storecredit.webhooks.event_schemas import event_schemas, schema_name

_COMPONENT: Final = "#/components/schemas/{name}"
_HEADERS: Final = {
    "webhook-id": "Names the event: the same at every attempt, and for every endpoint.",
    "webhook-timestamp": "When this attempt was made, in Unix seconds.",
    "webhook-signature": "`v1,` and the signature, by each secret of the endpoint that is valid, "
    "with a space between: https://www.standardwebhooks.com.",
}
_ANSWERS: Final = {
    "2XX": "The event was taken. After any other answer, or none, it is sent again.",
    "410": "No more events are wanted: the endpoint is disabled.",
}
_HEARERS: Final = {
    HeardBy.STORE: "Heard by the store, and by the operator.",
    HeardBy.OPERATOR: "Heard by the operator alone.",
    HeardBy.TESTED: "Heard by the endpoint that is tested, whatever types it hears.",
}


def documented_events() -> dict[str, Any]:
    """The `webhooks` of the document. They have no id: they are no operations of this API."""
    return {event.name: {"post": _posted(event)} for event in CATALOGUE}


def documented_event_schemas() -> dict[str, dict[str, Any]]:
    """The schemas that `documented_events` refers to."""
    return dict(event_schemas(_COMPONENT))


def _posted(event: EventType) -> dict[str, Any]:
    reference = {"$ref": _COMPONENT.format(name=schema_name(event))}
    return {
        "tags": ["operator" if event.heard_by is HeardBy.OPERATOR else "stores"],
        "summary": event.name,
        "description": f"{event.words} {_HEARERS[event.heard_by]}",
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": words,
                "schema": {"type": "string"},
            }
            for name, words in _HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference}},
        },
        "responses": {status: {"description": words} for status, words in _ANSWERS.items()},
    }
