"""`/console/tokens`, `/audit`, `/settings`: who the operators are, what they did, how it is set."""

import re

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from storecredit.settings import Settings
from tests.console.conftest import Browser, signed_in
from tests.web.doors import OPERATOR_TOKEN, Operator, data_of

SECRET = re.compile(r'<code id="secret">([^<]*)</code>')


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"openai_api_key": SecretStr("sk-not-to-be-shown")})


async def test_a_token_is_made_once_and_shown_once(
    browser: Browser, api: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    page = await browser.get("/console/tokens")
    fields = {"name": "ann", "scopes": ["read", "keys"], "days": "7", "reason": "support"}
    made = await browser.send(page, "/console/tokens", fields)
    assert made.status_code == 200
    [token] = SECRET.findall(made.text)
    again = await browser.send(page, "/console/tokens", fields)
    assert again.status_code == 200
    assert SECRET.findall(again.text) == [token]
    [row] = await admin.fetch("SELECT * FROM admin_tokens")
    assert (row["name"], sorted(row["scopes"])) == ("ann", ["keys", "read"])
    assert (row["expires_at"] - row["created_at"]).days in {7, 8}
    [entry] = await admin.fetch("SELECT * FROM audit_log")
    assert (entry["action"], entry["door"], entry["actor"], entry["reason"]) == (
        *("token.create", "console"),
        *("admin", "support"),
    )
    assert token not in str(dict(entry))
    ann = await signed_in(api, token)
    assert (await ann.get("/console/audit")).status_code == 200


async def test_what_a_token_cannot_be_is_told_by_its_field(
    browser: Browser, admin: asyncpg.Connection
) -> None:
    page = await browser.get("/console/tokens")
    for fields, message in (
        ({"name": "", "scopes": "read"}, "This is needed"),
        ({"name": "kept <b>", "scopes": []}, "This is needed"),
        ({"name": "kept <b>", "scopes": "rule"}, "Expected one of"),
        ({"name": "admin", "scopes": "read"}, "cannot be a name"),
        ({"name": "kept <b>", "scopes": "read", "days": "0"}, "This must be at least 1"),
        ({"name": "kept <b>", "scopes": "read", "days": "soon"}, "days"),
    ):
        answer = await browser.send(page, "/console/tokens", fields)
        assert answer.status_code == 400, fields
        assert message in answer.text
        assert 'aria-invalid="true"' in answer.text or "fault-scopes" in answer.text
        assert "kept &lt;b&gt;" in answer.text or "kept" not in str(fields)
    assert await admin.fetch("SELECT * FROM admin_tokens") == []


async def test_a_revoked_token_is_asked_about_first(
    browser: Browser, operator: Operator, admin: asyncpg.Connection
) -> None:
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read"]), 201)
    address = f"/console/tokens/{made['token_id']}/revoke"
    page = await browser.get(address)
    assert "Revoke the token of ann?" in page.text
    for _ in range(2):
        answer = await browser.send(page, address, {"reason": "she left"})
        assert answer.headers["location"] == "/console/tokens?done=revoked"
    entries = [
        entry
        for entry in await admin.fetch("SELECT * FROM audit_log")
        if entry["action"] == "token.revoke"
    ]
    assert [entry["reason"] for entry in entries] == ["she left"]
    assert "The token is revoked" in (await browser.get("/console/tokens?done=revoked")).text
    nobody = "/console/tokens/00000000-0000-0000-0000-000000000000/revoke"
    assert (await browser.get(nobody)).status_code == 404


async def test_who_may_only_look_makes_no_token(api: httpx.AsyncClient, operator: Operator) -> None:
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read"]), 201)
    ann = await signed_in(api, made["token"])
    refused = await ann.get("/console/tokens")
    assert refused.status_code == 403
    assert "Your token does not allow this" in refused.text
    assert "does not have the scope <code>all</code>" in refused.text
    assert 'href="/console/tokens"' not in (await ann.get("/console")).text


async def test_the_log_is_filtered_and_paged(browser: Browser, operator: Operator) -> None:
    for number in range(52):
        await operator.post("/tokens", name=f"operator {number}", scopes=["read"])
    store = await operator.store(name="Hats")
    whole = await browser.get("/console/audit")
    assert whole.text.count("token.create</td>") == 49
    [more] = re.findall(r'rel="next" href="([^"]*)"', whole.text)
    assert (await browser.get(more)).text.count("token.create</td>") == 3
    of_store = await browser.get("/console/audit?owner=Hats")
    assert "store.create</td>" in of_store.text
    assert "token.create</td>" not in of_store.text
    assert f'href="/console/stores/{store.store_id}">Hats</a>' in of_store.text
    nobody = await browser.get("/console/audit?actor=nobody")
    assert "There is no such entry" in nobody.text


async def test_a_filter_that_cannot_be_is_told(browser: Browser) -> None:
    for query, message in (
        ("owner=nowhere", "no store or end user"),
        ("action=dance", "no such action"),
        ("from=yesterday", "This is no moment"),
        ("from=2026-11-30&to=2026-11-01", "is before"),
        ("owner=%00", "no store or end user"),
        ("actor=%00", "It has no NUL."),
        ("request_id=%00", "It has no NUL."),
    ):
        answer = await browser.get(f"/console/audit?{query}")
        assert answer.status_code == 400, query
        assert message in answer.text
    assert (await browser.get("/console/audit?cursor=x")).status_code == 200


async def test_settings_are_shown_and_secrets_are_not(browser: Browser) -> None:
    page = await browser.get("/console/settings")
    assert page.status_code == 200
    for secret in (OPERATOR_TOKEN, "sk-not-to-be-shown"):
        assert secret not in page.text
    text = page.text.replace("<wbr>", "")
    assert re.search(r"STORECREDIT_OPENAI_API_KEY</code></th>\s*<td[^>]*><code>set, and not", text)
    assert re.search(r"STORECREDIT_COMMIT_DEADLINE_SECONDS</code></th>\s*<td[^>]*><code>30<", text)
    assert "STORECREDIT_LISTEN_FD" not in text
