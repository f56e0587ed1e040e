"""Tokens of end users: what is let in, and everything that must not be."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pydantic import SecretStr
from structlog.testing import capture_logs

from storecredit.settings import Settings
from storecredit.users import token_keys
from storecredit.users.token_keys import FetchedKeys
from storecredit.users.tokens import TOKEN_MAX_CHARACTERS, TokenKeysUnavailable, Tokens
from tests.listening import Clock
from tests.worker.stand_ins import Answer, StandIn, json_answer, stand_in

SECRET = "a secret of the app, long enough for HS256"
USER = UUID("0198a5f0-7d50-7cc3-98c5-c3d5a0a4b1e2")
HEADER: dict[str, object] = {"alg": "HS256", "typ": "JWT"}
Pair = tuple[str, Any]
"""An algorithm and a private key for it."""


def claims(**changes: object) -> dict[str, object]:
    """What a good token says; a change to None leaves a claim out."""
    now = int(time.time())
    good = {"sub": str(USER), "aud": "authenticated", "iat": now, "exp": now + 600}
    return {name: value for name, value in (good | changes).items() if value is not None}


def hs256(key: str = SECRET, **changes: object) -> str:
    return jwt.encode(claims(**changes), key, algorithm="HS256")


def raw(header: object, payload: object, signature: bytes = b"") -> str:
    """A token made by hand."""
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@cache
def pair(kind: str) -> Pair:
    match kind:
        case "RS256" | "RS256-other":
            return "RS256", rsa.generate_private_key(65537, 2048)
        case "RS256-short":
            return "RS256", rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
        case "ES256":
            return "ES256", ec.generate_private_key(ec.SECP256R1())
        case _:
            return "EdDSA", ed25519.Ed25519PrivateKey.generate()


def signed(kind: str, kid: str | None = None, **changes: object) -> str:
    algorithm, key = pair(kind)
    headers = {"kid": kid} if kid else None
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def jwk(kind: str, kid: str | None = None, **changes: object) -> dict[str, Any]:
    """The public key as it stands in a key set."""
    algorithm, key = pair(kind)
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    made.pop("key_ops", None)
    return made | ({"kid": kid} if kid else {}) | changes


def secret_tokens(**changes: object) -> Tokens:
    return Tokens(Settings(jwt_secret=SecretStr(SECRET)).model_copy(update=changes))


# One secret


async def test_a_good_token_names_its_user() -> None:
    tokens = secret_tokens()
    assert await tokens.user_id(hs256()) == USER
    assert await tokens.user_id(hs256(sub=str(USER).upper())) == USER
    assert await tokens.user_id(hs256(aud=["other", "authenticated"])) == USER  # RFC 7519, 4.1.3
    assert await tokens.user_id(hs256(nbf=int(time.time()) - 60, iss="anybody")) == USER
    named = jwt.encode(claims(), SECRET, algorithm="HS256", headers={"kid": "whatever"})
    assert await tokens.user_id(named) == USER


async def test_without_settings_nobody_is_anybody() -> None:
    tokens = Tokens(Settings())
    assert not Settings().serves_users
    assert await tokens.user_id(hs256()) is None


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
        {"nbf": NOW + 600},
        {"nbf": "x"},
        {"iat": NOW + 600},
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
    assert await secret_tokens().user_id(token) is None


async def test_the_issuer_counts_where_the_settings_name_one() -> None:
    tokens = secret_tokens(jwt_issuer="https://auth.example")
    assert await tokens.user_id(hs256(iss="https://auth.example")) == USER
    assert await tokens.user_id(hs256(iss="https://evil.example")) is None
    assert await tokens.user_id(hs256()) is None


async def test_another_audience_can_be_set() -> None:
    tokens = secret_tokens(jwt_audience="app")
    assert await tokens.user_id(hs256(aud="app")) == USER
    assert await tokens.user_id(hs256()) is None


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
    assert await secret_tokens().user_id(token) is None


async def test_a_token_of_another_algorithm_with_the_same_secret_is_refused() -> None:
    longer = SECRET * 2
    tokens = Tokens(Settings(jwt_secret=SecretStr(longer)))
    assert await tokens.user_id(hs256(longer)) == USER
    for algorithm in ("HS384", "HS512"):
        assert await tokens.user_id(jwt.encode(claims(), longer, algorithm=algorithm)) is None


async def test_a_secret_too_short_for_its_algorithm_works_and_is_told_at_the_start() -> None:
    short = "x" * 31
    token = hmac_token(short)
    with capture_logs() as logs:
        tokens = Tokens(Settings(jwt_secret=SecretStr(short)))
        assert await tokens.user_id(token) == USER
        assert await tokens.user_id(hmac_token("y" * 31)) is None
    assert [line["event"] for line in logs] == ["jwt_secret_too_short"]
    assert short not in str(logs)

    with capture_logs() as logs:
        Tokens(Settings(jwt_secret=SecretStr(short + "x")))
    assert logs == []


def test_an_empty_secret_is_none() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Settings(jwt_secret=SecretStr(""))


def hmac_token(secret: str) -> str:
    """A good token, signed without the library, which would warn of the secret."""
    unsigned = raw(HEADER, claims()).removesuffix(".")
    signature = hmac.digest(secret.encode(), unsigned.encode(), "sha256")
    return f"{unsigned}.{urlsafe_b64encode(signature).decode().rstrip('=')}"


# Keys behind a URL


@dataclass(frozen=True, slots=True)
class Issuer:
    """Tokens that are judged by a stand-in's keys, and the clock the cache goes by."""

    tokens: Tokens
    server: StandIn
    clock: Clock

    @property
    def fetches(self) -> int:
        return len(self.server.received)


@asynccontextmanager
async def issuer(answer: object, **changes: object) -> AsyncIterator[Issuer]:
    """A key set on loopback: an Answer, or a list of keys, the same list each time."""
    handler = answer if isinstance(answer, Answer) else (lambda _: json_answer({"keys": answer}))
    clock = Clock()
    async with stand_in(handler) as server:
        settings = Settings(jwks_url=server.url("/jwks.json")).model_copy(update=changes)
        tokens = Tokens(settings, clock=clock)
        yield Issuer(tokens, server, clock)
        await tokens.close()


@pytest.mark.parametrize("kind", ["RS256", "ES256", "EdDSA"])
async def test_a_token_signed_with_a_key_of_the_set_names_its_user(kind: str) -> None:
    keys = [jwk("RS256-other", "old"), jwk(kind, "new")]
    async with issuer(keys) as it:
        assert await it.tokens.user_id(signed(kind, "new")) == USER
        assert await it.tokens.user_id(signed(kind, "new", exp=NOW - 60)) is None
        assert await it.tokens.user_id(signed(kind, "new", aud="anon")) is None
        assert await it.tokens.user_id(signed(kind, "old")) is None
        assert await it.tokens.user_id(signed(kind)) is None, "which of the two?"
        assert it.fetches == 1


async def test_a_single_key_needs_no_name() -> None:
    async with issuer([jwk("ES256")]) as it:
        assert await it.tokens.user_id(signed("ES256")) == USER
    async with issuer([jwk("ES256", "a")]) as it:
        assert await it.tokens.user_id(signed("ES256")) == USER
        assert await it.tokens.user_id(signed("ES256", "b")) is None
    async with issuer([jwk("ES256"), jwk("RS256", "named")]) as it:
        assert await it.tokens.user_id(signed("RS256", "named")) == USER
        assert await it.tokens.user_id(signed("ES256")) is None, "one of two"


async def test_the_public_key_is_no_secret() -> None:
    """Algorithm confusion: HMAC over what everybody may read."""
    public = pair("RS256")[1].public_key()
    encodings = [
        public.public_bytes(encoding, form)
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
        for form in (
            serialization.PublicFormat.SubjectPublicKeyInfo,
            serialization.PublicFormat.PKCS1,
        )
    ]
    encodings += [json.dumps(jwk("RS256", "k")).encode(), jwk("RS256")["n"].encode()]
    async with issuer([jwk("RS256", "k")], jwks_algorithms=("RS256", "HS256")) as it:
        assert await it.tokens.user_id(signed("RS256", "k")) == USER
        for secret in encodings:
            head = raw(HEADER | {"kid": "k"}, claims()).removesuffix(".")
            mac = urlsafe_b64encode(hmac.digest(secret, head.encode(), "sha256")).decode()
            assert await it.tokens.user_id(f"{head}.{mac.rstrip('=')}") is None


async def test_hmac_is_never_a_key_of_a_set() -> None:
    octets = urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")
    shared = {"kty": "oct", "k": octets, "kid": "s", "alg": "HS256"}
    async with issuer([shared], jwks_algorithms=("HS256",)) as it:
        token = jwt.encode(claims(), SECRET, algorithm="HS256", headers={"kid": "s"})
        assert await it.tokens.user_id(token) is None


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
        jwk("ES256", "odd") | {"x": "AAAA"},
        jwk("ES256", "odd") | {"kid": ["odd"]},
        jwk("ES256", "enc", use="enc"),
        jwk("RS256", "other-algorithm", alg="PS512"),
        jwk("RS256-short", "short"),
        jwk("ES256", "good", use="sig", alg="ES256"),
        jwk("RS256", "good"),
    ]
    async with issuer(odd) as it:
        assert await it.tokens.user_id(signed("ES256", "good")) == USER
        assert await it.tokens.user_id(signed("ES256", "enc")) is None
        assert await it.tokens.user_id(signed("RS256", "other-algorithm")) is None
        assert await it.tokens.user_id(signed("RS256", "good")) is None, "the first of a name"
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            token = signed("RS256-short", "short")
        assert await it.tokens.user_id(token) is None


async def test_an_algorithm_the_settings_do_not_list_is_no_ones() -> None:
    async with issuer([jwk("RS256", "r"), jwk("ES256", "e")], jwks_algorithms=("ES256",)) as it:
        assert await it.tokens.user_id(signed("ES256", "e")) == USER
        assert await it.tokens.user_id(signed("RS256", "r")) is None


async def test_a_new_key_is_found_and_guesses_cost_one_fetch_in_a_while() -> None:
    keys = [jwk("ES256", "old")]
    async with issuer(keys) as it:
        assert await it.tokens.user_id(signed("ES256", "old")) == USER
        keys.append(jwk("RS256", "new"))
        guesses = [signed("RS256", f"guess-{uuid4()}") for _ in range(20)]
        assert set(await asyncio.gather(*map(it.tokens.user_id, guesses))) == {None}
        assert await it.tokens.user_id(signed("RS256", "new")) is None, "not asked for again yet"
        assert it.fetches == 1
        it.clock.now += token_keys.FETCH_INTERVAL_SECONDS
        assert await it.tokens.user_id(signed("RS256", "new")) == USER
        assert set(await asyncio.gather(*map(it.tokens.user_id, guesses))) == {None}
        assert it.fetches == 2


async def test_many_first_tokens_fetch_the_keys_once() -> None:
    async with issuer([jwk("ES256", "k")]) as it:
        token = signed("ES256", "k")
        users = await asyncio.gather(*(it.tokens.user_id(token) for _ in range(20)))
        assert set(users) == {USER}
        assert it.fetches == 1


async def test_a_key_that_was_withdrawn_is_forgotten() -> None:
    keys = [jwk("ES256", "k"), jwk("RS256", "other")]
    async with issuer(keys) as it:
        assert await it.tokens.user_id(signed("ES256", "k")) == USER
        keys.pop(0)
        it.clock.now += token_keys.FRESH_SECONDS + 1
        assert await it.tokens.user_id(signed("ES256", "k")) is None
        assert await it.tokens.user_id(signed("RS256", "other")) == USER


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
                await it.tokens.user_id(signed("ES256", "k"))
        assert it.fetches == 1


async def test_a_set_without_keys_lets_nobody_in() -> None:
    async with issuer([]) as it:
        assert await it.tokens.user_id(signed("ES256", "k")) is None
        assert await it.tokens.user_id(signed("ES256")) is None


async def test_a_url_that_is_none_lets_nobody_in() -> None:
    for url in ("http://127.0.0.1:1/", "nonsense", "ftp://x/", "http://[::bad/"):
        tokens = Tokens(Settings(jwks_url=url))
        with pytest.raises(TokenKeysUnavailable):
            await tokens.user_id(signed("ES256", "k"))
        await tokens.close()
