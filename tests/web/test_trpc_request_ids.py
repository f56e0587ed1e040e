"""Which call has which request id, so that a retry finds what was done, however it is grouped."""

from itertools import permutations
from typing import Any

import asyncpg
import pytest

from storecredit.web.trpc.calls import JSONL
from tests.image_files import data_url, picture
from tests.web.doors import IMAGE, StoreClient
from tests.web.table_rows import Rows
from tests.web.users import UserClient, body_of, error_in, refusal_of, result_in, result_of

CREATE = "generation.create"
COLOURS = ("red", "green", "blue")
INPUTS = {colour: {"modelImageUrl": data_url(picture(colour=colour))} for colour in COLOURS}


async def created(user: UserClient, *colours: str) -> dict[str, str]:
    """The sessions of these generations, each under an id of its own, asked for in one batch."""
    calls = [(CREATE, INPUTS[colour]) for colour in colours]
    shapes = body_of(await user.batch("POST", calls, headers={"X-Request-Id": ",".join(colours)}))
    sessions = [result_in(shape)["sessionId"] for shape in shapes]
    return dict(zip(colours, sessions, strict=True))


async def test_however_calls_are_grouped_anew_each_is_the_request_it_was(
    user: UserClient, rows: Rows
) -> None:
    first = await created(user, *COLOURS)
    assert len(set(first.values())) == 3

    for colours in permutations(COLOURS):
        for count in (1, 2, 3):
            assert await created(user, *colours[:count]) == {
                it: first[it] for it in colours[:count]
            }
    for colour in COLOURS:
        alone = await user.create(colour, **INPUTS[colour])
        assert result_of(alone)["sessionId"] == first[colour]

    assert {job["request_id"] for job in await rows.jobs()} == set(COLOURS)
    assert await user.balance() == 7


async def test_the_ids_are_echoed_as_they_were_sent(user: UserClient) -> None:
    sent = {"X-Request-Id": "look-1, look-2"}
    answer = await user.batch("GET", [("credits.getBalance", None)] * 2, headers=sent)
    assert answer.headers["x-request-id"] == "look-1, look-2"
    assert answer.status_code == 200


async def test_the_space_around_an_id_is_none_of_it(user: UserClient, rows: Rows) -> None:
    calls = [(CREATE, INPUTS["red"])] * 2
    await user.batch("POST", calls, headers={"X-Request-Id": "order-1 ,\torder-2"})
    assert {job["request_id"] for job in await rows.jobs()} == {"order-1", "order-2"}


@pytest.mark.parametrize("headers", [{}, {"trpc-accept": JSONL}], ids=["at once", "as a stream"])
async def test_ids_for_another_number_of_calls_are_refused_before_anything_is_taken(
    user: UserClient, rows: Rows, admin: asyncpg.Connection, headers: dict[str, str]
) -> None:
    for calls, ids in ((1, "a,b"), (3, "a,b"), (2, "a,b,c")):
        asked: Any = [(CREATE, {"modelImageUrl": IMAGE})] * calls
        answer = await user.batch("POST", asked, headers=headers | {"X-Request-Id": ids})
        message = refusal_of(answer, 400, "BAD_REQUEST")
        assert "X-Request-Id" in message
    refusal_of(await user.create("a,b"), 400, "BAD_REQUEST")
    assert await rows.jobs() == []
    assert await admin.fetchval("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize("ids", ["a,", ",a", "a,,b", ",", "a,b\tc", "a," + "x" * 201, "a, ,b"])
async def test_a_list_with_what_is_no_id_is_refused(user: UserClient, rows: Rows, ids: str) -> None:
    count = ids.count(",") + 1
    calls = [(CREATE, {"modelImageUrl": IMAGE})] * count
    answer = await user.batch("POST", calls, headers={"X-Request-Id": ids})
    refusal_of(answer, 400, "BAD_REQUEST")
    assert await rows.jobs() == []


async def test_fifty_ids_of_the_greatest_length(user: UserClient, rows: Rows) -> None:
    ids = [f"{number:02}".ljust(200, "x") for number in range(50)]
    answer = await user.batch(
        "POST", [(CREATE, {"modelImageUrl": IMAGE})] * 50, headers={"X-Request-Id": ",".join(ids)}
    )
    shapes = body_of(answer)
    for shape in shapes:
        if "error" in shape:
            error_in(shape, 402, "PAYMENT_REQUIRED", CREATE)
    jobs = await rows.jobs()
    assert len(jobs) == 10
    assert {job["request_id"] for job in jobs} <= set(ids)


async def test_an_id_that_stands_there_twice_is_one_request_or_none(
    user: UserClient, rows: Rows
) -> None:
    calls = [(CREATE, INPUTS["red"]), (CREATE, INPUTS["blue"])]
    answer = await user.batch("POST", calls, headers={"X-Request-Id": "order,order"})
    assert answer.status_code == 207
    codes = sorted("error" in shape for shape in body_of(answer))
    assert codes == [False, True]
    assert len(await rows.jobs()) == 1
    assert await user.balance() == 9


async def test_in_a_stores_requests_a_comma_is_a_character_like_any_other(
    store: StoreClient,
) -> None:
    answer = await store.create("order-1,order-2")
    assert answer.json()["data"]["request_id"] == "order-1,order-2"
