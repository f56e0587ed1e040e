"""Result images where they are kept: what a directory and a bucket both do, and each by itself."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from stand_ins.http_server import Answer, Received
from stand_ins.s3 import BUCKET, error
from storecredit.generation.generators import GeneratedImage
from storecredit.generation.results.bucket import ResultBucket
from storecredit.generation.results.store import ResultStore, open_results
from storecredit.object_storage.errors import BucketUnusable
from storecredit.settings import Settings
from tests.s3_bucket import IN_LINKS, PREFIX, URL, RunningBucket, running_bucket

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
Names = Callable[[], set[str]]


@pytest.fixture
async def bucket(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningBucket]:
    async with running_bucket(monkeypatch) as running:
        yield running


@pytest.fixture(params=["directory", "bucket"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, bucket: RunningBucket) -> Settings:
    return Settings(data_dir=tmp_path, results=URL if request.param == "bucket" else None)


@pytest.fixture
def results(settings: Settings) -> ResultStore:
    return open_results(settings)


@pytest.fixture
def names(settings: Settings, bucket: RunningBucket) -> Names:
    """Of all that is kept."""
    if settings.results:
        return bucket.names
    directory = settings.data_dir / "results"
    return lambda: {
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    "media_type, extension", [("image/png", "png"), ("image/jpeg", "jpg"), ("image/webp", "webp")]
)
async def test_a_saved_image_is_loaded_as_it_was(
    results: ResultStore, settings: Settings, names: Names, media_type: str, extension: str
) -> None:
    image = GeneratedImage(os.urandom(100_000), media_type)

    key = await results.save(STORE, SESSION, image)

    assert key == f"{STORE}/{SESSION}.{extension}"
    assert names() == {key}
    assert await results.load(key) == image
    # Another process, which has only the settings, finds it too.
    assert await open_results(settings).load(key) == image


async def test_an_image_saved_again_replaces_the_first(results: ResultStore, names: Names) -> None:
    await results.save(STORE, SESSION, PNG)
    later = GeneratedImage(b"another attempt", "image/png")

    assert await results.save(STORE, SESSION, later) == KEY

    assert await results.load(KEY) == later
    assert names() == {KEY}


async def test_attempts_that_save_at_once_leave_one_whole_image(
    results: ResultStore, names: Names
) -> None:
    images = [GeneratedImage(bytes([number]) * 200_000, "image/png") for number in range(10)]

    await asyncio.gather(*(results.save(STORE, SESSION, image) for image in images))

    assert await results.load(KEY) in images
    assert names() == {KEY}


async def test_what_is_no_image_is_not_saved(results: ResultStore) -> None:
    with pytest.raises(ValueError, match="no result image: image/svg"):
        await results.save(STORE, SESSION, GeneratedImage(b"<svg>", "image/svg+xml"))


async def test_images_of_two_stores_lie_apart(results: ResultStore) -> None:
    other = uuid4()
    await results.save(STORE, SESSION, PNG)
    await results.save(other, SESSION, GeneratedImage(b"the other's", "image/png"))

    await results.delete([f"{other}/{SESSION}.png"])

    assert await results.load(KEY) == PNG


async def test_deleted_images_are_gone_and_may_be_deleted_again(
    results: ResultStore, names: Names
) -> None:
    keys = [await results.save(STORE, uuid4(), PNG) for _ in range(5)]

    assert await results.delete(keys) == {}
    assert await results.delete(keys) == {}
    assert await results.delete([]) == {}

    assert [await results.load(key) for key in keys] == [None] * 5
    assert names() == set()


async def test_what_is_kept_of_an_owner_is_known_and_deleted_by_session(
    results: ResultStore, names: Names
) -> None:
    one, two, other = uuid4(), uuid4(), uuid4()
    for owner, session in ((STORE, one), (STORE, two), (other, one)):
        await results.save(owner, session, PNG)
    await results.save(STORE, one, GeneratedImage(b"of another attempt", "image/webp"))

    assert set(await results.sessions_of(STORE)) == {one, two}
    assert set(await results.sessions_of(uuid4())) == set()
    await results.delete_sessions(STORE, {one, uuid4()})

    assert names() == {f"{STORE}/{two}.png", f"{other}/{one}.png"}


@pytest.mark.parametrize("key", NO_KEYS)
async def test_no_key_leads_out_of_the_results(results: ResultStore, key: str) -> None:
    with pytest.raises(ValueError, match="not a result key"):
        await results.load(key)
    with pytest.raises(ValueError, match="not a result key"):
        await results.delete([KEY, key])


async def test_it_can_be_looked_at_and_nothing_stays(results: ResultStore, names: Names) -> None:
    await results.check()
    assert names() == set()


# A directory


async def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "results" / KEY).mkdir(parents=True)  # a directory is where the file should go
    results = open_results(Settings(data_dir=tmp_path))

    with pytest.raises(OSError, match="directory"):
        await results.save(STORE, SESSION, PNG)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list(await results.delete([KEY])) == [KEY], "nor can it be deleted"


# A bucket


async def test_a_link_of_the_buckets_own_opens_without_a_key_until_it_expires(
    bucket: RunningBucket,
) -> None:
    results = open_results(Settings(results=URL))
    await results.save(STORE, SESSION, PNG)
    links = await results.links([KEY], lifetime_seconds=60)
    link = links[KEY]
    assert link.startswith(bucket.server.url(f"{IN_LINKS}/{KEY}?"))
    async with httpx.AsyncClient() as anybody:
        answer = await anybody.get(link)
        assert (answer.status_code, answer.content) == (200, PNG.content)
        assert answer.headers["content-type"] == "image/png"
        wrong = (link[:-1], link.replace("60&", "61&"), link.replace(str(SESSION), str(STORE)))
        for other in (*wrong, link.partition("?")[0]):
            assert (await anybody.get(other)).status_code == 403
        bucket.s3.ahead = timedelta(seconds=61)
        assert (await anybody.get(link)).status_code == 403


async def test_links_are_made_without_asking_and_lead_where_callers_reach_the_bucket(
    bucket: RunningBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = bucket.server.url("")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://inside.example:9000")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://inside.example:9001")
    results = open_results(Settings(results=URL, results_link_endpoint=reached))
    keys = [f"{STORE}/{uuid4()}.png" for _ in range(3)]
    links = await results.links(keys, lifetime_seconds=0.5)
    assert list(links) == keys
    assert all(link.startswith(f"{reached}/{BUCKET}/") for link in links.values())
    assert bucket.server.received == []
    bucket.s3.objects[f"{PREFIX}/{keys[0]}"] = PNG.content
    # By its clock the link lasts a minute longer: it may be over before it is asked for.
    bucket.s3.ahead = -timedelta(minutes=1)
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(links[keys[0]])).status_code == 200


async def test_an_image_is_put_by_one_request_however_large_it_is(bucket: RunningBucket) -> None:
    results = open_results(Settings(results=URL))
    large = GeneratedImage(os.urandom(12 * 2**20), "image/png")
    await results.save(STORE, SESSION, large)
    assert [each.method for each in bucket.server.received] == ["PUT"]
    assert await results.load(KEY) == large


async def test_many_images_are_deleted_by_few_requests(bucket: RunningBucket) -> None:
    results = open_results(Settings(results=URL))
    await results.delete([f"{STORE}/{uuid4()}.png" for _ in range(1500)])
    assert len(bucket.server.received) <= 3


async def test_one_that_stays_keeps_no_other(bucket: RunningBucket) -> None:
    results = open_results(Settings(results=URL))
    keys = [await results.save(STORE, uuid4(), PNG) for _ in range(4)]
    bucket.s3.kept = frozenset({f"{PREFIX}/{keys[1]}"})
    failures = await results.delete(keys)
    assert list(failures) == [keys[1]]
    assert bucket.names() == {keys[1]}


@pytest.mark.parametrize(
    "answer, said",
    [
        (error(HTTPStatus.FORBIDDEN, "AccessDenied"), "the credentials do not allow it"),
        (error(HTTPStatus.NOT_FOUND, "NoSuchBucket"), "there is no such bucket"),
    ],
    ids=["refused", "no bucket"],
)
async def test_whatever_it_refuses_is_told(
    bucket: RunningBucket, answer: Answer, said: str
) -> None:
    results = open_results(Settings(results=URL))
    bucket.answers(answer)
    for asking in (
        results.save(STORE, SESSION, PNG),
        results.load(KEY),
        results.sessions_of(STORE),
        results.check(),
    ):
        with pytest.raises(BucketUnusable, match=said):
            await asking
    failures = await results.delete([KEY])
    assert said in str(failures[KEY])


async def test_a_passing_failure_is_waited_out(bucket: RunningBucket) -> None:
    results = open_results(Settings(results=URL))
    turned_away: list[Received] = []

    def busy(request: Received) -> Answer:
        if len(turned_away) < 2:
            turned_away.append(request)
            return error(HTTPStatus.SERVICE_UNAVAILABLE, "SlowDown")
        return bucket.s3(request)

    bucket.server.handler = busy
    assert await results.save(STORE, SESSION, PNG) == KEY
    assert await results.load(KEY) == PNG


async def test_a_week_is_the_longest_that_a_link_works() -> None:
    with pytest.raises(ValueError, match="STORECREDIT_RESULT_LINK_SECONDS"):
        Settings(results=URL, result_link_seconds=7 * 24 * 3600 + 1)
    assert isinstance(open_results(Settings(results=f"{URL}/")), ResultBucket)
    for wrong in ("/var/results", "s3://", "s3://bucket//results"):
        with pytest.raises(ValueError, match="results"):
            Settings(results=wrong)
