"""What is done to credits and grants, of stores and end users, and to end users themselves."""

from datetime import UTC, datetime
from typing import Final

from storecredit.operator.audit import Action
from tests.browser.acting.person import STORE, USER, Person, performs
from tests.web.doors import data_of

BALANCE: Final = """
    SELECT m.balance_after
    FROM storecredit.movements m JOIN storecredit.accounts a USING (account_id)
    WHERE a.owner_id::text = $1 ORDER BY m.seq DESC LIMIT 1"""
ENDS: Final = """
    SELECT count(*) FROM storecredit.grants g JOIN storecredit.accounts a USING (account_id)
    WHERE a.owner_id::text = $1 AND g.expires_at = $2"""
END: Final = datetime(2999, 5, 6, 7, 8, tzinfo=UTC)


async def balance(person: Person) -> int:
    """What the owner of the place has."""
    return await person.world.count(BALANCE, person.owner)


async def status(person: Person) -> str:
    """How an end user stands."""
    user: dict[str, str] = data_of(await person.world.operator.get(f"/users/{person.owner}"))
    return user["status"]


@performs("/credits/add", Action.CREDITS_ADD, STORE, USER)
async def adds_credits(person: Person) -> None:
    await person.opens("Credits")
    await person.follows("Add credits…")
    await person.looks("See what will be", {"Credits": "40", "Description": "for the fair"})
    before = await balance(person)
    await person.does("Add 40 credits")
    await person.is_told(f"40 credits were added, and the balance was {before + 40}")
    assert await balance(person) == before + 40


@performs("/credits/remove", Action.CREDITS_REMOVE, STORE, USER)
async def takes_credits_out(person: Person) -> None:
    await person.opens("Credits")
    await person.follows("Take credits out…")
    await person.looks("See what will be", {"Credits": "30"})
    before = await balance(person)
    await person.does("Take 30 credits out")
    await person.is_told("30 credits were taken out")
    assert await balance(person) == before - 30


@performs("/credits/transfer", Action.CREDITS_TRANSFER, STORE, USER)
async def hands_credits_over(person: Person) -> None:
    other = await person.world.operator.store(credits=5)
    await person.opens("Credits")
    await person.follows("Hand credits over…")
    await person.looks("See what will be", {"To": other.store_id, "Credits": "20"})
    before = await balance(person)
    await person.does("Hand 20 credits over")
    await person.is_told("20 credits were handed over")
    assert (await balance(person), await other.balance()) == (before - 20, 25)


@performs("/grants/{seq:str}", Action.GRANT_SET_EXPIRY, STORE, USER)
async def gives_a_grant_another_end(person: Person) -> None:
    await person.opens("Grants and holds")
    await person.follows("Change the end")
    await person.does("Set the end", {"Ends at": person.typed(END)})
    await person.is_told("The end is set.")
    assert await person.world.count(ENDS, person.owner, END) == 1


@performs("/block", Action.USER_BLOCK, USER)
async def blocks_a_user(person: Person) -> None:
    await person.opens("Overview")
    await person.follows("Block this user")
    await person.does("Block this user")
    await person.is_told("Blocked: ")
    assert await status(person) == "blocked"


@performs("/unblock", Action.USER_UNBLOCK, USER)
async def lets_a_user_in_again(person: Person) -> None:
    answer = await person.world.operator.post(f"/users/{person.owner}/block")
    assert answer.is_success, answer.text
    await person.opens("Overview")
    await person.follows("Let this user in again")
    await person.does("Let this user in again")
    await person.is_told("Let in again.")
    assert await status(person) == "active"


@performs("/erase", Action.USER_ERASE, USER)
async def erases_a_user(person: Person) -> None:
    await person.opens("Overview")
    await person.follows("Erase what is personal")
    await person.does("Erase for ever")
    await person.is_told("Erased. ")
    assert await status(person) == "erased"
