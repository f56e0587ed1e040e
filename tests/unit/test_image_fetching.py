"""Fetching images from real servers on loopback."""

import socket
from collections.abc import Sequence

import pytest

from stand_ins.http_server import Answer, Received, stand_in
from storecredit.generation.image_errors import ImageRefused, ImageUnavailable
from tests.image_files import data_url, picture
from tests.worker.generators import FETCHED_MAX_BYTES, fetcher

PNG = picture()
KINDS = {"png": picture("PNG"), "jpeg": picture("JPEG"), "webp": picture("WEBP")}


class Names:
    """A resolver that knows one table and keeps what it was asked."""

    def __init__(self, **addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        found = self.addresses.get(host.removesuffix(".example"))
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found


@pytest.mark.parametrize("kind", KINDS)
async def test_a_data_url_is_fetched_without_any_server(kind: str) -> None:
    async with fetcher(allow_private_hosts=False) as images:
        image = await images.fetch(data_url(KINDS[kind], kind))

    assert (image.content, image.media_type) == (KINDS[kind], f"image/{kind}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:7f00:1]"])
async def test_a_server_on_loopback_is_never_asked_unless_allowed(host: str) -> None:
    async with stand_in(Answer(body=PNG)) as server:
        async with fetcher(allow_private_hosts=False) as images:
            with pytest.raises(ImageRefused, match=r"^points to a private or local address\.$"):
                await images.fetch(server.url(host=host))

        assert server.received == []


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]],
)
async def test_a_name_with_any_private_address_is_never_asked(addresses: list[str]) -> None:
    async with stand_in(Answer(body=PNG)) as server:
        async with fetcher(allow_private_hosts=False, resolve=Names(shop=addresses)) as images:
            with pytest.raises(ImageRefused, match="points to a private or local address"):
                await images.fetch(server.url(host="shop.example"))

        assert server.received == []


async def test_the_checked_address_is_asked_under_the_hosts_own_name() -> None:
    names = Names(shop=["127.0.0.1"])
    async with stand_in(Answer(body=PNG)) as server, fetcher(resolve=names) as images:
        await images.fetch(server.url("/a?b=c#d", host="Shop.example"))

    # Were the name looked up a second time, it could lead somewhere else by then.
    assert names.asked == ["shop.example"]
    request = server.received[0]
    assert request.path == "/a?b=c"
    assert request.headers["host"] == f"shop.example:{server.port}"
    assert "cookie" not in request.headers


async def test_the_next_address_is_tried_when_the_first_is_down() -> None:
    names = Names(shop=["::1", "127.0.0.1"])  # the server listens at the second alone
    async with stand_in(Answer(body=PNG)) as server, fetcher(resolve=names) as images:
        assert (await images.fetch(server.url(host="shop.example"))).content == PNG


async def test_a_trusted_host_may_be_private_and_no_other() -> None:
    names = Names(generator=["127.0.0.1"], other=["127.0.0.1"])

    def answer(request: Received) -> Answer:
        if request.path == "/other":
            return Answer(302, headers={"Location": server.url(host="other.example")})
        return Answer(body=PNG)

    async with (
        stand_in(answer) as server,
        fetcher(
            allow_private_hosts=False, trusted_host="generator.example", resolve=names
        ) as images,
    ):
        assert (await images.fetch(server.url(host="generator.example"))).content == PNG
        with pytest.raises(ImageRefused, match="points to a private or local address"):
            await images.fetch(server.url("/other", host="generator.example"))

    assert [request.path for request in server.received] == ["/", "/other"]


@pytest.mark.parametrize("location", ["/b.png", "b.png", "{host}/b.png"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_without_its_cookies(location: str, status: int) -> None:
    def answer(request: Received) -> Answer:
        if request.path == "/b.png":
            return Answer(body=PNG)
        target = location.format(host=server.url("", host="shop.example"))
        return Answer(status, headers={"Location": target, "Set-Cookie": "a=b; Path=/"})

    names = Names(shop=["127.0.0.1"])
    async with stand_in(answer) as server, fetcher(resolve=names) as images:
        assert (await images.fetch(server.url("/a.png", host="shop.example"))).content == PNG

    assert [request.path for request in server.received] == ["/a.png", "/b.png"]
    assert "cookie" not in server.received[1].headers
    assert server.received[1].headers["host"] == f"shop.example:{server.port}"


@pytest.mark.parametrize(
    "location, reason",
    [
        ("http://10.0.0.1/a.png", "points to a private or local address."),
        ("http://169.254.169.254/latest", "points to a private or local address."),
        ("http://inside.example/a.png", "points to a private or local address."),
        ("http://user:password@1.1.1.1/", "has a URL with a user name or password."),
        ("ftp://1.1.1.1/a.png", "is not an https, http or data: URL."),
        ("file:///etc/passwd", "is not an https, http or data: URL."),
        (data_url(PNG), "is not an https, http or data: URL."),
        ("http://[::1", "is redirected to no valid URL."),
    ],
)
async def test_a_redirect_is_checked_like_a_first_url(location: str, reason: str) -> None:
    names = Names(shop=["127.0.0.1"], inside=["192.168.0.1"])
    answer = Answer(302, headers={"Location": location})
    async with (
        stand_in(answer) as server,
        fetcher(allow_private_hosts=False, trusted_host="shop.example", resolve=names) as images,
    ):
        with pytest.raises(ImageRefused) as refused_:
            await images.fetch(server.url(host="shop.example"))

    assert str(refused_.value) == reason
    assert len(server.received) == 1


async def test_redirects_in_a_circle_end() -> None:
    answer = Answer(302, headers={"Location": "/"})
    async with stand_in(answer) as server, fetcher() as images:
        with pytest.raises(ImageRefused, match=r"^is redirected more than 3 times\.$"):
            await images.fetch(server.url())

    assert len(server.received) == 4


async def test_a_redirect_to_nowhere_is_refused() -> None:
    async with stand_in(Answer(302)) as server, fetcher() as images:
        with pytest.raises(ImageRefused, match="is redirected to no valid URL"):
            await images.fetch(server.url())


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"", length=FETCHED_MAX_BYTES + 1, hang=True),
        Answer(body=PNG.ljust(FETCHED_MAX_BYTES + 1, b"\0"), length=None, hang=True),
    ],
    ids=["announced", "unannounced"],
)
async def test_an_image_too_large_is_refused_before_it_has_arrived(answer: Answer) -> None:
    async with stand_in(answer) as server, fetcher() as images:
        with pytest.raises(ImageRefused, match=r"^is larger than 10,000 bytes\.$"):
            await images.fetch(server.url())


async def test_an_image_of_exactly_the_largest_size_is_fetched() -> None:
    content = PNG.ljust(FETCHED_MAX_BYTES, b"\0")
    answer = Answer(body=content, length=None)
    async with stand_in(answer) as server, fetcher() as images:
        assert (await images.fetch(server.url())).content == content


@pytest.mark.parametrize(
    "answer",
    [Answer(body=PNG[:20], length=len(PNG), hang=True), Answer(length=None, hang=True)],
    ids=["half", "headers only"],
)
async def test_a_body_that_does_not_end_is_unavailable(answer: Answer) -> None:
    async with stand_in(answer) as server, fetcher(timeout_seconds=0.2) as images:
        with pytest.raises(ImageUnavailable, match=r"^did not arrive in time\.$"):
            await images.fetch(server.url())


async def test_a_body_that_trickles_in_is_unavailable_though_every_byte_comes_soon() -> None:
    answer = Answer(body=PNG, trickle_seconds=0.02)  # as a whole, several times the limit
    async with stand_in(answer) as server, fetcher(timeout_seconds=0.4) as images:
        with pytest.raises(ImageUnavailable, match=r"^did not arrive in time\.$"):
            await images.fetch(server.url())


@pytest.mark.parametrize("answer", [Answer(break_off=True), Answer(body=PNG[:20], length=len(PNG))])
async def test_a_broken_connection_is_unavailable(answer: Answer) -> None:
    async with stand_in(answer) as server, fetcher() as images:
        with pytest.raises(ImageUnavailable, match="the connection broke"):
            await images.fetch(server.url())


async def test_a_server_that_is_down_is_unavailable() -> None:
    async with stand_in(Answer()) as server:
        url = server.url()
    async with fetcher() as images:
        with pytest.raises(ImageUnavailable, match=r"^could not be reached\.$"):
            await images.fetch(url)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_passing_status_is_unavailable(status: int) -> None:
    async with stand_in(Answer(status, PNG)) as server, fetcher() as images:
        with pytest.raises(ImageUnavailable, match=f"answered with status {status}"):
            await images.fetch(server.url())


@pytest.mark.parametrize("status", [204, 206, 300, 304, 400, 401, 403, 404, 410])
async def test_any_other_status_is_refused(status: int) -> None:
    answer = Answer(status, length=0)
    async with stand_in(answer) as server, fetcher() as images:
        with pytest.raises(ImageRefused, match=f"answered with status {status}"):
            await images.fetch(server.url())


async def test_a_name_that_does_not_exist_is_refused() -> None:
    async with fetcher(resolve=Names()) as images:
        with pytest.raises(ImageRefused, match=r"^has a host name that does not resolve\.$"):
            await images.fetch("https://shop.example/a.png")


async def test_a_name_server_that_is_away_makes_the_image_unavailable() -> None:
    async def away(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    async with fetcher(resolve=away) as images:
        with pytest.raises(ImageUnavailable, match="does not resolve now"):
            await images.fetch("https://shop.example/a.png")


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        stand_in(Answer(500)) as proxy,
        stand_in(Answer(body=PNG)) as host,
    ):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        async with fetcher() as images:
            assert (await images.fetch(host.url())).content == PNG

    assert proxy.received == []
