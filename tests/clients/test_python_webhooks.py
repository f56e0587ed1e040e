"""Webhooks as the client for Python reads them, signed by the official library."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from clients.generate import DOCUMENT, stores_document
from storecredit.webhooks.catalogue import STORE_EVENT_TYPES, TEST
from storecredit_client import WebhookRefused
from storecredit_client.models import CreditsLowEvent
from storecredit_client.webhooks import UnknownEvent, verified
from tests.e2e.page_commands import Page

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(32)).decode()
BODY = '{"type": "credits.lost", "note": "für später"}'
STORES = stores_document(json.loads(DOCUMENT.read_bytes()))
EXAMPLES: dict[str, dict[str, Any]] = {
    example["type"]: example
    for name, schema in STORES["components"]["schemas"].items()
    if name.endswith("Event")
    for example in schema.get("examples", ())
}
"""An event of each type that a store may hear, as the document shows it."""
LOW = EXAMPLES["credits.low"]


def signed(*secrets: str, body: str = BODY, age_seconds: int = 0) -> dict[str, str]:
    """Headers as they arrive, signed with each secret."""
    moment = datetime.now(UTC) - timedelta(seconds=age_seconds)
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(moment.timestamp())),
        "Webhook-Signature": " ".join(Webhook(it).sign("msg_1", moment, body) for it in secrets),
    }


@pytest.mark.parametrize("secrets", [(SECRET,), (OTHER, SECRET), (SECRET, OTHER)])
def test_what_was_signed_with_the_secret_is_read(secrets: tuple[str, ...]) -> None:
    event = verified(BODY.encode(), signed(*secrets), SECRET)
    assert event == UnknownEvent(body={"type": "credits.lost", "note": "für später"})


def read(content: Any) -> Any:
    body = json.dumps(content)
    return verified(body.encode(), signed(SECRET, body=body), SECRET)


def test_every_event_that_a_store_may_hear_is_of_a_type_of_its_own() -> None:
    assert set(EXAMPLES) == {*STORE_EVENT_TYPES, TEST}
    events = [read(example) for example in EXAMPLES.values()]
    assert [event.type for event in events] == list(EXAMPLES)
    assert len({type(event) for event in events} - {UnknownEvent}) == len(EXAMPLES)


def test_an_event_is_read_by_its_fields_and_more_of_them_do_no_harm() -> None:
    event = read(LOW | {"later": 1, "data": LOW["data"] | {"later": 1}})
    assert isinstance(event, CreditsLowEvent)
    assert event.data.balance == event.data.threshold == 50
    assert event.timestamp == datetime(2026, 11, 30, 10, tzinfo=UTC)


@pytest.mark.parametrize("change", [{"type": "credits.lost"}, {"version": 2}])
def test_an_event_of_a_later_version_is_read_as_it_came(change: dict[str, Any]) -> None:
    assert read(LOW | change) == UnknownEvent(body=LOW | change)


@pytest.mark.parametrize("change", [{"type": ["a"]}, {"version": "one"}, {"data": {}}])
def test_what_is_no_event_is_refused_whoever_signed_it(change: dict[str, Any]) -> None:
    with pytest.raises(WebhookRefused, match="cannot be read"):
        read(LOW | change)


@pytest.mark.parametrize(
    "body, headers",
    [
        (BODY, lambda: signed(OTHER)),
        (BODY, lambda: signed(SECRET, age_seconds=301)),
        (BODY, lambda: signed(SECRET, age_seconds=-400)),
        (BODY + " ", lambda: signed(SECRET)),
        (BODY, dict),
        (BODY, lambda: signed(SECRET) | {"Webhook-Timestamp": "soon"}),
        (BODY, lambda: signed(SECRET) | {"Webhook-Signature": "v1"}),
        (BODY, lambda: signed(SECRET) | {"Webhook-Signature": "v1,ä"}),
        ("", lambda: signed(SECRET, body="")),
        ("[1]", lambda: signed(SECRET, body="[1]")),
        ("a page", lambda: signed(SECRET, body="a page")),
    ],
)
def test_anything_else_is_refused(body: str, headers: Callable[[], dict[str, str]]) -> None:
    # Signed now: long after these were collected it would be refused for its age.
    with pytest.raises(WebhookRefused, match="no webhook of ours"):
        verified(body.encode(), headers(), SECRET)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(WebhookRefused, match="cannot be read"):
        verified(b"\xff", signed(SECRET), SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_a"])
def test_a_secret_that_is_none_is_the_receivers_mistake(secret: str) -> None:
    with pytest.raises(ValueError, match="no webhook secret"):
        verified(BODY.encode(), signed(SECRET), secret)


def test_the_handler_of_the_readme_answers_what_it_is_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    [example] = [it for it in Page("clients/python/README.md").blocks("python") if "def rec" in it]
    page: dict[str, Any] = {}
    exec(example, page)  # noqa: S102 - the page's own words
    body = json.dumps(LOW)
    assert page["receive"](body.encode(), signed(SECRET, body=body), SECRET) == 200
    assert capsys.readouterr().out == "Only 50 credits left\n"
    assert page["receive"](BODY.encode(), signed(SECRET), SECRET) == 200
    assert capsys.readouterr().out == "passed over: credits.lost\n"
    assert page["receive"](BODY.encode(), signed(OTHER), SECRET) == 400
