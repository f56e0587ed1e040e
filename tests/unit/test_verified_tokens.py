"""Tokens that were verified a moment ago: believed for a while, and never past their end."""

import time

import jwt
import pytest
from pydantic import SecretStr

from storecredit.settings import Settings
from storecredit.users.tokens import VERIFIED_SECONDS, Tokens
from tests.running_listener import Clock
from tests.unit.tokens import SECRET, SIGNED_IN, hs256, issuer, jwk, signed


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that were really verified, in order."""
    seen: list[str] = []
    decode = jwt.decode

    def recorded(token: str, *args: object, **options: object) -> object:
        seen.append(token)
        return decode(token, *args, **options)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(jwt, "decode", recorded)
    return seen


async def test_a_token_is_verified_once_in_a_while(verified: list[str]) -> None:
    clock = Clock()
    tokens = Tokens(Settings(jwt_secret=SecretStr(SECRET)), clock=clock)
    token = hs256()
    for _ in range(3):
        assert await tokens.user(token) == SIGNED_IN
    assert verified == [token]

    clock.now += VERIFIED_SECONDS
    assert await tokens.user(token) == SIGNED_IN
    assert verified == [token, token]


async def test_a_token_is_believed_no_longer_than_it_lasts(verified: list[str]) -> None:
    clock = Clock()
    tokens = Tokens(Settings(jwt_secret=SecretStr(SECRET)), clock=clock)
    token = hs256(exp=int(time.time()) + 1)
    assert await tokens.user(token) == SIGNED_IN

    clock.now += 1
    await tokens.user(token)
    assert verified == [token, token]


async def test_what_is_not_valid_is_verified_each_time(verified: list[str]) -> None:
    tokens = Tokens(Settings(jwt_secret=SecretStr(SECRET)))
    token = hs256("another secret, which is long enough as well")
    for _ in range(2):
        assert await tokens.user(token) is None
    assert verified == [token, token]


async def test_a_withdrawn_key_lets_nobody_in_for_much_longer() -> None:
    keys = [jwk("ES256", "a")]
    async with issuer(keys) as it:
        token = signed("ES256", "a")
        assert await it.tokens.user(token) == SIGNED_IN
        keys.clear()
        it.clock.now += 3600
        assert await it.tokens.user(token) is None
