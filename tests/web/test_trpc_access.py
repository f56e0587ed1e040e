"""The door of `/api/trpc`: whether it is open, who is let in, from where, and how much at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from stand_ins.http_server import Answer, json_answer, stand_in
from storecredit.postgres.pool import Database
from storecredit.service import assembled
from storecredit.settings import Settings
from storecredit.web.http.envelope import STATUS
from storecredit.web.trpc.calls import BATCH_MAX, JSONL
from storecredit.web.trpc.errors import STATUS_AND_NUMBER
from tests.log_stream import LogStream
from tests.web.conftest import http_client
from tests.web.doors import IMAGE, OPERATOR_TOKEN, Operator, bearer, error_of
from tests.web.users import (
    APP_ORIGIN,
    JWT_SECRET,
    TRPC,
    UserClient,
    body_of,
    error_in,
    refusal_of,
    result_of,
    token_of,
    user_of,
)

BALANCE = "credits.getBalance"
CREATE = "generation.create"


# Whether it is open


@pytest.fixture
async def closed(
    settings: Settings, database: Database, log: LogStream
) -> AsyncIterator[httpx.AsyncClient]:
    """A service that cannot tell end users apart."""
    assert log.lines() == []
    async with (
        assembled(settings.model_copy(update={"jwt_secret": None}), database) as service,
        http_client(service) as api,
    ):
        yield api


async def test_without_a_way_to_tell_users_apart_it_is_off_and_says_so(
    closed: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    user = user_of(closed)
    for answer in (
        await user.query(BALANCE),
        await user.create(),
        await user.batch("GET", [(BALANCE, None)] * 2),
        await closed.get(TRPC),
        await closed.get(f"{TRPC}//{BALANCE}/"),
        await closed.get(f"{TRPC}/nothing"),
        await user.batch("POST", [(CREATE, None)], headers={"trpc-accept": JSONL}),
        await closed.options(f"{TRPC}/{BALANCE}", headers={"Origin": APP_ORIGIN}),
    ):
        assert "STORECREDIT_JWT_SECRET" in refusal_of(answer, 404, "NOT_FOUND")
    page = await user.query(BALANCE, headers={"Origin": APP_ORIGIN})
    assert page.headers["access-control-allow-origin"] == APP_ORIGIN, "it can read why"
    assert (await preflight(closed, APP_ORIGIN)).status_code == 204
    assert await admin.fetchval("SELECT count(*) FROM users") == 0


async def test_every_error_of_the_other_doors_has_a_name_here() -> None:
    here = {status for status, _ in STATUS_AND_NUMBER.values()}
    assert set(STATUS.values()) <= here
    assert len(here) == len(STATUS_AND_NUMBER)


# Who is let in


async def test_only_a_good_token_is_let_in(
    api: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    user_id, other = uuid4(), "another secret that is not the app's own at all"
    good = token_of(user_id)
    past = int(time.time()) - 60
    said = jwt.decode(good, JWT_SECRET, ["HS256"], audience="authenticated")
    refused: dict[str, dict[str, str]] = {
        "none": {},
        "empty": {"Authorization": ""},
        "no scheme": {"Authorization": good},
        "another scheme": {"Authorization": f"Basic {good}"},
        "no token": {"Authorization": "Bearer"},
        "expired": bearer(token_of(user_id, exp=past)),
        "without an end": bearer(
            jwt.encode({"sub": str(user_id), "aud": "authenticated"}, JWT_SECRET)
        ),
        "of another audience": bearer(token_of(user_id, aud="anon")),
        "of nobody": bearer(token_of("me")),
        "of another secret": bearer(jwt.encode(said, other)),
        "unsigned": bearer(jwt.encode(said, "", algorithm="none")),
        "huge": bearer(token_of(user_id, padding="x" * 20_000)),
        "the operator's": bearer(OPERATOR_TOKEN),
        "in the URL": {},
        "in a cookie": {"Cookie": f"token={good}"},
    }
    for name, headers in refused.items():
        for path in (BALANCE, "generation.getStats"):
            query = {"token": good, "access_token": good} if name == "in the URL" else None
            answer = await api.get(f"{TRPC}/{path}", headers=headers, params=query)
            refusal_of(answer, 401, "UNAUTHORIZED", path)
    assert await admin.fetchval("SELECT count(*) FROM users") == 0
    result_of(await api.get(f"{TRPC}/{BALANCE}", headers={"authorization": f"bearer {good}"}))


async def test_a_stranger_learns_nothing_of_their_input(
    api: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    stranger = UserClient(api, uuid4(), "x.y.z")
    answer = await stranger.batch("POST", [(CREATE, {"modelImageUrl": IMAGE}), (CREATE, {})])
    for shape in body_of(answer):
        error_in(shape, 401, "UNAUTHORIZED", CREATE)
    answer = await stranger.send("POST", CREATE, "x" * 5_000_000)
    refusal_of(answer, 401, "UNAUTHORIZED", CREATE)
    assert await admin.fetchval("SELECT count(*) FROM movements") == 0


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens a service takes, because it is told where the issuer's keys are."""

    api: httpx.AsyncClient
    key: ec.EllipticCurvePrivateKey
    answers: list[Answer]

    def user(self) -> UserClient:
        user_id = uuid4()
        said = {"sub": str(user_id), "aud": "authenticated", "exp": int(time.time()) + 60}
        token = jwt.encode(said, self.key, algorithm="ES256", headers={"kid": "k"})
        return UserClient(self.api, user_id, token)


@pytest.fixture
async def issuer(settings: Settings, database: Database, log: LogStream) -> AsyncIterator[Issuer]:
    assert log.lines() == []
    key = ec.generate_private_key(ec.SECP256R1())
    entry = jwt.get_algorithm_by_name("ES256").to_jwk(key.public_key(), as_dict=True)
    answers = [json_answer({"keys": [entry | {"kid": "k"}]})]
    async with stand_in(lambda _: answers[-1]) as server:
        own = settings.model_copy(update={"jwt_secret": None, "jwks_url": server.url()})
        async with assembled(own, database) as service, http_client(service) as api:
            yield Issuer(api, key, answers)


async def test_a_user_whose_issuers_keys_are_behind_a_url_is_let_in(
    issuer: Issuer, log: LogStream
) -> None:
    user = issuer.user()
    assert await user.balance() == 10
    refusal_of(await user_of(issuer.api).query(BALANCE), 401, "UNAUTHORIZED", BALANCE)
    assert user.token not in log.getvalue()


async def test_keys_that_cannot_be_had_are_no_fault_of_the_users(
    issuer: Issuer, log: LogStream
) -> None:
    issuer.answers.append(Answer(500))
    refusal_of(await issuer.user().query(BALANCE), 503, "SERVICE_UNAVAILABLE", BALANCE)
    [line] = log.events("request_not_served")
    assert line["cause"] == "TokenKeysUnavailable"


# Request ids


async def test_the_request_id_is_echoed_or_made(user: UserClient) -> None:
    answer = await user.query(BALANCE, headers={"X-Request-Id": "trace-1"})
    assert answer.headers["x-request-id"] == "trace-1"
    made = [(await user.query(BALANCE)).headers["x-request-id"] for _ in range(2)]
    assert made[0] != made[1]
    assert all(it.startswith("req_") for it in made)


@pytest.mark.parametrize("request_id", ["", "r" * 201, "a\tb"])
async def test_what_is_no_request_id_is_refused_in_the_form_the_app_reads(
    user: UserClient, request_id: str, admin: asyncpg.Connection
) -> None:
    answer = await user.query(BALANCE, headers={"X-Request-Id": request_id})
    refusal_of(answer, 400, "BAD_REQUEST")
    assert answer.headers["x-request-id"].startswith("req_")
    assert await admin.fetchval("SELECT count(*) FROM users") == 0


# From where


async def preflight(api: httpx.AsyncClient, origin: str, **headers: str) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return await api.options(f"{TRPC}/{CREATE}?batch=1", headers=asked | headers)


async def test_the_apps_pages_may_call_and_read_the_answer(user: UserClient) -> None:
    answer = await preflight(
        user.http,
        APP_ORIGIN,
        **{"Access-Control-Request-Headers": "authorization,content-type,x-trpc-source"},
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == APP_ORIGIN
    assert {"GET", "POST"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    allowed = answer.headers["access-control-allow-headers"]
    assert allowed == "authorization,content-type,x-trpc-source"
    plain = await preflight(user.http, APP_ORIGIN)
    assert "Authorization" in plain.headers["access-control-allow-headers"]
    for page in (
        await user.query(BALANCE, headers={"Origin": APP_ORIGIN}),
        await user.query("nothing", headers={"Origin": APP_ORIGIN}),
        await user.query(BALANCE, headers={"Origin": APP_ORIGIN, "X-Request-Id": "a,"}),
        await user.query(BALANCE, headers={"Origin": APP_ORIGIN, "trpc-accept": JSONL}),
        await UserClient(user.http, uuid4(), "").query(BALANCE, headers={"Origin": APP_ORIGIN}),
    ):
        assert page.headers["access-control-allow-origin"] == APP_ORIGIN
        assert page.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in page.headers["vary"]
        assert "X-Request-Id" in page.headers["access-control-expose-headers"]


async def test_pages_of_other_origins_cannot_read_it(user: UserClient, operator: Operator) -> None:
    shop = "https://shop.example"
    await operator.store(allowed_origins=(shop,))
    for origin in ("https://evil.example", "null", "", f"{APP_ORIGIN}.evil.example", shop):
        answer = await preflight(user.http, origin)
        refusal_of(answer, 403, "FORBIDDEN")
        assert "access-control-allow-origin" not in answer.headers
        answer = await user.query(BALANCE, headers={"Origin": origin})
        result_of(answer)
        assert "access-control-allow-origin" not in answer.headers


async def test_the_apps_origin_is_none_of_a_stores(api: httpx.AsyncClient) -> None:
    asked = {"Origin": APP_ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = await api.options("/api/v1/credits/balance", headers=asked)
    error_of(answer, 403, "DOMAIN_MISMATCH")


# How much at once


async def test_a_batch_has_a_maximum(user: UserClient) -> None:
    calls = [(BALANCE, None)] * BATCH_MAX
    assert (await user.batch("GET", calls)).status_code == 200
    refusal_of(await user.batch("GET", [*calls, (BALANCE, None)]), 400, "BAD_REQUEST")
    answer = await user.http.get(f"{TRPC}/{',' * 20_000}?batch=1", headers=bearer(user.token))
    refusal_of(answer, 400, "BAD_REQUEST")


async def test_a_body_has_a_maximum(user: UserClient, settings: Settings) -> None:
    huge = {"modelImageUrl": "x" * settings.body_max_bytes}
    refusal_of(await user.mutate(CREATE, huge), 413, "PAYLOAD_TOO_LARGE", CREATE)
    answer = await user.batch("POST", [(CREATE, huge), (CREATE, {})])
    assert answer.status_code == 413
    for shape in body_of(answer):
        error_in(shape, 413, "PAYLOAD_TOO_LARGE", CREATE)
    assert await user.balance() == 10


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"json":' * 50_000,
        b'{"json":{"modelImageUrl":"x"},"meta":{"values":' + b'{"a":' * 500 + b"1" + b"}" * 502,
        b'{"json":1e999}',
        b'{"json":' + b"9" * 100_000 + b"}",
        b"\xff\xfe",
        b'{"json":"\xff"}',
        b'{"json":"\\ud800"}',
        b"\x00",
        b"{}" * 5,
    ],
)
async def test_bodies_made_to_break_something(user: UserClient, body: bytes) -> None:
    headers = bearer(user.token) | {"Content-Type": "application/json"}
    answer = await user.http.post(f"{TRPC}/{CREATE}", headers=headers, content=body)
    refusal_of(answer, 400, "BAD_REQUEST", CREATE)


async def test_a_nul_in_a_text_is_kept_out_of_the_database(user: UserClient) -> None:
    for input_ in ({"modelImageUrl": "https://a.example/\0"}, {"outfitImageUrl": "\0"}):
        refusal_of(await user.create(**input_), 400, "BAD_REQUEST", CREATE)
    await user.created(accessories=[{"type": "\0", "url": IMAGE}])


async def test_many_batches_at_once_are_all_answered(user: UserClient) -> None:
    calls = [(path, None) for path in (BALANCE, "generation.getStats") * 20]
    answers = await asyncio.gather(*(user.batch("GET", calls) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
