"""Our own links to results."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import UUID

import pytest
from itsdangerous import URLSafeSerializer
from pydantic import SecretStr

from storecredit.generation.results.links import ResultLinks

STORE = UUID("11111111-1111-4111-8111-111111111111")
SESSION = UUID("22222222-2222-4222-8222-222222222222")
KEY = f"{STORE}/{SESSION}.png"


@pytest.fixture
def links(tmp_path: Path) -> ResultLinks:
    return ResultLinks(tmp_path, None)


def test_a_token_stands_for_its_key(links: ResultLinks) -> None:
    token = links.sign(KEY, lifetime_seconds=60)

    assert links.verify(token) == KEY
    assert all(character.isalnum() or character in "-_." for character in token)


@pytest.mark.parametrize("lifetime_seconds", [0, -1])
def test_an_expired_token_is_worth_nothing(links: ResultLinks, lifetime_seconds: float) -> None:
    assert links.verify(links.sign(KEY, lifetime_seconds=lifetime_seconds)) is None


def test_a_token_with_any_character_changed_is_worth_nothing(links: ResultLinks) -> None:
    token = links.sign(KEY, lifetime_seconds=60)

    for place, character in enumerate(token):
        # Of the last base64 character only the upper four bits count, and A to D share them.
        other = "A" if character not in "ABCD" else "z"
        assert links.verify(token[:place] + other + token[place + 1 :]) is None


@pytest.mark.parametrize("token", ["", ".", "a.b", "\ud800", "ü", "\0", "a" * 100_000])
def test_what_is_no_token_is_worth_nothing(links: ResultLinks, token: str) -> None:
    assert links.verify(token) is None


def test_a_token_of_another_key_is_worth_nothing(links: ResultLinks, tmp_path: Path) -> None:
    other = ResultLinks(tmp_path / "other", None)
    forged = URLSafeSerializer("a guess").dumps([KEY, 2**40])

    assert links.verify(other.sign(KEY, lifetime_seconds=60)) is None
    assert links.verify(forged) is None


@pytest.mark.parametrize("key", ["", "signing.key", f"{KEY}/..", f"{KEY}\n"])
def test_nothing_else_is_signed(links: ResultLinks, key: str) -> None:
    with pytest.raises(ValueError, match="not a result key"):
        links.sign(key, lifetime_seconds=60)


def test_a_signing_key_that_is_set_is_the_one_used(tmp_path: Path) -> None:
    secret = SecretStr("0123456789abcdef")
    first, second = (ResultLinks(tmp_path / name, secret) for name in ("first", "second"))

    assert second.verify(first.sign(KEY, lifetime_seconds=60)) == KEY
    assert not (tmp_path / "first").exists()


def test_a_signing_key_too_short_to_sign_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="STORECREDIT_SIGNING_KEY must have at least 16"):
        ResultLinks(tmp_path, SecretStr("secret"))


def test_a_signing_key_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    token = ResultLinks(tmp_path / "data", None).sign(KEY, lifetime_seconds=60)
    kept = tmp_path / "data" / "signing.key"

    assert ResultLinks(tmp_path / "data", None).verify(token) == KEY
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert len(kept.read_bytes()) == 32
    assert list(kept.parent.iterdir()) == [kept]


def test_a_damaged_signing_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "signing.key").write_bytes(b"")

    with pytest.raises(ValueError, match=r"signing\.key is damaged"):
        ResultLinks(tmp_path, None)


def test_whoever_starts_at_once_agrees_on_one_signing_key(tmp_path: Path) -> None:
    together = Barrier(4)

    def token_of_new_links(data_dir: Path) -> str:
        together.wait()
        return ResultLinks(data_dir, None).sign(KEY, lifetime_seconds=600)

    with ThreadPoolExecutor(4) as starters:
        for number in range(50):
            data_dir = tmp_path / str(number)
            tokens = list(starters.map(token_of_new_links, [data_dir] * 4))

            links = ResultLinks(data_dir, None)
            assert [links.verify(token) for token in tokens] == [KEY] * 4
            assert list(data_dir.iterdir()) == [data_dir / "signing.key"]
