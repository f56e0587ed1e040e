"""Credits by hand, through the console's forms: seen beforehand, done once, written down."""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import asyncpg
import httpx
import pytest

from tests.console.acts import acts, faults_of, sent_twice
from tests.console.conftest import Browser, signed_in
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.table_rows import of_all_buckets
from tests.web.users import user_of

WRONG: list[tuple[str, dict[str, str], str]] = [
    ("add", {"amount": "0"}, "amount"),
    ("add", {"amount": "many"}, "amount"),
    ("add", {"amount": "1.000"}, "amount"),
    ("add", {"amount": "9" * 30}, "amount"),
    ("add", {"type": "grant"}, "amount"),
    ("add", {"amount": "5", "type": "gift"}, "type"),
    ("add", {"amount": "5", "description": "d" * 501}, "description"),
    ("add", {"amount": "5", "expires_at": "soon"}, "expires_at"),
    ("add", {"amount": "5", "expires_at": "2020-01-01T00:00"}, "expires_at"),
    ("add", {"amount": "5", "kind": "free"}, "kind"),
    ("add", {"amount": "5", "priority": "1001"}, "priority"),
    ("remove", {"amount": "101"}, "amount"),
    ("remove", {"amount": "5", "all": "true"}, "amount"),
    ("remove", {"all": "maybe"}, "all"),
    ("transfer", {"to": "nobody", "amount": "5"}, "to"),
    ("transfer", {"to": "x" * 261, "amount": "5"}, "to"),
    ("transfer", {"amount": "5"}, "to"),
    ("transfer", {"to": "Other"}, "amount"),
    ("transfer", {"to": "Other", "amount": "101"}, "amount"),
    ("transfer", {"to": "Twin", "amount": "5"}, "to"),
]
"""Of which action, what is sent, and the field that it is told of."""


@dataclass(frozen=True)
class Of:
    """Whose credits: the address of their pages, and what their movements are."""

    browser: Browser
    admin: asyncpg.Connection
    kind: str
    owner_id: str

    @property
    def at(self) -> str:
        return f"/console/{self.kind}s/{self.owner_id}/credits"

    async def page(self, below: str, **fields: Any) -> httpx.Response:
        return await self.browser.get(f"{self.at}/{below}?{urlencode(fields)}")

    async def ledger(self) -> list[tuple[str, int, int]]:
        """Type, amount and balance afterwards of each movement, oldest first."""
        rows = await of_all_buckets(
            self.admin,
            """SELECT m.type, m.amount, m.balance_after FROM movements m
               JOIN accounts a USING (account_id)
               WHERE a.owner_kind = $1 AND a.owner_id = $2 ORDER BY m.seq""",
            self.kind,
            self.owner_id,
        )
        return [tuple(row) for row in rows]


@pytest.fixture(params=["store", "user"])
async def of(
    request: pytest.FixtureRequest,
    browser: Browser,
    operator: Operator,
    admin: asyncpg.Connection,
) -> Of:
    """A store or an end user, with 100 credits and no more."""
    if request.param == "store":
        return Of(browser, admin, "store", (await operator.store()).store_id)
    user = user_of(operator.http)
    await user.balance()
    of = Of(browser, admin, "user", str(user.user_id))
    [(_, _, bonus)] = await of.ledger()
    gift = {"amount": 100 - bonus, "type": "grant", "request_id": "gift-1"}
    data_of(await operator.post(f"/users/{user.user_id}/credits", **gift), 201)
    return of


def balances_in(page: httpx.Response) -> list[str]:
    """What a preview says: the numbers in its table, in order."""
    table = page.text.split("Balances before and afterwards")[2].split("</table>")[0]
    cells = [cell.split("</td>")[0] for cell in re.split(r'<td [^>]*class="num">', table)[1:]]
    return [unescape(cell.replace("<strong>", "").replace("</strong>", "")) for cell in cells]


async def test_credits_are_added_after_a_look_at_the_new_balance(of: Of) -> None:
    before = await of.ledger()
    ends = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(days=3)
    wanted = {
        "amount": "1234",
        "type": "grant",
        "description": "sorry <b>",
        "expires_at": ends.strftime("%Y-%m-%dT%H:%M"),
        "kind": "paid",
        "priority": "7",
    }
    page = await of.page("add", **wanted)
    assert balances_in(page) == ["100", "+1,234", "1,334"]
    assert await of.ledger() == before
    added, again = await sent_twice(of.browser, page, f"{of.at}/add", {"reason": "asked by mail"})
    assert added.status_code == again.status_code == 303
    assert added.headers["location"] == again.headers["location"]
    assert await of.ledger() == [*before, ("grant", 1234, 1334)]
    [act] = await acts(of.admin, "credits.add")
    assert act.by == ("admin", "console", "asked by mail")
    assert act.asked["amount"] == 1234
    grant = (await of_all_buckets(of.admin, "TABLE grants ORDER BY seq"))[-1]
    assert grant is not None
    assert (grant["kind"], grant["priority"], grant["expires_at"]) == ("paid", 7, ends)
    done = await of.browser.get(added.headers["location"])
    assert "1,234 credits were added" in done.text
    assert f'href="/console/look-up?id={act.request_id}"' in done.text
    assert (await of.browser.get(f"/console/look-up?id={act.request_id}")).status_code == 200


async def test_credits_are_taken_out_after_a_look(of: Of) -> None:
    before = await of.ledger()
    page = await of.page("remove", amount="30")
    assert balances_in(page) == ["100", "−30", "70"]
    action = f"{of.at}/remove"
    refused = await of.browser.send(page, action)
    assert refused.status_code == 400
    assert set(faults_of(refused)) == {"reason"}
    assert balances_in(refused) == ["100", "−30", "70"]
    assert await of.ledger() == before
    removed, again = await sent_twice(of.browser, refused, action, {"reason": "by mistake"})
    assert removed.headers["location"] == again.headers["location"]
    assert await of.ledger() == [*before, ("removal", 30, 70)]
    [act] = await acts(of.admin, "credits.remove")
    assert act.by == ("admin", "console", "by mistake")
    assert "30 credits were taken out" in (await of.browser.get(removed.headers["location"])).text


async def test_all_are_taken_out_and_a_second_send_of_the_form_finds_that(of: Of) -> None:
    page = await of.page("remove", all="true")
    assert balances_in(page) == ["100", "−100", "0"]
    removed, again = await sent_twice(of.browser, page, f"{of.at}/remove", {"reason": "closed"})
    assert (removed.status_code, again.status_code) == (303, 303)
    assert (await of.ledger())[-1] == ("removal", 100, 0)
    assert len(await acts(of.admin, "credits.remove")) == 1
    nothing = await of.page("remove", all="true")
    assert nothing.status_code == 400
    assert "There are none" in faults_of(nothing)["amount"]


async def test_credits_are_handed_over_after_a_look_at_both_balances(
    of: Of, operator: Operator
) -> None:
    other = await operator.store(name="Other & Sons", credits=5)
    theirs = Of(of.browser, of.admin, "store", other.store_id)
    page = await of.page("transfer", to="Other & Sons", amount="40")
    assert balances_in(page) == ["100", "−40", "60", "5", "+40", "45"]
    assert "Other &amp; Sons" in page.text
    # Whatever it is called by now: who was seen is who is meant.
    data_of(await operator.patch(f"/stores/{other.store_id}", name="Else"))
    action, why = f"{of.at}/transfer", {"reason": "one owner"}
    moved, again = await sent_twice(of.browser, page, action, why)
    assert moved.headers["location"] == again.headers["location"]
    assert (await of.ledger())[-1] == ("transfer_out", 40, 60)
    assert (await theirs.ledger())[-1] == ("transfer_in", 40, 45)
    [act] = await acts(of.admin, "credits.transfer")
    assert act.by == ("admin", "console", "one owner")
    assert "40 credits were handed over" in (await of.browser.get(moved.headers["location"])).text
    listed = (await of.browser.get(theirs.at)).text
    assert "Received" in listed
    assert "one owner" in listed


async def test_what_is_wrong_is_told_by_field_and_nothing_is_done(
    of: Of, operator: Operator
) -> None:
    for name in ("Other", "Twin", "Twin"):
        await operator.store(name=name)
    before = await of.ledger()
    for below, sent, field in WRONG:
        page = await of.page(below, **sent)
        assert page.status_code == 400, sent
        assert set(faults_of(page)) == {field}, sent
        assert "What will be" not in page.text
        # Whoever sends the last form without the one before it is told the same.
        action = f"{of.at}/{below}"
        form = await of.page(below, amount=1, **({"to": "Other"} if below == "transfer" else {}))
        fields = {"amount": "", "to": "", **sent, "reason": "why"}
        answer = await of.browser.send(form, action, fields)
        assert answer.status_code == 400, sent
        assert set(faults_of(answer)) == {field}, sent
        assert sent.get("description", "") in answer.text
    assert await of.ledger() == before


async def test_nobody_hands_credits_to_themselves(of: Of) -> None:
    page = await of.page("transfer", to=f"{of.kind}:{of.owner_id}", amount="5")
    assert set(faults_of(page)) == {"to"}


async def test_two_sends_at_the_same_moment_act_once(of: Of) -> None:
    page = await of.page("add", amount="5")
    action = f"{of.at}/add"
    sent = (of.browser.send(page, action) for _ in range(4))
    answers = await asyncio.gather(*sent)
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert (await of.ledger())[-1] == ("grant", 5, 105)
    assert len(await acts(of.admin, "credits.add")) == 1


async def test_a_form_that_did_something_else_before_does_nothing(of: Of) -> None:
    page = await of.page("add", amount="5")
    action = f"{of.at}/add"
    assert (await of.browser.send(page, action)).status_code == 303
    other = await of.browser.send(page, action, {"amount": "6"})
    assert other.status_code == 422
    assert "This form was sent before" in other.text
    assert (await of.ledger())[-1] == ("grant", 5, 105)


async def test_a_reason_that_is_too_long_is_refused(of: Of) -> None:
    before = await of.ledger()
    page = await of.page("remove", amount="5")
    answer = await of.browser.send(page, f"{of.at}/remove", {"reason": "r" * 501})
    assert answer.status_code == 400
    assert "at most 500 characters" in answer.text
    assert await of.ledger() == before


async def test_what_is_gone_meanwhile_is_not_taken(of: Of, operator: Operator) -> None:
    page = await of.page("remove", amount="80")
    taken = {"amount": 50, "request_id": "first", "reason": "first"}
    data_of(await operator.post(f"/{of.kind}s/{of.owner_id}/credits/remove", **taken), 201)
    answer = await of.browser.send(page, f"{of.at}/remove", {"reason": "second"})
    assert answer.status_code == 400
    assert "There are 50" in faults_of(answer)["amount"]
    assert (await of.ledger())[-1] == ("removal", 50, 50)


async def test_an_end_user_has_no_subscription(
    browser: Browser, operator: Operator, store: StoreClient
) -> None:
    user = user_of(operator.http)
    await user.balance()
    sent = "amount=5&type=subscription"
    refused = await browser.get(f"/console/users/{user.user_id}/credits/add?{sent}")
    assert set(faults_of(refused)) == {"type"}
    seen = await browser.get(f"/console/stores/{store.store_id}/credits/add?{sent}")
    assert balances_in(seen) == ["100", "+5", "105"]


async def test_who_may_not_move_credits_is_refused(
    of: Of, api: httpx.AsyncClient, operator: Operator
) -> None:
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read", "keys"]), 201)
    ann = await signed_in(api, made["token"])
    assert "scope <code>credits</code>" in (await ann.get(of.at)).text
    before = await of.ledger()
    for address in (f"{of.at}/{below}" for below in ("add", "remove", "transfer")):
        page = await ann.get(f"{address}?amount=5")
        assert page.status_code == 403
        fields = {"amount": "5", "reason": "mine"}
        answer = await ann.post(address, page, "/console/sign-out", fields)
        assert answer.status_code == 403
    assert await of.ledger() == before


async def test_a_token_for_credits_is_enough(
    of: Of, api: httpx.AsyncClient, operator: Operator
) -> None:
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read", "credits"]), 201)
    ann = await signed_in(api, made["token"])
    page = await ann.get(f"{of.at}/add?amount=5")
    assert (await ann.send(page, f"{of.at}/add")).status_code == 303
    [act] = await acts(of.admin, "credits.add")
    assert act.by == ("ann", "console", "")


async def test_a_single_credit_is_not_called_credits(of: Of) -> None:
    page = await of.page("add", amount="1", type="grant")
    assert '<button class="main">Add 1 credit</button>' in page.text
    done = await of.browser.send(page, f"{of.at}/add", {})
    assert "1 credit was added" in (await of.browser.get(done.headers["location"])).text
