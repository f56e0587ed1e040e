"""Image URLs at the door, and decoding within limits."""

import struct
import zlib
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storecredit.generation.image_decoding import PIXELS_MAX, verify_image
from storecredit.generation.images import (
    ImageRefused,
    is_public,
    refusal,
)
from tests.worker.stand_ins import data_url, noise, picture

MAX_BYTES = 10_000
PNG = picture()
KINDS = {"png": picture("PNG"), "jpeg": picture("JPEG"), "webp": picture("WEBP")}


def refused(url: str, *, allow_private_hosts: bool = False) -> str | None:
    return refusal(url, allow_private_hosts=allow_private_hosts, max_bytes=MAX_BYTES)


# At the door


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "http://example.com:8080/a?b=c#d",
        "HTTPS://EXAMPLE.COM",
        "https://1.1.1.1/a",
        "https://[2606:4700::1111]/a",
        "https://[64:ff9b::101:101]/a",
        "https://bücher.example/ü.png",
        "https://my_bucket.example./a",
        "https://localhost.example/a",
    ],
)
def test_a_public_web_url_is_acceptable(url: str) -> None:
    assert refused(url) is None


LABELS = [
    *("a", "b-1", "-", "_", "xn--bcher-kva", "xn--", "127", "0x7f", "1", "localhost", "com"),
    *("localhost2", "q" * 63, "q" * 64, "", "A", "\u2488", "example:80", "u@h", "[::1]"),
]
PATHS = ("", "/", "/a.png?b=c#d", "/@:[]~", "/\\", "/ ", "/\x7f", "/\xe9", "?a", "#a", "\n", "/\n")


@given(
    scheme=st.sampled_from(["http://", "https://"]),
    labels=st.lists(st.sampled_from(LABELS), min_size=1, max_size=6),
    path=st.sampled_from([*PATHS, "/" + "p" * 1900]),
)
def test_the_quick_look_passes_nothing_that_the_whole_check_refuses(
    scheme: str, labels: list[str], path: str
) -> None:
    """Only a scheme in small letters is looked at quickly."""
    rest = ".".join(labels) + path
    assert refused(scheme + rest) == refused(scheme.upper() + rest)


@given(st.from_regex(r"[a-z0-9.:@/\\\[\]-]{1,80}", fullmatch=True))
def test_nor_does_it_for_any_other_text(rest: str) -> None:
    assert refused(f"https://{rest}") == refused(f"HTTPS://{rest}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_data_url_of_each_type_is_acceptable(kind: str) -> None:
    assert refused(data_url(KINDS[kind], kind)) is None
    assert refused(data_url(KINDS[kind], kind).replace("data:image", "DATA:Image")) is None


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost.",
        "a.localhost",
        "127.0.0.1",
        "127.0.0.1.",
        "127.255.255.254",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "\uff10x7f.1",
        "127\u30020\u30020\u30021",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - refused, not bound
        "255.255.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "192.0.0.8",
        "192.88.99.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[::127.0.0.1]",
    ],
)
def test_a_private_or_local_host_is_refused_unless_allowed(host: str) -> None:
    url = f"http://{host}:8080/a.png"

    assert refused(url) == "points to a private or local address."
    assert refused(url, allow_private_hosts=True) is None


@pytest.mark.parametrize(
    "url, reason",
    [
        ("", "is not an https, http or data: URL."),
        ("ftp://example.com/a", "is not an https, http or data: URL."),
        ("file:///etc/passwd", "is not an https, http or data: URL."),
        (" https://example.com", "is not an https, http or data: URL."),
        ("https:/example.com", "is not an https, http or data: URL."),
        ("//example.com/a", "is not an https, http or data: URL."),
        ("https://example.com/" + "a" * 2048, "has a URL longer than 2,048 characters."),
        ("https://example.com/a\r\nX: y", "has a URL with a space, a backslash or a control"),
        ("https://exa\tmple.com/", "has a URL with a space, a backslash or a control"),
        ("https://example.com/\x00", "has a URL with a space, a backslash or a control"),
        ("https://example.com\\@127.0.0.1/", "has a URL with a space, a backslash or a control"),
        ("https://example.com/\ud800", "has a URL with a space, a backslash or a control"),
        ("https:///a.png", "has a URL without a valid host and port."),
        ("https://:443/a.png", "has a URL without a valid host and port."),
        ("https://example.com:0/", "has a URL without a valid host and port."),
        ("https://example.com:65536/", "has a URL without a valid host and port."),
        ("https://example.com:a/", "has a URL without a valid host and port."),
        ("https://exa%6dple.com/", "has a URL without a valid host and port."),
        ("https://a..b/", "has a URL without a valid host and port."),
        ("https://" + "a" * 64 + ".com/", "has a URL without a valid host and port."),
        ("https://" + "a." * 130 + "com/", "has a URL without a valid host and port."),
        ("https://[::1/", "has a URL without a valid host and port."),
        ("https://[fe80::1%25lo]/", "has a URL without a valid host and port."),
        ("https://[::g]/", "has a URL without a valid host and port."),
        ("https://user:password@example.com/", "has a URL with a user name or password."),
        ("https://@example.com/", "has a URL with a user name or password."),
    ],
)
@pytest.mark.parametrize("allow_private_hosts", [True, False])
def test_a_malformed_url_is_refused_with_its_reason(
    url: str, reason: str, allow_private_hosts: bool
) -> None:
    assert (refused(url, allow_private_hosts=allow_private_hosts) or "").startswith(reason)


@pytest.mark.parametrize(
    "url, reason",
    [
        ("data:", "is not a data:image/png|jpeg|webp;base64 URL."),
        ("data:image/png,abc", "is not a data:image/png|jpeg|webp;base64 URL."),
        ("data:image/gif;base64,R0lGODlh", "is not a data:image/png|jpeg|webp;base64 URL."),
        ("data:text/html;base64,PGI+", "is not a data:image/png|jpeg|webp;base64 URL."),
        ("data:image/png;base64,", "is no PNG image."),
        ("data:image/png;base64,%%%%", "is not valid base64."),
        ("data:image/png;base64,iVBO Rw0K", "is not valid base64."),
        ("data:image/png;base64,iVBORw0", "is not valid base64."),
        ("data:image/png;base64,üüüü", "is not valid base64."),
        ("data:image/png;base64,\ud800aaa", "is not valid base64."),
        (data_url(KINDS["jpeg"], "png"), "is no PNG image."),
        (data_url(KINDS["webp"], "jpeg"), "is no JPEG image."),
        (data_url(b"RIFF\0\0\0\0WAVE", "webp"), "is no WebP image."),
        (data_url(noise((70, 70))), "is larger than 10,000 bytes."),
        (data_url(PNG.ljust(MAX_BYTES + 1, b"\0")), "is larger than 10,000 bytes."),
    ],
)
def test_a_data_url_that_is_no_such_image_is_refused_with_its_reason(url: str, reason: str) -> None:
    assert refused(url) == reason


def test_a_data_url_of_exactly_the_largest_size_is_acceptable() -> None:
    assert refused(data_url(PNG.ljust(MAX_BYTES, b"\0"))) is None


@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://", "data:image/png;base64,"]))
def test_no_text_whatever_breaks_the_check(text: str, start: str) -> None:
    reason = refused(start + text)

    assert reason is None or reason.endswith(".")


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_every_wrapping(address: object) -> None:
    plain = ip_address(str(address))
    number = int(plain)

    for wrapped in (
        f"::ffff:{plain}",
        f"64:ff9b::{plain}",
        f"2002:{number >> 16:x}:{number & 0xFFFF:x}::",
    ):
        assert is_public(ip_address(wrapped)) == is_public(plain)
    assert (refused(f"http://{number}/") is None) == is_public(plain)


# Decoding


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_image_is_verified_with_its_type(kind: str) -> None:
    assert verify_image(KINDS[kind]) == f"image/{kind}"


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_cut_short_is_refused(kind: str) -> None:
    whole = picture(kind.upper(), (200, 200))
    with pytest.raises(ImageRefused, match=r"^is damaged and cannot be read\.$"):
        verify_image(whole[: len(whole) * 2 // 3])


def test_a_png_with_a_wrong_checksum_is_refused() -> None:
    broken = bytearray(PNG)
    broken[-14] ^= 1
    with pytest.raises(ImageRefused, match="is damaged"):
        verify_image(bytes(broken))


def test_what_only_begins_like_an_image_is_refused() -> None:
    with pytest.raises(ImageRefused, match="is damaged"):
        verify_image(PNG[:8] + b"no more")
    with pytest.raises(ImageRefused, match="is no PNG, JPEG or WebP image"):
        verify_image(b"GIF89a")


@pytest.mark.parametrize("size", [(PIXELS_MAX + 1, 1), (10_000, 10_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_refused_from_its_header(size: tuple[int, int]) -> None:
    header = struct.pack(">4sIIBBBBB", b"IHDR", *size, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    with pytest.raises(ImageRefused, match=r"^has more than 40,000,000 pixels\.$"):
        verify_image(PNG[:8] + chunk + PNG[33:])


@given(st.sampled_from(sorted(KINDS)), st.integers(12, 400), st.binary(min_size=1, max_size=8))
def test_no_damage_whatever_breaks_the_verification(kind: str, at: int, damage: bytes) -> None:
    content = bytearray(KINDS[kind])
    content[at : at + len(damage)] = damage

    with suppress(ImageRefused):
        assert verify_image(bytes(content)) == f"image/{kind}"
