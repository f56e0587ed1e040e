"""Which URLs may be those of webhook endpoints: as of images, but https unless private ones go."""

import pytest

from storecredit.webhooks.urls import url_refusal

URL = "https://hats.example/hooks?token=t0p-secret"
REFUSED_URLS = (
    "",
    "hats.example/hooks",
    "ftp://hats.example/",
    "http://hats.example/hooks",
    "https://",
    "https://hats.example:0/",
    "https://user:password@hats.example/",
    "https://hats.example/a b",
    "https://hats.example/a\\b",
    "https://hats.example/\n",
    "https://localhost/",
    "https://shop.localhost/",
    "https://127.0.0.1/",
    "https://0x7f.1/",
    "https://10.0.0.1/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://hats.example/\0",
    f"https://hats.example/{'x' * 2000}",
)


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_a_url_is_refused_as_that_of_an_image_and_not_repeated(url: str) -> None:
    reason = url_refusal(url, allow_private_hosts=False)
    assert reason is not None
    assert reason.startswith("The endpoint ")
    assert reason.endswith(".")
    assert "hats" not in reason
    assert "password@" not in reason


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/hooks", "https://localhost/", "http://hats.example/", URL]
)
def test_private_hosts_and_plain_http_go_where_the_operator_allows_them(url: str) -> None:
    assert url_refusal(url, allow_private_hosts=True) is None


def test_what_is_no_web_address_goes_nowhere() -> None:
    assert url_refusal("ftp://127.0.0.1/", allow_private_hosts=True) is not None
