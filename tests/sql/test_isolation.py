"""Accounts never meet: not those of a store and a user of one id, and not in a batch."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import connect_as_superuser
from tests.sql.twins import BATCHES, KINDS, OUTSIDE, SINGLES, Item, Play, Step

REQUESTS = 4
"""So few that batches are full of replays, doubles and conflicts."""
EXAMPLES = 80

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
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(FUNCTIONS),
        # Callers send the items in ascending order of their accounts.
        st.lists(ITEMS, min_size=1, max_size=6).map(
            lambda items: tuple(sorted(items, key=lambda item: item.account))
        ),
    ),
    min_size=1,
    max_size=8,
)


async def play(url: str, openings: list[tuple[int, int]], steps: list[Step]) -> None:
    connection = await connect_as_superuser(url)
    try:
        of_one_id = await Play.begin(connection, openings, one_id=True)
        of_their_own = await Play.begin(connection, openings, one_id=False)
        for step in steps:
            assert await of_one_id.together(step) == await of_their_own.apart(step)
            assert await of_one_id.written() == await of_their_own.written()
    finally:
        await connection.close()


@settings(max_examples=EXAMPLES, deadline=None)
@given(openings=OPENINGS, steps=STEPS)
def test_a_store_and_a_user_of_one_id_fare_as_owners_of_their_own_who_were_called_alone(
    books_url: str, openings: list[tuple[int, int]], steps: list[Step]
) -> None:
    asyncio.run(play(books_url, openings, steps))
