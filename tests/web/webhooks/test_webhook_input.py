"""What of an endpoint is refused, each fault told by its place, and nothing written."""

from typing import Any

from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import error_of
from tests.web.webhooks.hooks import URL, Hooks

pytestmark = ONE_LOOP

WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "url"),
    ({"url": None}, "url"),
    ({"url": 1}, "url"),
    *(({"url": url}, "url") for url in ("http://hats.example/", "https://127.0.0.1/", "")),
    ({"url": URL, "event_types": []}, "event_types"),
    ({"url": URL, "event_types": "credits.low"}, "event_types"),
    ({"url": URL, "event_types": ["credits.low", "credit.low"]}, "event_types[1]"),
    ({"url": URL, "event_types": ["webhook.test"]}, "event_types[0]"),
    ({"url": URL, "event_types": ["*"] * 51}, "event_types"),
    ({"url": URL, "description": "d" * 201}, "description"),
    ({"url": URL, "description": "a\0b"}, "description"),
    ({"url": URL, "ordered": "perhaps"}, "ordered"),
    ({"url": URL, "types": ["credits.low"]}, "types"),
)


async def test_what_cannot_be_is_refused_by_its_place(own: Hooks) -> None:
    made = await own.made()
    path = f"/{made['endpoint_id']}"
    for body, key in WRONG:
        answer = await own.caller.send("POST", own.base, json=body)
        details = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert [each["key"] for each in details] == [key], body
        assert "hats.example" not in answer.text
        if body.get("url"):
            answer = await own.caller.send("PATCH", f"{own.base}{path}", json=body)
            error_of(answer, 400, "VALIDATION_ERROR")
    answer = await own.send("POST", url=URL, event_types=["credit.low"])
    assert "Did you mean `credits.low`?" in answer.text
    [one] = await own.listed()
    assert one == {name: made[name] for name in one}


async def test_an_overlap_and_a_time_that_cannot_be_are_refused(own: Hooks) -> None:
    made = await own.made()
    path = f"/{made['endpoint_id']}"
    for below, body, key in (
        ("rotate", {"overlap_seconds": -1}, "overlap_seconds"),
        ("rotate", {"overlap_seconds": 30 * 24 * 3600 + 1}, "overlap_seconds"),
        ("rotate", {"overlap": 1}, "overlap"),
        ("resend", {"until": "2026-01-01T00:00:00Z"}, "until"),
        ("resend", {"since": "yesterday"}, "since"),
        ("resend", {"since": "0001-01-01T00:00:00+14:00"}, "since"),
        ("resend", {"since": "2026-01-01T00:00:00Z", "status": "pending"}, "status"),
        ("resend", {"since": "2026-01-01T00:00:00Z", "cursor": "next"}, "cursor"),
    ):
        answer = await own.send("POST", f"{path}/{below}", **body)
        details = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert key in [each["key"] for each in details], body
    for query in (
        {"status": "lost"},
        {"type": "credit.low"},
        {"type": "*"},
        {"limit": 101},
        {"cursor": "x"},
    ):
        answer = await own.get(f"{path}/deliveries", **query)
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert detail["key"] == next(iter(query))
