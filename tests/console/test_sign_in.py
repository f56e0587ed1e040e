"""`/console`: who is let in, by what, and until when."""

import httpx

from storecredit.service import Service
from tests.console.conftest import ORIGIN, Browser, hidden, signed_in
from tests.web.doors import OPERATOR_TOKEN, Operator, data_of


async def test_a_page_asks_to_sign_in_and_leads_back(api: httpx.AsyncClient) -> None:
    asked = await api.get("/console?days=30")
    assert asked.status_code == 303
    assert asked.headers["location"] == "/console/sign-in?next=/console%3Fdays%3D30"
    page = await api.get(asked.headers["location"])
    sent = hidden(page, "/console/sign-in") | {"token": OPERATOR_TOKEN}
    answer = await api.post("/console/sign-in", data=sent, headers=ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console?days=30")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=Lax" in answer.headers["set-cookie"]
    assert "Path=/console" in answer.headers["set-cookie"]
    assert (await api.get("/console")).status_code == 200


async def test_nobody_is_sent_elsewhere(api: httpx.AsyncClient) -> None:
    for elsewhere in ("https://evil.example", "//evil.example", "/consolewhere", "/portal"):
        page = await api.get("/console/sign-in")
        sent = hidden(page, "/console/sign-in") | {"token": OPERATOR_TOKEN, "next": elsewhere}
        answer = await api.post("/console/sign-in", data=sent, headers=ORIGIN)
        assert answer.headers["location"] == "/console"


async def test_what_is_no_token_signs_nobody_in(api: httpx.AsyncClient) -> None:
    for token in ("", " ", "wrong", "sc_admin_" + "x" * 43, "é" * 500):
        page = await api.get("/console/sign-in")
        sent = hidden(page, "/console/sign-in") | {"token": token}
        answer = await api.post("/console/sign-in", data=sent, headers=ORIGIN)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert "This token does not work" in answer.text


async def test_signing_out_ends_it(browser: Browser, api: httpx.AsyncClient) -> None:
    page = await browser.get("/console")
    cookies = dict(api.cookies)
    answer = await browser.send(page, "/console/sign-out")
    assert answer.headers["location"] == "/console/sign-in?signed-out=1"
    assert not api.cookies
    # Whoever has the cookie from before has nothing by it.
    api.cookies.update(cookies)
    kept = await api.get("/console")
    assert kept.status_code == 303


async def test_a_link_signs_in_once(api: httpx.AsyncClient, service: Service) -> None:
    link = await service.parts.operator.sign_ins.console_link()
    address = f"/console/sign-in/{link.code}"
    browser = Browser(api)
    # To look at it, as programs do that show what is behind a link, does not use it up.
    await api.head(address)
    page = await browser.get(address)
    first = await browser.send(page, address)
    assert (first.status_code, first.headers["location"]) == (303, "/console")
    assert (await api.get("/console")).status_code == 200
    again = await browser.send(await browser.get(address), address)
    assert again.status_code == 410
    assert "was used before" in again.text


async def test_a_revoked_token_is_signed_out_at_once(
    api: httpx.AsyncClient, operator: Operator
) -> None:
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read"]), 201)
    browser = await signed_in(api, made["token"])
    page = await browser.get("/console")
    assert page.status_code == 200
    assert ">ann<" in page.text
    await operator.delete(f"/tokens/{made['token_id']}")
    assert (await browser.get("/console")).status_code == 303


async def test_whoever_is_signed_in_may_sign_out(
    api: httpx.AsyncClient, operator: Operator
) -> None:
    for scopes in (["read"], ["keys"]):
        made = data_of(await operator.post("/tokens", name=scopes[0], scopes=scopes), 201)
        browser = await signed_in(api, made["token"])
        page = await browser.get("/console")
        assert page.status_code == (200 if scopes == ["read"] else 403)
        assert (await browser.send(page, "/console/sign-out")).status_code == 303
        assert (await browser.get("/console")).status_code == 303


async def test_a_form_of_another_page_does_nothing(
    browser: Browser, api: httpx.AsyncClient
) -> None:
    page = await browser.get("/console")
    sent = hidden(page, "/console/sign-out")
    for fields, headers in (
        (sent, {}),
        (sent, {"Origin": "https://evil.example"}),
        (sent, {"Origin": "null"}),
        (sent, {**ORIGIN, "Sec-Fetch-Site": "cross-site"}),
        (sent, {**ORIGIN, "Sec-Fetch-Site": "same-site"}),
        ({**sent, "csrf": "x"}, ORIGIN),
        ({"form_id": sent["form_id"]}, ORIGIN),
    ):
        answer = await api.post("/console/sign-out", data=fields, headers=headers)
        assert answer.status_code == 403, (fields, headers)
        assert "Nothing was done" in answer.text
    assert (await browser.get("/console")).status_code == 200


async def test_errors_are_pages(browser: Browser) -> None:
    for address, status in (("/console/nowhere", 404), ("/console/sign-out", 405)):
        answer = await browser.get(address)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "<h1>" in answer.text


async def test_pages_go_out_under_a_policy(browser: Browser) -> None:
    for address in ("/console", "/console/sign-in", "/console/nowhere", "/portal/sign-in"):
        answer = await browser.get(address)
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
