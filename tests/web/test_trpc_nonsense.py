"""Nonsense at `/api/trpc`, from a user who is signed in: never our mistake.

And whoever is not that user: other tokens, other keys, other users' sessions.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from math import inf, nan
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import httpx

from storecredit.web.trpc.calls import METHODS, Kind
from storecredit.web.trpc.procedures import ERRORS, PROCEDURES
from tests.fuzz_inputs import fuzz_inputs
from tests.web.doors import IMAGE, Operator, StoreClient, bearer, error_of
from tests.web.events import MEDIA_TYPE, events_of, refusal_in
from tests.web.users import TRPC, UserClient, refusal_of, result_of, token_of, user_of

AT_ONCE = 8
REFUSED = {400, 402, 404, 405, 412, 413, 415}
INPUTS: dict[str, dict[str, object]] = {
    "credits.getTransactions": {"limit": 1, "offset": 0},
    "credits.purchase": {"packId": "small"},
    "generation.create": {
        "modelImageUrl": IMAGE,
        "outfitImageUrl": IMAGE,
        "accessories": [{"type": "hat", "url": IMAGE}],
    },
    "generation.getById": {"sessionId": "3f8a1f0e-2d5f-4c4e-9b62-1d4f6f0d9b11", "wait": 1},
    "generation.getHistory": {"limit": 1, "offset": 0, "status": "queued"},
    "generation.onEnd": {
        "sessionId": "3f8a1f0e-2d5f-4c4e-9b62-1d4f6f0d9b11",
        "lastEventId": "x",
    },
}


def spoiled(input_: dict[str, object], text: str) -> Iterator[str]:
    """The input in superjson's form with that text in each of its places, and beside it."""
    mark = '"spoil this"'
    yield f'{{"json": {text}}}'
    yield f'{{"json": {json.dumps(input_)}, "meta": {text}}}'
    yield f'{{"json": {json.dumps(input_)}, "meta": {{"values": {text}, "v": 1}}}}'
    for name in input_:
        yield json.dumps({"json": input_ | {name: "spoil this"}}).replace(mark, text)
        typed = f'{{"values": {{"{name}": {text}}}, "referentialEqualities": {text}}}'
        yield f'{{"json": {json.dumps(input_)}, "meta": {typed}}}'
    if "accessories" in input_:
        for item in ({"type": "spoil this", "url": IMAGE}, {"type": "hat", "url": "spoil this"}):
            yield json.dumps({"json": input_ | {"accessories": [item]}}).replace(mark, text)


def _shapes_in(answer: httpx.Response) -> list[dict[str, Any]]:
    """The errors that a subscription is told; it has none if the generation is not there."""
    errors = [each for each in events_of(answer) if each.name == "serialized-error"]
    return [{"error": json.loads(each.data)} for each in errors]


async def send_all(user: UserClient, requests: Sequence[tuple[str, str, bytes]]) -> set[int]:
    """Send them, some at once; the statuses of the answers, each of which is of tRPC's form."""
    room = asyncio.Semaphore(AT_ONCE)

    async def send(method: str, path: str, body: bytes) -> int:
        headers = bearer(user.token) | {"Content-Type": "application/json"}
        url, content = f"{TRPC}/{path}", body
        if method == "GET":
            url, content = f"{url}{'&' if '?' in url else '?'}input={quote(body)}", b""
        async with room:
            answer = await user.http.request(method, url, headers=headers, content=content)
        is_of_events = answer.headers["content-type"] == MEDIA_TYPE
        shapes = _shapes_in(answer) if is_of_events else answer.json()
        for shape in shapes if isinstance(shapes, list) else [shapes]:
            assert set(shape) in ({"result"}, {"error"})
            if "error" in shape:
                data = shape["error"]["json"]["data"]
                known = PROCEDURES.get(data.get("path"))
                described = {*ERRORS, *(known.errors if known else ())}
                assert data["code"] in described, "each error is one that is published"
        assert "Traceback" not in answer.text
        return answer.status_code

    return set(await asyncio.gather(*(send(*request) for request in requests)))


async def test_no_input_of_any_procedure_is_our_mistake(
    user: UserClient, admin: asyncpg.Connection
) -> None:
    requests = [
        (METHODS[procedure.kind][0], path, text.encode(errors="surrogatepass"))
        for path, procedure in PROCEDURES.items()
        for place, value in enumerate(fuzz_inputs(60))
        for text in [*spoiled(INPUTS.get(path, {}), value)][place % 3 :: 3]
    ]

    statuses = await send_all(user, requests)

    assert statuses <= {200} | REFUSED
    movements = await admin.fetch("SELECT type, sum(amount) FROM credit_transactions GROUP BY 1")
    moved = {type_: int(total) for type_, total in movements}
    assert moved["signup_bonus"] == 10
    assert moved.get("generation", 0) <= 10 + moved.get("refund", 0)
    assert set(moved) <= {"signup_bonus", "generation", "refund"}


async def test_no_request_of_another_form_is_our_mistake(user: UserClient) -> None:
    texts = [text.encode(errors="surrogatepass") for text in fuzz_inputs(40)]
    paths = ("generation.getStats,credits.getPacks", "credits.getBalance", "generation.create")
    requests = [
        (method, f"{path}?batch={batch}", body)
        for method in ("GET", "POST")
        for path in paths
        for batch in ("1", "0")
        for text in texts
        for body in (text, b'{"0": ' + text + b', "0": {"json": ' + text + b"}}")
    ]
    requests += [
        ("POST", "generation.create", b'{"json":' * 100_000),
        ("POST", "generation.create", b'{"json": "' + b"x" * 1_000_000 + b'"}'),
        ("POST", "generation.create", b"\xff\xfe\x00"),
        ("GET", "%ff%fe", b""),
        ("GET", "%00,%00?batch=1", b""),
        ("GET", "," * 100 + "?batch=1", b""),
    ]

    assert await send_all(user, requests) <= {200, 207} | REFUSED


async def test_a_stores_key_opens_nothing_for_users_and_a_users_token_nothing_for_stores(
    user: UserClient, store: StoreClient, api: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    intruder = UserClient(api, user.user_id, store.api_key)
    for path, procedure in PROCEDURES.items():
        if procedure.kind is Kind.SUBSCRIPTION:
            assert refusal_in(await intruder.query(path))["data"]["code"] == "UNAUTHORIZED"
            continue
        send = intruder.query if procedure.kind is Kind.QUERY else intruder.mutate
        refusal_of(await send(path), 401, "UNAUTHORIZED", path)
    assert await admin.fetchval("SELECT count(*) FROM users") == 0

    for method, path in (
        ("GET", "/api/v1/credits/balance"),
        ("GET", "/api/v1/credits/transactions"),
        ("GET", "/api/v1/generations"),
        ("GET", "/api/v1/billing/plans"),
        ("POST", "/api/v1/billing/checkout"),
        ("POST", "/api/v1/generation/create"),
        ("GET", "/api/admin/stores"),
    ):
        answer = await api.request(method, path, headers=bearer(user.token))
        assert answer.status_code == 401, path
    assert await store.balance() == 100


async def test_a_session_is_shown_to_its_owner_only_whoever_asks_by_whatever_door(
    api: httpx.AsyncClient, store: StoreClient, operator: Operator
) -> None:
    owner, other = user_of(api), user_of(api)
    of_user, of_store = await owner.created(), await store.created()

    for session_id in (of_user, of_store):
        answer = await other.query("generation.getById", {"sessionId": session_id})
        refusal_of(answer, 404, "NOT_FOUND", "generation.getById")
    answer = await owner.query("generation.getById", {"sessionId": of_store})
    refusal_of(answer, 404, "NOT_FOUND", "generation.getById")
    for client in (store, await operator.store()):
        error_of(await client.get(f"/api/v1/generation/{of_user}"), 404, "NOT_FOUND")
    assert result_of(await other.query("generation.getHistory")) == []


async def test_no_claim_of_a_signed_token_is_our_mistake(api: httpx.AsyncClient) -> None:
    odd: tuple[Any, ...] = (None, True, 0, -1, 10**400, inf, nan, "", "\0", [], [[]], {}, "x")
    for name in ("sub", "aud", "exp", "nbf", "iat", "jti"):
        for value in odd:
            user_id = uuid4()
            user = UserClient(api, user_id, token_of(user_id, **{name: value}))
            answer = await user.query("credits.getPacks")
            assert answer.status_code in {200, 401}, (name, value)


async def test_first_calls_on_twenty_connections_give_ten_generations(
    api: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    user = user_of(api)

    answers = await asyncio.gather(*(user.create(f"order-{place}") for place in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [402] * 10
    rows = await admin.fetch("SELECT type, balance_after FROM credit_transactions ORDER BY seq")
    assert [tuple(row) for row in rows] == [("signup_bonus", 10)] + [
        ("generation", balance) for balance in range(9, -1, -1)
    ]
    assert await admin.fetchval("SELECT count(*) FROM sessions") == 10
