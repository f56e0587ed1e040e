"""What the operator is shown: everything that needs a person, and nothing that does not."""

import pytest

from storecredit.billing.problems import PROBLEMS_MAX, Problems
from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.pool import Database
from tests.billing.sql_sales import NOON, open_owner, sell

RECEIVE = (
    "SELECT receive_provider_event('paddle', $1, 'transaction.completed', $2, '{\"kind\": \"x\"}')"
)


@pytest.fixture
def problems(database: Database) -> Problems:
    return Problems(database)


async def test_there_is_nothing_to_see_at_first(problems: Problems) -> None:
    assert (await problems.find()).none


async def test_open_processed_and_ignored_events_are_no_problem(
    database: Database, problems: Problems
) -> None:
    for event_id, status in (("evt_1", None), ("evt_2", "processed"), ("evt_3", "ignored")):
        await database.fetchval(RECEIVE, event_id, NOON)
        if status is not None:
            await database.fetchval(
                "SELECT settle_provider_event('paddle', $1, $2)", event_id, status
            )

    assert (await problems.find()).none


async def test_failing_and_set_aside_events_are_shown_with_their_reason(
    database: Database, problems: Problems
) -> None:
    for event_id in ("evt_1", "evt_2"):
        await database.fetchval(RECEIVE, event_id, NOON)
    await database.fetchval("SELECT note_provider_event_failure('paddle', 'evt_1', 'Not yet.', 3)")
    await database.fetchval(
        "SELECT settle_provider_event('paddle', 'evt_2', 'set_aside', 'Unlike.')"
    )

    events = await problems.events()

    assert not events.truncated
    assert {(event.event_id, event.status, event.reason) for event in events.items} == {
        ("evt_1", "failing", "Not yet."),
        ("evt_2", "set_aside", "Unlike."),
    }
    assert {event.attempts for event in events.items} == {1}
    assert {str(event.about) for event in events.items} == {"{'kind': 'x'}"}


async def test_the_list_is_bounded_and_says_so(database: Database, problems: Problems) -> None:
    for place in range(PROBLEMS_MAX + 1):
        await database.fetchval(
            """SELECT receive_provider_event(
                   'paddle', $1, 'x', $2, NULL, 'set_aside', 'Unreadable.')""",
            f"evt_{place}",
            NOON,
        )

    events = await problems.events()

    assert len(events.items) == PROBLEMS_MAX
    assert events.truncated
    assert events.items[0].event_id == f"evt_{PROBLEMS_MAX}", "the newest first"


@pytest.mark.parametrize("kind", list(OwnerKind))
async def test_a_clawback_is_shown_only_where_credits_are_missing(
    database: Database, problems: Problems, kind: OwnerKind
) -> None:
    owner = await open_owner(database, kind)
    await sell(database, owner, "txn_1")
    await database.fetchval(
        "SELECT book_checkout('paddle', 'txn_1', NULL, NULL, 1800, 'USD', $1)", NOON
    )
    refund = (
        "SELECT outcome FROM book_adjustment('paddle', $1, 'txn_1', 'refund', false, $2, 'USD')"
    )
    assert await database.fetchval(refund, "adj_1", 900) == "booked"
    assert (await problems.find()).none

    spend = "deduct_store_credits" if kind is OwnerKind.STORE else "deduct_credits"
    await database.fetchval(f"SELECT public.{spend}($1, 20, 'spent')", owner.id)
    assert await database.fetchval(refund, "adj_2", 900) == "booked"

    (short,) = (await problems.clawbacks()).items
    assert (short.owner, short.credits, short.taken) == (owner, 50, 30)
    assert (short.adjustment_id, short.transaction_id) == ("adj_2", "txn_1")
