"""What a browser is told to do with the cookie of a sign-in, and where another door takes it."""

from pathlib import Path

import httpx
import pytest

from storecredit.settings import Settings
from tests.console.conftest import ORIGIN, hidden
from tests.web.conftest import web_settings
from tests.web.doors import OPERATOR_TOKEN, StoreClient

HTTPS = {"X-Forwarded-Proto": "https", "Origin": "https://api.test"}
SHOP = "https://shop.example"


@pytest.fixture
def settings(data_dir: Path, request: pytest.FixtureRequest) -> Settings:
    """Behind a proxy, which the test's client is; with what else a test asks for."""
    usual = web_settings(data_dir)
    changes = {"trusted_proxies": "127.0.0.1", **getattr(request, "param", {})}
    return Settings.model_validate(usual.model_dump() | changes)


async def cookie(
    api: httpx.AsyncClient, door: str, secret: str, headers: dict[str, str]
) -> tuple[str, list[str]]:
    """The value of the cookie that signing in sets, and its attributes in their order."""
    data = {"token" if door == "console" else "key": secret}
    answer = await api.post(f"/{door}/sign-in", data=data, headers=headers)
    assert answer.status_code == 303, answer.text
    pair, *attributes = answer.headers["set-cookie"].split("; ")
    name, _, value = pair.partition("=")
    is_https = "Secure" in attributes
    assert name == ("__Host-" if is_https else "") + f"storecredit_{door}"
    return value, attributes


async def test_over_https_it_is_sent_over_https_alone(
    api: httpx.AsyncClient, store: StoreClient
) -> None:
    for door, secret, age in (
        ("console", OPERATOR_TOKEN, 12 * 3600),
        ("portal", store.api_key, 3600),
    ):
        usual = [f"Max-Age={age}", "HttpOnly", "SameSite=Lax"]
        over_https = (await cookie(api, door, secret, HTTPS))[1]
        assert over_https == ["Path=/", *usual, "Secure"]
        assert (await cookie(api, door, secret, ORIGIN))[1] == [f"Path=/{door}", *usual]


async def test_over_https_none_is_taken_that_another_host_could_have_set(
    api: httpx.AsyncClient, store: StoreClient
) -> None:
    for door, secret in (("console", OPERATOR_TOKEN), ("portal", store.api_key)):
        value, _ = await cookie(api, door, secret, HTTPS)
        api.cookies.clear()
        ours, plain = f"__Host-storecredit_{door}={value}", f"storecredit_{door}={value}"
        # What a sibling sets comes first where its path is longer.
        for sent, headers, status in (
            (ours, HTTPS, 200),
            (f"storecredit_{door}=planted; {ours}", HTTPS, 200),
            (plain, HTTPS, 303),
            (plain, ORIGIN, 200),
            (ours, ORIGIN, 303),
        ):
            answer = await api.get(f"/{door}", headers={**headers, "Cookie": sent})
            assert answer.status_code == status, sent


async def test_over_https_signing_out_takes_the_cookie_away(api: httpx.AsyncClient) -> None:
    value, _ = await cookie(api, "console", OPERATOR_TOKEN, HTTPS)
    api.cookies.clear()
    signed_in = {**HTTPS, "Cookie": f"__Host-storecredit_console={value}"}
    page = await api.get("/console", headers=signed_in)
    form = hidden(page, "/console/sign-out")
    answer = await api.post("/console/sign-out", data=form, headers=signed_in)
    assert answer.headers["set-cookie"].startswith("__Host-storecredit_console=; Path=/; Max-Age=0")
    assert (await api.get("/console", headers=signed_in)).status_code == 303


@pytest.mark.parametrize(
    "settings", [{"public_url": "https://credits.example"}], indirect=True, ids=["public_url"]
)
async def test_where_the_public_address_is_https_it_is_too(api: httpx.AsyncClient) -> None:
    origin = {"Origin": "https://credits.example"}
    assert "Secure" in (await cookie(api, "console", OPERATOR_TOKEN, origin))[1]


@pytest.mark.parametrize(
    "settings", [{"portal_frame_ancestors": SHOP}], indirect=True, ids=["framed"]
)
async def test_a_portal_within_pages_of_others_has_a_cookie_there_and_the_console_none(
    api: httpx.AsyncClient, store: StoreClient
) -> None:
    framed = ["SameSite=None", "Partitioned", "Secure"]
    assert (await cookie(api, "portal", store.api_key, HTTPS))[1][-3:] == framed
    assert (await cookie(api, "portal", store.api_key, ORIGIN))[1][-1] == "SameSite=Lax"
    console = (await cookie(api, "console", OPERATOR_TOKEN, HTTPS))[1]
    assert console[-2:] == ["SameSite=Lax", "Secure"]
    for path, ancestors in (("/portal/sign-in", SHOP), ("/console/sign-in", "'none'")):
        policy = (await api.get(path)).headers["content-security-policy"]
        assert policy.endswith(f"frame-ancestors {ancestors}")


async def test_a_cookie_that_was_touched_signs_nobody_in(api: httpx.AsyncClient) -> None:
    value, _ = await cookie(api, "console", OPERATOR_TOKEN, ORIGIN)
    api.cookies.clear()
    changed = [
        value[:-1],
        f"{value}A",
        value[1:],
        value.swapcase(),
        value.partition(".")[0],
        f".{value.partition('.')[2]}",
        "",
        ".",
        "a" * 5000,
        f'"{value}"',
    ]
    for other in changed:
        answer = await api.get("/console", headers={"Cookie": f"storecredit_console={other}"})
        assert answer.status_code == 303, other
    answer = await api.get("/console", headers={"Cookie": f"a=b; storecredit_console={value}"})
    assert answer.status_code == 200


async def test_an_address_to_go_on_to_writes_no_header_of_its_own(api: httpx.AsyncClient) -> None:
    for wanted in (
        "/console\r\nX-Planted: yes",
        "/console/\r\n\r\n<script>",
        "/console/..//evil.example",
        "/console/é?q=ü",
        "/console\\evil.example",
        "/console/%0d%0aX-Planted:%20yes",
    ):
        api.cookies.clear()
        sent = {"token": OPERATOR_TOKEN, "next": wanted}
        answer = await api.post("/console/sign-in", data=sent, headers=ORIGIN)
        assert answer.status_code == 303
        assert "x-planted" not in answer.headers
        leads = httpx.URL("http://api.test/console/sign-in").join(answer.headers["location"])
        assert leads.host == "api.test"
