"""What is done on the console's own pages: stores made, tokens, billing problems, the ledger."""

from typing import Final
from uuid import uuid4

from playwright.async_api import expect

from storecredit.operator.audit import Action
from tests.browser.acting.person import CONSOLE, Person, performs
from tests.web.doors import StoreClient, bearer, data_of

SET_ASIDE: Final = """
    SELECT storecredit.receive_provider_event('paddle', $1, 'transaction.completed', now(),
        '{"id": "txn_1"}', 'set_aside', 'It fits nothing')"""


@performs("/stores/new", Action.STORE_CREATE, CONSOLE)
async def makes_a_store(person: Person) -> None:
    name = f"Hats {uuid4()}"
    await person.opens("Stores")
    await person.follows("Make a store")
    await person.does(
        "Make the store", {"Name": name, "Domain": "hats.example", "Opening credits": "50"}
    )
    made = StoreClient(person.store.http, "", "", await person.is_shown())
    assert await made.balance() == 50
    assert len(data_of(await person.world.operator.get("/stores", search=name))["items"]) == 1
    await person.follows("To the store")
    await expect(person.page.get_by_role("heading", level=1)).to_have_text(name)


@performs("/tokens", Action.TOKEN_CREATE, CONSOLE)
async def makes_a_token(person: Person) -> None:
    name = f"ann {uuid4()}"
    await person.opens("Tokens")
    await person.page.get_by_role("checkbox", name="read").check()
    await person.does("Make the token", {"Name": name})
    token = await person.is_shown()
    there = "/api/admin/stores"
    answer = await person.world.operator.http.get(there, headers=bearer(token))
    assert answer.is_success, answer.text
    named = "SELECT count(*) FROM storecredit.admin_tokens WHERE name = $1"
    assert await person.world.count(named, name) == 1


@performs("/tokens/{token_id:uuid}/revoke", Action.TOKEN_REVOKE, CONSOLE)
async def revokes_a_token(person: Person) -> None:
    name = f"ben {uuid4()}"
    made = data_of(await person.world.operator.post("/tokens", name=name, scopes=["read"]), 201)
    await person.opens("Tokens")
    await person.follows(f"Revoke {name}")
    await person.does("Revoke it")
    await person.is_told("The token is revoked.")
    there = "/api/admin/stores"
    answer = await person.world.operator.http.get(there, headers=bearer(made["token"]))
    assert answer.status_code == 401


async def set_aside(person: Person) -> str:
    """The id of an event of Paddle that fits nothing."""
    event_id = f"evt_{uuid4()}"
    await person.world.admin.execute(SET_ASIDE, event_id)
    return event_id


@performs("/billing/events/{event_id:str}/retry", Action.EVENT_RETRY, CONSOLE)
async def has_an_event_looked_at_again(person: Person) -> None:
    event_id = await set_aside(person)
    await person.opens("Billing")
    problem = person.page.get_by_role("article").filter(has_text=event_id)
    await person.does("Retry", within=problem)
    await person.is_told("The event is looked at again.")


@performs("/billing/problems/{problem_id:str}/dismiss", Action.PROBLEM_DISMISS, CONSOLE)
async def dismisses_a_problem(person: Person) -> None:
    event_id = await set_aside(person)
    await person.opens("Billing")
    problem = person.page.get_by_role("article").filter(has_text=event_id)
    await problem.get_by_role("link", name="Dismiss…").click()
    await person.does("Dismiss it")
    await person.is_told("The problem is shown no longer.")
    await expect(problem).to_have_count(0)
    listed = data_of(await person.world.operator.get("/billing/problems"))
    assert event_id not in str(listed)


@performs("/billing/book", Action.TRANSACTION_BOOK, CONSOLE)
async def books_a_transaction(person: Person) -> None:
    transaction_id = await person.world.checkout(person.store, credits=400)
    # Nobody was told that it is paid: the message was lost.
    person.world.paddle.account.pay(transaction_id)
    await person.opens("Billing")
    await person.follows("Book a transaction…")
    await person.looks("See what will be", {"Transaction": transaction_id, "Credits": "400"})
    await person.does("Book 400 credits")
    await person.is_told("400 credits were added")
    assert await person.store.balance() == 500


@performs("/verify", Action.LEDGER_VERIFY, CONSOLE)
async def verifies_the_ledger(person: Person) -> None:
    await person.opens("Verify")
    # While it is verified the page is there already, without the button.
    await person.clicks_twice(person.page.get_by_role("button", name="Verify now"))
    await person.is_told("All of it agrees.")
    assert data_of(await person.world.operator.get("/audit", action="ledger.verify"))["items"]
