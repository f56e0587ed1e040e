"""Webhooks as the client for Python reads them, signed by the official library."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from storecredit_client import WebhookRefused
from storecredit_client.webhooks import verified
from tests.e2e.page_commands import Page

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(32)).decode()
BODY = '{"type": "credits.low", "note": "für später"}'


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
    assert event == {"type": "credits.low", "note": "für später"}


@pytest.mark.parametrize(
    "body, headers",
    [
        (BODY, signed(OTHER)),
        (BODY, signed(SECRET, age_seconds=301)),
        (BODY, signed(SECRET, age_seconds=-400)),
        (BODY + " ", signed(SECRET)),
        (BODY, {}),
        (BODY, signed(SECRET) | {"Webhook-Timestamp": "soon"}),
        (BODY, signed(SECRET) | {"Webhook-Signature": "v1"}),
        (BODY, signed(SECRET) | {"Webhook-Signature": "v1,ä"}),
        ("", signed(SECRET, body="")),
        ("[1]", signed(SECRET, body="[1]")),
        ("a page", signed(SECRET, body="a page")),
    ],
)
def test_anything_else_is_refused(body: str, headers: dict[str, str]) -> None:
    with pytest.raises(WebhookRefused, match="no webhook of ours"):
        verified(body.encode(), headers, SECRET)


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
    assert page["receive"](BODY.encode(), signed(SECRET), SECRET) == 200
    assert capsys.readouterr().out == "credits.low\n"
    assert page["receive"](BODY.encode(), signed(OTHER), SECRET) == 400
