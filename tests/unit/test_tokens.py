"""Tokens of end users: what is let in, and everything that must not be."""

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from uuid import uuid4

import jwt
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from stand_ins.http_server import Answer, json_answer, stand_in
from storecredit.settings import Settings
from storecredit.users import token_keys
from storecredit.users.token_keys import FetchedKeys
from storecredit.users.tokens import TOKEN_MAX_CHARACTERS, TokenKeysUnavailable, Tokens
from tests.running_listener import Clock
from tests.unit.tokens import (
    HEADER,
    SECRET,
    SIGNED_IN,
    USER,
    claims,
    hmac_token,
    hs256,
    issuer,
    jwk,
    public_encodings,
    raw,
    signed,
)


def secret_tokens(**changes: object) -> Tokens:
    return Tokens(Settings(jwt_secret=SecretStr(SECRET)).model_copy(update=changes))


# One secret


async def test_a_good_token_names_its_user() -> None:
    tokens = secret_tokens()
    assert await tokens.user(hs256()) == SIGNED_IN
    assert await tokens.user(hs256(sub=str(USER).upper())) == SIGNED_IN
    assert await tokens.user(hs256(aud=["other", "authenticated"])) == SIGNED_IN  # RFC 7519, 4.1.3
    assert await tokens.user(hs256(nbf=int(time.time()) - 60, iss="anybody")) == SIGNED_IN
    assert await tokens.user(hs256(kid="whatever")) == SIGNED_IN


async def test_without_settings_nobody_is_anybody() -> None:
    tokens = Tokens(Settings())
    assert not Settings().serves_users
    assert await tokens.user(hs256()) is None


NOW = int(time.time())


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 60},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": [NOW + 600]},
        {"exp": -(10**400)},
        # Far ahead: what is collected first may be run last.
        {"nbf": NOW + 86_400},
        {"nbf": "x"},
        {"iat": NOW + 86_400},
        {"aud": None},
        {"aud": ""},
        {"aud": []},
        {"aud": "anon"},
        {"aud": ["anon", "service"]},
        {"aud": {"authenticated": True}},
        {"aud": [["authenticated"]]},
        {"aud": "Authenticated"},
        {"sub": None},
        {"sub": ""},
        {"sub": "user-1"},
        {"sub": 5},
        {"sub": USER.hex},
        {"sub": f"{{{USER}}}"},
        {"sub": f"urn:uuid:{USER}"},
        {"sub": f" {USER}"},
        {"sub": f"{USER}\x00"},
    ],
)
async def test_a_token_that_says_something_else_is_refused(changes: dict[str, object]) -> None:
    payload = json.dumps(claims(**changes)).encode()
    token = jwt.PyJWS().encode(payload, SECRET, algorithm="HS256")
    assert await secret_tokens().user(token) is None


async def test_the_issuer_counts_where_the_settings_name_one() -> None:
    tokens = secret_tokens(jwt_issuer="https://auth.example")
    assert await tokens.user(hs256(iss="https://auth.example")) == SIGNED_IN
    assert await tokens.user(hs256(iss="https://evil.example")) is None
    assert await tokens.user(hs256()) is None


async def test_another_audience_can_be_set() -> None:
    tokens = secret_tokens(jwt_audience="app")
    assert await tokens.user(hs256(aud="app")) == SIGNED_IN
    assert await tokens.user(hs256()) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "é.é.é",
        "\ud800.a.b",
        "sc_live_123456789012345678901234567890123456",
        raw({"alg": "none"}, claims()),
        raw({"alg": "None"}, claims(), b"x"),
        raw({"alg": ""}, claims()),
        raw({}, claims()),
        raw({"alg": ["HS256"]}, claims()),
        raw({"alg": {"HS256": 1}}, claims()),
        raw(HEADER, claims()),
        raw(HEADER, claims(), b"x" * 32),
        raw(HEADER | {"kid": 5}, claims(), b"x" * 32),
        raw(HEADER | {"kid": ["a"]}, claims(), b"x" * 32),
        raw(HEADER | {"crit": ["exp"]}, claims(), b"x" * 32),
        raw(HEADER | {"b64": False, "crit": ["b64"]}, claims(), b"x" * 32),
        raw([HEADER], claims(), b"x" * 32),
        raw("HS256", claims(), b"x" * 32),
        raw(None, claims(), b"x" * 32),
        "W1tb" * 1500 + ".e30.e30",
        hs256() + "x",
        hs256()[:-2],
        hs256() + "." + hs256(),
        hs256("another secret, just as long as ours is"),
        jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
        hs256(padding="x" * TOKEN_MAX_CHARACTERS),
    ],
)
async def test_what_is_no_token_of_ours_is_refused(token: str) -> None:
    assert await secret_tokens().user(token) is None


async def test_a_token_of_another_algorithm_with_the_same_secret_is_refused() -> None:
    longer = SECRET * 2
    tokens = Tokens(Settings(jwt_secret=SecretStr(longer)))
    assert await tokens.user(hs256(longer)) == SIGNED_IN
    for algorithm in ("HS384", "HS512"):
        assert await tokens.user(jwt.encode(claims(), longer, algorithm=algorithm)) is None


async def test_a_secret_too_short_for_its_algorithm_works_and_is_told_at_the_start() -> None:
    short = "x" * 31
    token = hmac_token(short)
    with capture_logs() as logs:
        tokens = Tokens(Settings(jwt_secret=SecretStr(short)))
        assert await tokens.user(token) == SIGNED_IN
        assert await tokens.user(hmac_token("y" * 31)) is None
    assert [line["event"] for line in logs] == ["jwt_secret_too_short"]
    assert short not in str(logs)

    with capture_logs() as logs:
        Tokens(Settings(jwt_secret=SecretStr(short + "x")))
    assert logs == []


def test_an_empty_secret_is_none() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Settings(jwt_secret=SecretStr(""))


# Keys behind a URL


@pytest.mark.parametrize("kind", ["RS256", "ES256", "EdDSA"])
async def test_a_token_signed_with_a_key_of_the_set_names_its_user(kind: str) -> None:
    keys = [jwk("RS256-other", "old"), jwk(kind, "new")]
    async with issuer(keys) as it:
        assert await it.tokens.user(signed(kind, "new")) == SIGNED_IN
        assert await it.tokens.user(signed(kind, "new", exp=NOW - 60)) is None
        assert await it.tokens.user(signed(kind, "new", aud="anon")) is None
        assert await it.tokens.user(signed(kind, "old")) is None
        assert await it.tokens.user(signed(kind)) is None, "which of the two?"
        assert it.fetches == 1


async def test_a_single_key_needs_no_name() -> None:
    async with issuer([jwk("ES256")]) as it:
        assert await it.tokens.user(signed("ES256")) == SIGNED_IN
    async with issuer([jwk("ES256", "a")]) as it:
        assert await it.tokens.user(signed("ES256")) == SIGNED_IN
        assert await it.tokens.user(signed("ES256", "b")) is None
    async with issuer([jwk("ES256"), jwk("RS256", "named")]) as it:
        assert await it.tokens.user(signed("RS256", "named")) == SIGNED_IN
        assert await it.tokens.user(signed("ES256")) is None, "one of two"


async def test_the_public_key_is_no_secret() -> None:
    """Algorithm confusion: HMAC over what everybody may read."""
    async with issuer([jwk("RS256", "k")], jwks_algorithms=("RS256", "HS256")) as it:
        assert await it.tokens.user(signed("RS256", "k")) == SIGNED_IN
        for secret in public_encodings("RS256"):
            assert await it.tokens.user(hmac_token(secret, kid="k")) is None


async def test_hmac_is_never_a_key_of_a_set() -> None:
    octets = urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")
    shared = {"kty": "oct", "k": octets, "kid": "s", "alg": "HS256"}
    async with issuer([shared], jwks_algorithms=("HS256",)) as it:
        assert await it.tokens.user(hs256(kid="s")) is None


async def test_keys_that_are_not_for_this_are_left_out() -> None:
    odd: list[object] = [
        None,
        5,
        "key",
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 5, "e": []},
        {"kty": ["RSA"], "kid": "odd"},
        {"kty": "EC", "crv": "P-999", "kid": "odd"},
        {"kty": "oct", "kid": "odd"},
        jwk("ES256", "odd") | {"alg": "none"},
        jwk("ES256", "odd") | {"x": "AAAA"},
        jwk("ES256", "odd") | {"kid": ["odd"]},
        jwk("ES256", "enc", use="enc"),
        jwk("RS256", "other-algorithm", alg="PS512"),
        jwk("RS256-short", "short"),
        jwk("ES256", "good", use="sig", alg="ES256"),
        jwk("RS256", "good"),
    ]
    async with issuer(odd) as it:
        assert await it.tokens.user(signed("ES256", "good")) == SIGNED_IN
        assert await it.tokens.user(signed("ES256", "enc")) is None
        assert await it.tokens.user(signed("RS256", "other-algorithm")) is None
        assert await it.tokens.user(signed("RS256", "good")) is None, "the first of a name"
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            token = signed("RS256-short", "short")
        assert await it.tokens.user(token) is None


async def test_an_algorithm_the_settings_do_not_list_is_no_ones() -> None:
    async with issuer([jwk("RS256", "r"), jwk("ES256", "e")], jwks_algorithms=("ES256",)) as it:
        assert await it.tokens.user(signed("ES256", "e")) == SIGNED_IN
        assert await it.tokens.user(signed("RS256", "r")) is None


async def test_a_new_key_is_found_and_guesses_cost_one_fetch_in_a_while() -> None:
    keys = [jwk("ES256", "old")]
    async with issuer(keys) as it:
        assert await it.tokens.user(signed("ES256", "old")) == SIGNED_IN
        keys.append(jwk("RS256", "new"))
        guesses = [signed("RS256", f"guess-{uuid4()}") for _ in range(20)]
        assert set(await asyncio.gather(*map(it.tokens.user, guesses))) == {None}
        assert await it.tokens.user(signed("RS256", "new")) is None, "not asked for again yet"
        assert it.fetches == 1
        it.clock.now += token_keys.FETCH_INTERVAL_SECONDS
        assert await it.tokens.user(signed("RS256", "new")) == SIGNED_IN
        assert set(await asyncio.gather(*map(it.tokens.user, guesses))) == {None}
        assert it.fetches == 2


async def test_many_first_tokens_fetch_the_keys_once() -> None:
    async with issuer([jwk("ES256", "k")]) as it:
        token = signed("ES256", "k")
        users = await asyncio.gather(*(it.tokens.user(token) for _ in range(20)))
        assert set(users) == {SIGNED_IN}
        assert it.fetches == 1


async def test_a_key_that_was_withdrawn_is_forgotten() -> None:
    keys = [jwk("ES256", "k"), jwk("RS256", "other")]
    async with issuer(keys) as it:
        assert await it.tokens.user(signed("ES256", "k")) == SIGNED_IN
        keys.pop(0)
        it.clock.now += token_keys.FRESH_SECONDS + 1
        assert await it.tokens.user(signed("ES256", "k")) is None
        assert await it.tokens.user(signed("RS256", "other")) == SIGNED_IN


async def test_keys_outlast_an_issuer_that_is_away_for_a_while() -> None:
    answers = [json_answer({"keys": [jwk("ES256", "k")]})]
    clock = Clock()
    async with stand_in(lambda _: answers[-1]) as server:
        keys = FetchedKeys(server.url(), ("ES256",), clock)
        assert await keys.key("k")
        answers.append(Answer(503))
        clock.now += token_keys.FRESH_SECONDS + 1
        assert await keys.key("k")
        clock.now += token_keys.STALE_SECONDS
        with pytest.raises(TokenKeysUnavailable):
            await keys.key("k")
        assert len(server.received) == 3
        answers.append(answers[0])
        with pytest.raises(TokenKeysUnavailable):
            await keys.key("k")
        clock.now += token_keys.FETCH_INTERVAL_SECONDS
        assert await keys.key("k")
        await keys.close()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500),
        Answer(404),
        Answer(301, headers={"Location": "/elsewhere"}),
        Answer(200, b"<html>"),
        Answer(200, b"\xff\xfe"),
        Answer(200, b"[" * 5000),
        Answer(200, b'{"keys":[]}' + b" " * token_keys.ANSWER_MAX_BYTES),
        Answer(break_off=True),
        Answer(200, b"{}", length=10),
        *map(json_answer, [{}, [], None, {"keys": {}}, {"keys": None}]),
    ],
)
async def test_keys_that_cannot_be_had_let_nobody_in_and_say_so(answer: Answer) -> None:
    async with issuer(answer) as it:
        for _ in range(3):
            with pytest.raises(TokenKeysUnavailable):
                await it.tokens.user(signed("ES256", "k"))
        assert it.fetches == 1


async def test_a_set_without_keys_lets_nobody_in() -> None:
    async with issuer([]) as it:
        assert await it.tokens.user(signed("ES256", "k")) is None
        assert await it.tokens.user(signed("ES256")) is None


async def test_a_url_that_is_none_lets_nobody_in() -> None:
    for url in ("http://127.0.0.1:1/", "nonsense", "ftp://x/", "http://[::bad/"):
        tokens = Tokens(Settings(jwks_url=url))
        with pytest.raises(TokenKeysUnavailable):
            await tokens.user(signed("ES256", "k"))
        await tokens.close()
