"""Webhook endpoints: registered, changed, rotated, disabled, deleted, by each set of doors."""

import asyncio
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from tests.log_stream import LogStream
from tests.web.checklist import UNKNOWN
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import data_of, error_of
from tests.web.webhooks.hooks import URL, Hooks, assert_absent, secrets_of

pytestmark = ONE_LOOP

VIEW = {
    *("endpoint_id", "store_id", "url", "event_types", "description", "ordered", "status"),
    *("disabled_reason", "disabled_at", "failing_since", "created_at", "updated_at"),
}
DAY_SECONDS = 24 * 3600


async def test_an_endpoint_is_made_with_a_secret_that_is_shown_once(
    hooks: Hooks, admin: asyncpg.Connection
) -> None:
    types = ["credits.low", "key.revoked", "credits.low"]
    answer = await hooks.send(
        "POST", url=URL, event_types=types, description="the shop", ordered=True
    )
    made = data_of(answer, 201)
    assert set(made) == VIEW | {"secret"}
    secret = made.pop("secret")
    assert made["store_id"] == hooks.store_id
    assert (made["url"], made["event_types"]) == (URL, ["credits.low", "key.revoked"])
    assert (made["description"], made["ordered"]) == ("the shop", True)
    assert made["status"] == "enabled"
    assert made["disabled_reason"] is made["disabled_at"] is made["failing_since"] is None
    assert answer.headers["location"].endswith(f"/{made['endpoint_id']}")

    path = f"/{made['endpoint_id']}"
    shown = await hooks.get(path)
    assert data_of(shown) == made
    assert made in await hooks.listed()
    assert "whsec_" not in shown.text + (await hooks.get()).text
    assert secret.startswith("whsec_")
    raw = b64decode(secret.removeprefix("whsec_"), validate=True)
    assert len(raw) == 32
    assert await secrets_of(admin, made["endpoint_id"]) == [(raw, None)]
    await hooks.forget()


async def test_an_endpoint_needs_no_more_than_a_url(hooks: Hooks) -> None:
    first, second = await hooks.made(), await hooks.made(event_types=["credits.low", "*"])
    for made in (first, second):
        assert made["event_types"] == ["*"], "all that there are"
        assert (made["description"], made["ordered"]) == ("", False)
    assert first["secret"] != second["secret"]
    ids = [each["endpoint_id"] for each in await hooks.listed()]
    assert ids == [second["endpoint_id"], first["endpoint_id"]], "newest first"
    await hooks.forget()
    assert await hooks.listed() == []


async def test_what_is_given_is_changed_and_no_more(hooks: Hooks) -> None:
    made = await hooks.made(event_types=["credits.low"], description="d")
    path = f"/{made['endpoint_id']}"
    del made["secret"]
    for change in (
        {"url": "https://other.example/"},
        {"event_types": ["*"]},
        {"description": ""},
        {"ordered": True},
        {"ordered": False},
    ):
        changed = data_of(await hooks.send("PATCH", path, **change))
        assert changed["updated_at"] >= made["updated_at"]
        made |= change | {"updated_at": changed["updated_at"]}
        assert changed == made == data_of(await hooks.get(path))
    await hooks.forget()


async def test_the_secrets_before_sign_along_until_the_overlap_is_over(
    own: Hooks, admin: asyncpg.Connection
) -> None:
    made = await own.made()
    path = f"/{made['endpoint_id']}/rotate"
    first = data_of(await own.send("POST", path))
    assert set(first) == VIEW | {"secret", "previous_expires_at"}
    until = datetime.fromisoformat(first["previous_expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < until <= timedelta(days=1), "a day unless given"
    hour = data_of(await own.send("POST", path, overlap_seconds=3600))
    living = await secrets_of(admin, made["endpoint_id"])
    shown = [each["secret"].removeprefix("whsec_") for each in (hour, first, made)]
    assert [secret for secret, _ in living] == [b64decode(each) for each in shown]
    assert living[0][1] is None
    # None lasts longer than it would have, or than it was told now.
    assert all(seconds is not None and 3000 < seconds <= 3600 for _, seconds in living[1:])
    data_of(await own.send("POST", path, overlap_seconds=2 * DAY_SECONDS))
    _, (_, newer), *older = await secrets_of(admin, made["endpoint_id"])
    assert newer is not None
    assert newer > DAY_SECONDS
    assert all(seconds is not None and seconds <= 3600 for _, seconds in older)

    at_once = data_of(await own.send("POST", path, overlap_seconds=0))
    assert [seconds for _, seconds in await secrets_of(admin, made["endpoint_id"])] == [None]
    assert at_once["secret"] not in (await own.get()).text


async def test_so_many_secrets_are_valid_at_once_and_no_more(
    own: Hooks, admin: asyncpg.Connection
) -> None:
    made = await own.made()
    path = f"/{made['endpoint_id']}/rotate"
    answers = await asyncio.gather(*(own.send("POST", path) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [409] * 2
    error = error_of(await own.send("POST", path), 409, "LIMIT_REACHED")
    assert "UTC" in error["message"]
    living = await secrets_of(admin, made["endpoint_id"])
    assert [seconds is None for _, seconds in living] == [True] + [False] * 4
    data_of(await own.send("POST", path, overlap_seconds=0))
    assert len(await secrets_of(admin, made["endpoint_id"])) == 1


async def test_ten_endpoints_and_no_more_however_many_come_at_once(
    own: Hooks, admin: asyncpg.Connection
) -> None:
    answers = await asyncio.gather(*(own.send("POST", url=URL) for _ in range(14)))
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 4
    error = error_of(await own.send("POST", url=URL), 409, "LIMIT_REACHED")
    assert "10" in error["message"]
    listed = await own.listed()
    assert len(listed) == 10
    data_of(await own.send("DELETE", f"/{listed[0]['endpoint_id']}"))
    await own.made()


async def test_one_that_is_disabled_is_enabled_with_a_clean_slate(
    own: Hooks, admin: asyncpg.Connection
) -> None:
    made = await own.made()
    path = f"/{made['endpoint_id']}"
    disabled = data_of(await own.send("POST", f"{path}/disable"))
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "requested")
    assert disabled["disabled_at"] is not None
    assert data_of(await own.send("POST", f"{path}/disable")) == disabled, "nothing changes"
    await admin.execute(
        """UPDATE storecredit.webhook_endpoints SET disabled_reason = 'failing',
           failing_since = now() WHERE endpoint_id = $1""",
        UUID(made["endpoint_id"]),
    )
    failing = data_of(await own.send("POST", f"{path}/disable"))
    assert failing["disabled_reason"] == "failing", "why it was disabled first"
    enabled = data_of(await own.send("POST", f"{path}/enable"))
    assert enabled["status"] == "enabled"
    assert enabled["disabled_reason"] is enabled["disabled_at"] is enabled["failing_since"] is None
    assert data_of(await own.send("POST", f"{path}/enable")) == enabled


async def test_one_that_is_deleted_is_gone_with_its_secrets(
    hooks: Hooks, admin: asyncpg.Connection
) -> None:
    made = await hooks.made()
    path = f"/{made['endpoint_id']}"
    gone = {"endpoint_id": made["endpoint_id"], "deleted": True}
    assert data_of(await hooks.send("DELETE", path)) == gone
    await assert_absent(hooks, path)
    assert await secrets_of(admin, made["endpoint_id"]) == []


@pytest.mark.parametrize("id_", [UNKNOWN, "webhook", "evt_1"])
async def test_there_is_none_of_an_unknown_id(own: Hooks, id_: str) -> None:
    await assert_absent(own, f"/{id_}")


async def test_a_url_is_nowhere_in_the_log(own: Hooks, log: LogStream) -> None:
    made = await own.made()
    path = f"/{made['endpoint_id']}"
    data_of(await own.send("PATCH", path, url=URL + "&x=1"))
    data_of(await own.send("POST", f"{path}/rotate"))
    error_of(
        await own.send("PATCH", path, url="http://t0p-secret.example"), 400, "VALIDATION_ERROR"
    )
    assert log.events("request")
    for hidden in ("t0p-secret", "hats.example", "whsec_", made["secret"][6:]):
        assert hidden not in log.getvalue()
