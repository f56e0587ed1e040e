"""Result images on disk, and the links to them."""

import asyncio
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import UUID, uuid4

import pytest
from itsdangerous import URLSafeSerializer
from pydantic import SecretStr

from storecredit.generation.generators import GeneratedImage
from storecredit.generation.storage import ResultStore

STORE = UUID("11111111-1111-4111-8111-111111111111")
SESSION = UUID("22222222-2222-4222-8222-222222222222")
KEY = f"{STORE}/{SESSION}.png"
PNG = GeneratedImage(b"\x89PNG and so on", "image/png")
NO_KEYS = [
    "",
    "../signing.key",
    f"{STORE}/../../signing.key",
    f"../{KEY}",
    f"/{KEY}",
    f"{KEY}\n",
    f"{KEY}/..",
    f"{STORE}/{SESSION}.svg",
    f"{STORE}/{SESSION}.png.png",
    f"{STORE}//{SESSION}.png",
    KEY.replace("1", "\u0661"),
    KEY.replace("2", "\0"),
]


@pytest.fixture
def results(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path, None)


def files(data_dir: Path) -> list[str]:
    found = (data_dir / "results").rglob("*")
    return sorted(str(path.relative_to(data_dir)) for path in found if path.is_file())


@pytest.mark.parametrize(
    "media_type, extension", [("image/png", "png"), ("image/jpeg", "jpg"), ("image/webp", "webp")]
)
async def test_a_saved_image_is_loaded_as_it_was(
    results: ResultStore, tmp_path: Path, media_type: str, extension: str
) -> None:
    image = GeneratedImage(os.urandom(100_000), media_type)

    key = await results.save(STORE, SESSION, image)

    assert key == f"{STORE}/{SESSION}.{extension}"
    assert files(tmp_path) == [f"results/{key}"]
    assert await results.load(key) == image
    # Another process, which has only the data directory, finds it too.
    assert await ResultStore(tmp_path, None).load(key) == image


async def test_an_image_saved_again_replaces_the_first(
    results: ResultStore, tmp_path: Path
) -> None:
    await results.save(STORE, SESSION, PNG)
    later = GeneratedImage(b"another attempt", "image/png")

    assert await results.save(STORE, SESSION, later) == KEY

    assert await results.load(KEY) == later
    assert files(tmp_path) == [f"results/{KEY}"]


async def test_attempts_that_save_at_once_leave_one_whole_image(
    results: ResultStore, tmp_path: Path
) -> None:
    images = [GeneratedImage(bytes([number]) * 200_000, "image/png") for number in range(10)]

    await asyncio.gather(*(results.save(STORE, SESSION, image) for image in images))

    assert await results.load(KEY) in images
    assert files(tmp_path) == [f"results/{KEY}"]


async def test_what_is_no_image_is_not_saved(results: ResultStore) -> None:
    with pytest.raises(ValueError, match="no result image: image/svg"):
        await results.save(STORE, SESSION, GeneratedImage(b"<svg>", "image/svg+xml"))


async def test_a_save_that_fails_leaves_nothing_behind(
    results: ResultStore, tmp_path: Path
) -> None:
    (tmp_path / "results" / KEY).mkdir(parents=True)  # a directory is where the file should go

    with pytest.raises(OSError, match="directory"):
        await results.save(STORE, SESSION, PNG)

    assert files(tmp_path) == []


async def test_images_of_two_stores_lie_apart(results: ResultStore) -> None:
    other = uuid4()
    await results.save(STORE, SESSION, PNG)
    await results.save(other, SESSION, GeneratedImage(b"the other's", "image/png"))

    await results.delete(f"{other}/{SESSION}.png")

    assert await results.load(KEY) == PNG


async def test_a_deleted_image_is_gone_and_may_be_deleted_again(
    results: ResultStore, tmp_path: Path
) -> None:
    key = await results.save(STORE, SESSION, PNG)

    await results.delete(key)
    await results.delete(key)

    assert await results.load(key) is None
    assert files(tmp_path) == []


@pytest.mark.parametrize("key", NO_KEYS)
async def test_no_key_leads_out_of_the_results(results: ResultStore, key: str) -> None:
    with pytest.raises(ValueError, match="not a result key"):
        await results.load(key)
    with pytest.raises(ValueError, match="not a result key"):
        await results.delete(key)
    with pytest.raises(ValueError, match="not a result key"):
        results.sign(key, lifetime_seconds=60)


# Links


def test_a_token_stands_for_its_key(results: ResultStore) -> None:
    token = results.sign(KEY, lifetime_seconds=60)

    assert results.verify(token) == KEY
    assert all(character.isalnum() or character in "-_." for character in token)


@pytest.mark.parametrize("lifetime_seconds", [0, -1])
def test_an_expired_token_is_worth_nothing(results: ResultStore, lifetime_seconds: float) -> None:
    assert results.verify(results.sign(KEY, lifetime_seconds=lifetime_seconds)) is None


def test_a_token_with_any_character_changed_is_worth_nothing(results: ResultStore) -> None:
    token = results.sign(KEY, lifetime_seconds=60)

    for place, character in enumerate(token):
        # Of the last base64 character only the upper four bits count, and A to D share them.
        other = "A" if character not in "ABCD" else "z"
        assert results.verify(token[:place] + other + token[place + 1 :]) is None


@pytest.mark.parametrize("token", ["", ".", "a.b", "\ud800", "ü", "\0", "a" * 100_000])
def test_what_is_no_token_is_worth_nothing(results: ResultStore, token: str) -> None:
    assert results.verify(token) is None


def test_a_token_of_another_key_is_worth_nothing(results: ResultStore, tmp_path: Path) -> None:
    other = ResultStore(tmp_path / "other", None)
    forged = URLSafeSerializer("a guess").dumps([KEY, 2**40])

    assert results.verify(other.sign(KEY, lifetime_seconds=60)) is None
    assert results.verify(forged) is None


def test_a_signing_key_that_is_set_is_the_one_used(tmp_path: Path) -> None:
    secret = SecretStr("0123456789abcdef")
    first, second = (ResultStore(tmp_path / name, secret) for name in ("first", "second"))

    assert second.verify(first.sign(KEY, lifetime_seconds=60)) == KEY
    assert not (tmp_path / "first").exists()


def test_a_signing_key_too_short_to_sign_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="STORECREDIT_SIGNING_KEY must have at least 16"):
        ResultStore(tmp_path, SecretStr("secret"))


def test_a_signing_key_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    token = ResultStore(tmp_path / "data", None).sign(KEY, lifetime_seconds=60)
    kept = tmp_path / "data" / "signing.key"

    assert ResultStore(tmp_path / "data", None).verify(token) == KEY
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert len(kept.read_bytes()) == 32
    assert list(kept.parent.iterdir()) == [kept]


def test_a_damaged_signing_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "signing.key").write_bytes(b"")

    with pytest.raises(ValueError, match=r"signing\.key is damaged"):
        ResultStore(tmp_path, None)


def test_whoever_starts_at_once_agrees_on_one_signing_key(tmp_path: Path) -> None:
    together = Barrier(4)

    def token_of_a_new_store(data_dir: Path) -> str:
        together.wait()
        return ResultStore(data_dir, None).sign(KEY, lifetime_seconds=600)

    with ThreadPoolExecutor(4) as starters:
        for number in range(50):
            data_dir = tmp_path / str(number)
            tokens = list(starters.map(token_of_a_new_store, [data_dir] * 4))

            results = ResultStore(data_dir, None)
            assert [results.verify(token) for token in tokens] == [KEY] * 4
            assert list(data_dir.iterdir()) == [data_dir / "signing.key"]
