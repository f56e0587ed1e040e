"""A shared secret and published keys at once: an issuer goes over from one to the other."""

import jwt
import pytest
from pydantic import SecretStr

from stand_ins.http_server import Answer
from storecredit.users import token_keys
from storecredit.users.tokens import TokenKeysUnavailable, TokenUser
from tests.unit.tokens import (
    SECRET,
    SIGNED_IN,
    USER,
    Issuer,
    claims,
    hmac_token,
    hs256,
    issuer,
    jwk,
    public_encodings,
    raw,
    signed,
)

BOTH = {"jwt_secret": SecretStr(SECRET)}


async def assert_refused(it: Issuer, *tokens: str) -> None:
    for token in tokens:
        assert await it.tokens.user(token) is None, jwt.get_unverified_header(token)


async def test_tokens_of_the_old_kind_and_of_the_new_one_are_good() -> None:
    async with issuer([jwk("ES256", "new"), jwk("RS256", "next")], **BOTH) as it:
        for token in (
            hs256(),
            hs256(kid="the secret's own, which is not published"),
            signed("ES256", "new"),
            signed("RS256", "next"),
            hs256(),
        ):
            assert await it.tokens.user(token) == SIGNED_IN
        assert it.fetches == 1
        await assert_refused(it, hs256(exp=1), hs256(aud="anon"), signed("ES256", "new", exp=1))


async def test_a_token_that_names_a_published_key_is_judged_by_it_alone() -> None:
    for first in (hs256(kid="k"), hmac_token(SECRET, kid="k")):
        async with issuer([jwk("RS256", "k")], **BOTH) as it:
            await assert_refused(it, first)
            assert await it.tokens.user(signed("RS256", "k")) == SIGNED_IN
            await assert_refused(it, first, signed("RS256-other", "k"))


async def test_the_public_key_is_no_secret_here_either() -> None:
    async with issuer([jwk("RS256", "k")], **BOTH) as it:
        for secret in public_encodings("RS256"):
            for kid in ("k", "unknown", None):
                await assert_refused(it, hmac_token(secret, kid=kid))


async def test_the_secret_is_of_one_algorithm_and_the_token_does_not_say_which() -> None:
    longer = SECRET * 2
    async with issuer([jwk("ES256", "k")], jwt_secret=SecretStr(longer)) as it:
        assert await it.tokens.user(hs256(longer)) == SIGNED_IN
        for algorithm in ("HS384", "HS512"):
            await assert_refused(it, jwt.encode(claims(), longer, algorithm=algorithm))
        await assert_refused(it, raw({"alg": "none"}, claims()), hs256("x" * 40))


async def test_a_key_that_was_published_a_moment_ago_is_found() -> None:
    keys = [jwk("ES256", "old")]
    async with issuer(keys, **BOTH) as it:
        assert await it.tokens.user(signed("ES256", "old")) == SIGNED_IN
        keys.append(jwk("RS256", "new"))
        await assert_refused(it, signed("RS256", "new"))
        it.clock.now += token_keys.FETCH_INTERVAL_SECONDS
        assert await it.tokens.user(signed("RS256", "new")) == SIGNED_IN
        assert it.fetches == 2


async def test_a_single_published_key_needs_no_name() -> None:
    async with issuer([jwk("ES256", "only")], **BOTH) as it:
        assert await it.tokens.user(signed("ES256")) == SIGNED_IN
        await assert_refused(it, signed("RS256"))


async def test_what_the_secret_signed_is_good_while_the_issuer_is_away() -> None:
    async with issuer(Answer(503), **BOTH) as it:
        for token in (hs256(), hs256(kid="a"), hs256(kid="b")):
            assert await it.tokens.user(token) == SIGNED_IN
        assert it.fetches == 1, "a name that is not published asks for nothing"
        with pytest.raises(TokenKeysUnavailable):
            await it.tokens.user(signed("ES256", "k"))


@pytest.mark.parametrize(
    "said, is_anonymous", [(True, True), (False, False), (None, False), ("true", False), (1, False)]
)
async def test_who_is_anonymous_is_what_the_token_says(said: object, *, is_anonymous: bool) -> None:
    async with issuer([], **BOTH) as it:
        token = hs256(is_anonymous=said)
        assert await it.tokens.user(token) == TokenUser(USER, is_anonymous=is_anonymous)
