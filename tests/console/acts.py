"""What is seen of an action that was done through a page: its answer, and the audit log's entry."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from operator import itemgetter
from typing import Any

import asyncpg
import httpx

from tests.console.conftest import Browser
from tests.console.reading import text_of
from tests.web.table_rows import of_all_buckets

Fields = Mapping[str, str | list[str]]


@dataclass(frozen=True)
class Act:
    """An entry of the audit log."""

    action: str
    by: tuple[str, str, str]
    """Who, by which door, and why."""
    subject: str
    request_id: str
    asked: dict[str, Any]
    outcome: dict[str, Any]


async def acts(
    admin: asyncpg.Connection, action: str | None = None, door: str = "console"
) -> list[Act]:
    """What was done through the console, or another door, oldest first."""
    rows = await of_all_buckets(
        admin,
        "SELECT * FROM audit_log WHERE door = $2 AND ($1::text IS NULL OR action = $1)",
        action,
        door,
    )
    rows.sort(key=itemgetter("acted_at", "entry_id"))
    return [
        Act(
            row["action"],
            (row["actor"], row["door"], row["reason"]),
            row["subject"],
            row["request_id"],
            json.loads(row["asked"]),
            json.loads(row["outcome"]),
        )
        for row in rows
    ]


async def sent_twice(
    browser: Browser, page: httpx.Response, action: str, fields: Fields
) -> tuple[httpx.Response, httpx.Response]:
    """The same form sent twice, as a double click does."""
    return await browser.send(page, action, fields), await browser.send(page, action, fields)


def secret_in(page: httpx.Response) -> str:
    """The secret that a page shows."""
    assert page.status_code in {200, 201}, page.text
    [found] = re.findall(r'<code id="secret">([^<]+)</code>', page.text)
    return unescape(str(found))


def faults_of(page: httpx.Response) -> dict[str, str]:
    """What a page says is wrong with the form on it, by field."""
    found = re.findall(r'<p class="fault" id="fault-([^"]+)">(.*?)</p>', page.text)
    return {name: text_of(message) for name, message in found}
