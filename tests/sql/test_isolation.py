"""Accounts never meet: not those of a store and a user of one id, and not in a batch."""

import asyncio
import re
from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Account, Owner, OwnerKind
from storecredit.postgres.servers import Connection
from tests.conftest import connect_as_superuser
from tests.sql.generations import complete, create_one, session, start
from tests.sql.interface import INTERFACES, claw_back, deduct, refund
from tests.sql.ledgers import account_of, open_account, snapshot, sqlstate_of
from tests.sql.paired_owners import BATCHES, KINDS, OUTSIDE, SINGLES, STORIES, Item, Play, Step

REQUESTS = 4
"""So few that batches are full of replays, doubles and conflicts."""
EXAMPLES = 50
# $1: a store and a user of one id, who have both asked for what is refunded here. Each call changes
# something of its own kind.
STORE_CALLS = (
    "deduct_store_credits($1, 1, 'direct')",
    "deduct_store_credits_many($1, '{1}', '{direct}', NULL, NULL)",
    "refund_store_credits($1, 1, 'done')",
    "refund_store_credits_many($1, '{1}', '{done}', NULL)",
    "add_store_credits($1, 5, 'grant', 'gift')",
    "claw_back_store_credits($1, 5, 'refunded')",
    "set_store_overage_limit($1, 5)",
)
USER_CALLS = (
    "deduct_credits($1, 1, 'direct')",
    "refund_credits($1, 1, 'done')",
    "add_credits($1, 5, 'grant', 'gift')",
    "claw_back_credits($1, 5, 'refunded')",
)
CALLS = [(OwnerKind.STORE, call) for call in STORE_CALLS] + [
    (OwnerKind.USER, call) for call in USER_CALLS
]
# Doors that only a bill goes through, after close_overage has made it.
OF_BILLS = {
    "lock_subscription_charge",
    "begin_subscription_charge",
    "accept_subscription_charge",
    "record_subscription_charge",
    "note_subscription_charge_failure",
}
# They write nothing of the ledger; tests/web/webhooks/test_webhook_owners.py sees whose is whose.
OF_WEBHOOKS = {
    "create_webhook_endpoint",
    "update_webhook_endpoint",
    "set_webhook_endpoint_status",
    "delete_webhook_endpoint",
    "rotate_webhook_secret",
    "test_webhook_endpoint",
    "resend_delivery",
    "resend_deliveries",
}
# Of one store, which test_topping_up.py sees: what they write of the ledger goes by other doors.
OF_TOP_UPS = {"set_top_up", "remove_top_up", "open_top_up", "drop_top_up", "decline_top_up"}
# Between buckets, and behind the ledger: test_transfers_elsewhere.py and checkpoints/ see whose is
# whose.
OF_BUCKETS = {"transfer_elsewhere", "place_accounts"}
COMES_TO = {
    "refund_spends": "refunded",
    "end_holds": "ended",
    "extend_hold": "extended",
    "expire_credits": "ended",
    "set_grant_expiry": "set",
    "transfer_credits": "transferred",
    "remove_from_account": "removed",
}
DOORS = """
    SELECT p.proname, p.proargnames[1] AS argument FROM pg_proc p
    WHERE p.pronamespace = $1::text::regnamespace AND p.provolatile = 'v'
      AND has_function_privilege('storecredit_app', p.oid, 'EXECUTE')"""

OPENINGS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([0, 0, 2])),
    min_size=len(KINDS),
    max_size=len(KINDS),
)
ITEMS = st.builds(
    Item,
    account=st.integers(0, len(KINDS) - 1),
    request=st.integers(0, REQUESTS - 1),
    content=st.sampled_from([0, 0, 0, 1]),
    amount=st.sampled_from([1, 1, 1, 2]),
)
# What begins and ends work comes more often than what is done now and then.
FUNCTIONS = [*BATCHES, *BATCHES, "create_generations", "fail_generations", *SINGLES, *OUTSIDE]
# Callers send the items in ascending order of their accounts.
BATCH = st.lists(ITEMS, min_size=1, max_size=6).map(
    lambda items: tuple(sorted(items, key=lambda item: item.account))
)
STEPS = st.lists(
    st.builds(
        lambda functions, items: [Step(function, items) for function in functions],
        st.sampled_from([(function,) for function in FUNCTIONS]) | st.sampled_from(STORIES),
        BATCH,
    ),
    min_size=1,
    max_size=8,
).map(lambda stories: [step for story in stories for step in story])


async def play(
    url: str, openings: Sequence[tuple[int, int]], steps: Sequence[Step]
) -> list[tuple[object, ...]]:
    """Play both, compare them, and say what came of the last step."""
    connection = await connect_as_superuser(url)
    try:
        of_one_id = await Play.begin(connection, openings, one_id=True)
        of_their_own = await Play.begin(connection, openings, one_id=False)
        answers = []
        for step in steps:
            answers = await of_one_id.together(step)
            assert answers == await of_their_own.apart(step)
            assert await of_one_id.written() == await of_their_own.written()
        return answers
    finally:
        await connection.close()


@settings(max_examples=EXAMPLES, deadline=None)
@given(openings=OPENINGS, steps=STEPS)
def test_a_store_and_a_user_of_one_id_fare_as_owners_of_their_own_who_were_called_alone(
    books_url: str, openings: list[tuple[int, int]], steps: list[Step]
) -> None:
    asyncio.run(play(books_url, openings, steps))


@pytest.mark.parametrize("story", STORIES)
async def test_what_follows_on_another_call_comes_to_something(
    books_url: str, story: tuple[str, ...]
) -> None:
    # A request of their own: one that hands credits on is used up at the account that gets them.
    items = tuple(Item(place, place, content=0, amount=1) for place in range(len(KINDS)))

    answers = await play(books_url, [(5, 0)] * len(KINDS), [Step(each, items) for each in story])

    assert [answer[0] for answer in answers] == [COMES_TO[story[-1]]] * len(KINDS)


async def test_every_door_of_an_account_is_played(books: Connection) -> None:
    doors = await books.fetch(DOORS, "storecredit")

    names = {"p_account_id", "p_account_ids", "p_from"}
    of_accounts = {row["proname"] for row in doors if row["argument"] in names}
    elsewhere = OF_BILLS | OF_WEBHOOKS | OF_TOP_UPS | OF_BUCKETS
    assert of_accounts == {*BATCHES, *SINGLES} | elsewhere


async def test_every_function_for_outside_callers_is_called_here(books: Connection) -> None:
    functions = await books.fetch(DOORS, "public")

    called = {(INTERFACES[kind].argument, call.partition("(")[0]) for kind, call in CALLS}
    assert {(row["argument"], row["proname"]) for row in functions} == called


async def test_no_outside_function_for_one_kind_names_the_other(books: Connection) -> None:
    functions = await books.fetch(
        """SELECT p.proname, p.prosrc, p.proargnames[1] AS argument FROM pg_proc p
           WHERE p.pronamespace = 'public'::regnamespace
             AND p.proowner = 'storecredit_writer'::regrole"""
    )
    kinds = {names.argument: kind.value for kind, names in INTERFACES.items()}

    assert len(functions) == len(CALLS)
    for name, source, argument in functions:
        named = set(re.findall(r"'(store|user)'", source))
        assert named == {kinds[argument]}, name


async def make_both(app: Connection, owner_id: UUID) -> list[Account]:
    """A store and a user of one id, with the same credits, requests and statuses."""
    accounts = [await open_account(app, kind, 10, owner_id=owner_id) for kind in OwnerKind]
    for account in accounts:
        await create_one(app, account, "begun")
        done = await create_one(app, account, "done")
        await start(app, account, done)
        await complete(app, account, done)
    return accounts


@pytest.mark.parametrize("kind, call", CALLS)
async def test_a_call_for_one_kind_leaves_the_owner_of_the_same_id_alone(
    app: Connection, books: Connection, kind: OwnerKind, call: str
) -> None:
    owner_id = uuid7()
    await make_both(app, owner_id)
    own, (other,) = (
        Owner(kind, owner_id),
        [Owner(each, owner_id) for each in OwnerKind if each != kind],
    )
    of_own, of_other = await snapshot(books, own), await snapshot(books, other)

    await app.execute(f"SELECT public.{call}", owner_id)

    assert await snapshot(books, other) == of_other
    assert await snapshot(books, own) != of_own, "the call did nothing"


@pytest.mark.parametrize("kind, call", CALLS)
async def test_who_is_of_one_kind_is_nobody_of_the_other(
    app: Connection, books: Connection, kind: OwnerKind, call: str
) -> None:
    (other_kind,) = set(OwnerKind) - {kind}
    other = await open_account(app, other_kind, 10)
    before = await snapshot(books, other.owner)

    if call.startswith("set"):
        assert await app.fetchval(f"SELECT public.{call}", other.owner.id) is False
    else:
        refused = await sqlstate_of(app.execute(f"SELECT public.{call}", other.owner.id))
        assert refused == INTERFACES[kind].unknown

    assert await snapshot(books, other.owner) == before
    assert not any((await snapshot(books, Owner(kind, other.owner.id))).values())


async def test_a_user_made_beside_a_store_of_the_same_id_has_its_own_credits(
    app: Connection, books: Connection
) -> None:
    store = await open_account(app, OwnerKind.STORE, 10)
    session_id = await create_one(app, store)
    of_store = await snapshot(books, store.owner)

    outcome = await app.fetchval("SELECT outcome FROM ensure_user($1, 7)", store.owner.id)

    assert outcome == "made"
    user = await account_of(books, Owner.user(store.owner.id))
    assert user.id != store.id
    assert await deduct(app, user, 7, "r1") is True
    assert await refund(app, user, 7, "r1") is True
    assert await claw_back(app, user, 9, "r1") == 7
    assert await snapshot(books, store.owner) == of_store
    assert (await session(books, store, session_id))["status"] == "queued"


async def test_one_session_id_under_two_accounts_is_two_sessions(
    app: Connection, books: Connection
) -> None:
    store, user = await make_both(app, uuid7())
    session_id = await create_one(app, store, "r1")
    await books.execute(
        """INSERT INTO sessions (account_id, session_id, credits, request_id, fingerprint)
           SELECT $1, session_id, credits, request_id, fingerprint FROM sessions
           WHERE account_id = $2 AND session_id = $3""",
        user.id,
        store.id,
        session_id,
    )
    of_user = await snapshot(books, user.owner)

    await start(app, store, session_id)
    await app.execute("SELECT postpone_generation($1, $2, 'said', true)", store.id, session_id)
    assert await complete(app, store, session_id) == "completed"
    for forget in ("forget_result", "forget_generator_message"):
        assert await app.fetchval(f"SELECT {forget}($1, $2)", store.id, session_id) is True

    assert await snapshot(books, user.owner) == of_user
