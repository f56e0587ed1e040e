"""Image URLs at the door."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storecredit.generation.image_sources import refusal
from storecredit.outbound.addresses import is_public

MAX_BYTES = 10_000


def refused(url: str, *, allow_private_hosts: bool = False) -> str | None:
    return refusal(url, allow_private_hosts=allow_private_hosts, max_bytes=MAX_BYTES)


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
        ("https://example.com/" + "a" * 8192, "has a URL longer than 8,192 characters."),
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
