"""The OpenAPI document and the page that shows it."""

import json
import re
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from storecredit.operator.figures import Money
from storecredit.web.http.envelope import STATUS, ErrorCode, ErrorEnvelope
from storecredit.web.http.openapi import MEANING
from storecredit.web.public.documentation import DOCS_PARTS
from storecredit.web.resources.transactions import Transaction
from tests.web.checklist import UNKNOWN
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of

KEPT = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
ENDPOINTS = {
    "POST /api/v1/generation/create",
    "GET /api/v1/generation/{session_id}",
    "GET /api/v1/generations",
    "GET /api/v1/credits/balance",
    "GET /api/v1/credits/transactions",
    "GET /api/v1/credits/grants",
    "GET /api/v1/ledger/proof",
    "POST /api/v1/credits/holds",
    "GET /api/v1/credits/holds",
    "GET /api/v1/credits/holds/{hold_id}",
    "POST /api/v1/credits/holds/{hold_id}/capture",
    "POST /api/v1/credits/holds/{hold_id}/release",
    "POST /api/v1/credits/holds/{hold_id}/extend",
    "POST /api/v1/credits/spend",
    "POST /api/v1/credits/spend/batch",
    "GET /api/v1/credits/spend/{spend_request_id}",
    "POST /api/v1/credits/spend/{spend_request_id}/refund",
    "POST /api/v1/billing/checkout",
    "GET /api/v1/billing/plans",
    "GET /api/v1/billing/subscriptions",
    "GET /api/v1/top-up",
    "PUT /api/v1/top-up",
    "DELETE /api/v1/top-up",
    "POST /api/v1/portal/sessions",
    "GET /api/v1/health",
    "POST /webhooks/paddle",
    "GET /health/live",
    "GET /health/ready",
    "GET /results/{token}",
    "POST /api/admin/stores",
    "GET /api/admin/stores",
    "GET /api/admin/stores/{store_id}",
    "PATCH /api/admin/stores/{store_id}",
    "POST /api/admin/stores/{store_id}/keys",
    "GET /api/admin/stores/{store_id}/keys",
    "PATCH /api/admin/stores/{store_id}/keys/{key_id}",
    "DELETE /api/admin/stores/{store_id}/keys/{key_id}",
    "POST /api/admin/stores/{store_id}/keys/{key_id}/rotate",
    "POST /api/admin/stores/{store_id}/portal/sessions",
    "POST /api/admin/stores/{store_id}/credits",
    "GET /api/admin/stores/{store_id}/transactions",
    "GET /api/admin/stores/{store_id}/generations",
    "POST /api/admin/stores/{store_id}/checkout",
    "GET /api/admin/stores/{store_id}/subscriptions",
    "GET /api/admin/stores/{store_id}/top-up",
    "PUT /api/admin/stores/{store_id}/top-up",
    "DELETE /api/admin/stores/{store_id}/top-up",
    "GET /api/admin/users",
    "GET /api/admin/users/{user_id}",
    "GET /api/admin/users/{user_id}/transactions",
    "GET /api/admin/users/{user_id}/generations",
    "POST /api/admin/users/{user_id}/credits",
    "POST /api/admin/users/{user_id}/block",
    "POST /api/admin/users/{user_id}/unblock",
    "POST /api/admin/users/{user_id}/erase",
    "GET /api/admin/billing/problems",
    "POST /api/admin/billing/problems/{problem_id}/dismiss",
    "POST /api/admin/billing/transactions/{transaction_id}/book",
    "POST /api/admin/billing/events/{event_id}/retry",
    "POST /api/admin/stores/{store_id}/credits/remove",
    "PUT /api/admin/stores/{store_id}/grants/{seq}",
    "POST /api/admin/users/{user_id}/credits/remove",
    "PUT /api/admin/users/{user_id}/grants/{seq}",
    "POST /api/admin/credits/transfer",
    "GET /api/admin/requests/{request_id}",
    "GET /api/admin/report",
    "GET /api/admin/stores/{store_id}/grants",
    "GET /api/admin/users/{user_id}/grants",
    "POST /api/admin/users/{user_id}/holds",
    "GET /api/admin/users/{user_id}/holds",
    "GET /api/admin/users/{user_id}/holds/{hold_id}",
    "POST /api/admin/users/{user_id}/holds/{hold_id}/capture",
    "POST /api/admin/users/{user_id}/holds/{hold_id}/release",
    "POST /api/admin/users/{user_id}/holds/{hold_id}/extend",
    "POST /api/admin/users/{user_id}/spend",
    "POST /api/admin/users/{user_id}/spend/batch",
    "GET /api/admin/users/{user_id}/spend/{spend_request_id}",
    "POST /api/admin/users/{user_id}/spend/{spend_request_id}/refund",
    "GET /api/admin/audit",
    "POST /api/admin/tokens",
    "GET /api/admin/tokens",
    "DELETE /api/admin/tokens/{token_id}",
    "GET /api/admin/verify",
    "GET /api/admin/checkpoints",
    "GET /api/admin/stores/{store_id}/proof",
    "GET /api/admin/users/{user_id}/proof",
    *(
        f"{method} {base}/webhooks{path}"
        for base in ("/api/v1", "/api/admin", "/api/admin/stores/{store_id}")
        for method, path in (
            ("GET", ""),
            ("POST", ""),
            ("GET", "/{endpoint_id}"),
            ("PATCH", "/{endpoint_id}"),
            ("DELETE", "/{endpoint_id}"),
            ("POST", "/{endpoint_id}/rotate"),
            ("POST", "/{endpoint_id}/enable"),
            ("POST", "/{endpoint_id}/disable"),
            ("POST", "/{endpoint_id}/test"),
            ("GET", "/{endpoint_id}/deliveries"),
            ("GET", "/{endpoint_id}/deliveries/{event_id}"),
            ("POST", "/{endpoint_id}/deliveries/{event_id}/resend"),
            ("POST", "/{endpoint_id}/resend"),
        )
    ),
}

TOLD_BESIDE: dict[str, set[str]] = {
    "VALIDATION_ERROR": {"details"},
    "INSUFFICIENT_CREDITS": {"balance", "required", "buy_url"},
    "HOLD_ENDED": {"status", "captured", "ended_at"},
    "CAPTURE_EXCEEDS_HOLD": {"held"},
    "REFUND_EXCEEDS_SPEND": {"refundable"},
}
"""What stands beside code and message of an error."""


@pytest.fixture
async def document(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.get("/api/openapi.json")
    assert answer.status_code == 200
    served: dict[str, Any] = answer.json()
    return served


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


async def test_the_served_document_is_the_one_that_is_kept(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/openapi.json")
    assert answer.headers["content-type"] == "application/vnd.oai.openapi+json"
    assert answer.content == KEPT.read_bytes(), "the routes have changed: run `make docs`"


async def test_every_endpoint_is_documented_and_no_other(document: dict[str, Any]) -> None:
    assert {f"{method} {path}" for method, path, _ in operations(document)} == ENDPOINTS


async def test_every_documented_endpoint_answers(
    document: dict[str, Any], api: httpx.AsyncClient, operator: Operator, store: StoreClient
) -> None:
    for method, path, operation in operations(document):
        address = re.sub(r"\{\w+\}", UNKNOWN, path)
        answer = await api.request(method, address)
        if operation.get("security"):
            assert answer.status_code == 401, path
            caller = operator if path.startswith("/api/admin") else store
            answer = await caller.send(method, address.removeprefix("/api/admin"))
        assert answer.status_code != 405, path
        assert "nothing at this address" not in answer.text, path
        assert str(answer.status_code) in operation["responses"], f"{path}: {answer.text}"


async def test_every_operation_says_who_may_call_it(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        caller = {"v1": "api_key", "admin": "admin_token"}.get(path.split("/")[2], "")
        expected: list[dict[str, list[str]]] = [{caller: []}] if caller else []
        assert operation.get("security", []) == expected, f"{method} {path}"
        assert operation["summary"], path
    names = [operation["operationId"] for *_, operation in operations(document)]
    assert len(set(names)) == len(names)


async def test_every_error_is_documented_in_the_envelope(document: dict[str, Any]) -> None:
    known = {(str(STATUS[code]), code.value) for code in ErrorCode}
    for _, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            codes = re.findall(r"`([A-Z_]+)`", response["description"])
            assert codes, path
            assert {(status, code) for code in codes} <= known, path
            schema = response["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorEnvelope"}, path


async def test_every_error_is_shown_as_it_is_answered(
    document: dict[str, Any], operator: Operator
) -> None:
    for _, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            examples = response["content"]["application/json"]["examples"]
            assert list(examples) == re.findall(r"`([A-Z_]+)`", response["description"]), path
            for code, shown in examples.items():
                error = msgspec.convert(shown["value"], ErrorEnvelope).error
                assert (str(STATUS[error.code]), error.code) == (status, code), path
                assert error.message.endswith("."), path
                told = TOLD_BESIDE.get(code, set())
                assert set(shown["value"]["error"]) == {"code", "message"} | told, path
    create = document["paths"]["/api/v1/generation/create"]["post"]
    responses = create["responses"]["400"]["content"]["application/json"]["examples"]
    answer = await (await operator.store()).create_raw(b"{}")
    shown = responses["VALIDATION_ERROR"]["value"]["error"]["details"]
    assert shown == answer.json()["error"]["details"]


async def test_every_error_code_is_listed(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["ErrorBody"]["properties"]["code"] == {"$ref": "#/components/schemas/ErrorCode"}
    assert schemas["ErrorCode"]["enum"] == [code.value for code in ErrorCode]
    assert set(MEANING) == set(ErrorCode)


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = re.findall(r'"\$ref":\s*"#/components/([^"]+)"', json.dumps(document))
    assert len(found) == json.dumps(document).count('"$ref"') > 0
    for reference in found:
        kind, _, name = reference.partition("/")
        assert name in document["components"][kind], reference


async def test_what_stores_call_comes_first_and_the_operators_part_is_apart(
    document: dict[str, Any],
) -> None:
    tags = [tag["name"] for tag in document["tags"]]
    assert tags[0] == "stores"
    used = [operation["tags"] for *_, operation in operations(document)]
    assert used[0] == ["stores"]
    assert {tag for each in used for tag in each} == set(tags)
    assert sorted(tags) == sorted(tag for part in DOCS_PARTS.values() for tag in part)


async def test_everything_is_described_and_shortly_named(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        assert operation["description"].endswith("."), path
        for parameter in operation["parameters"]:
            assert parameter["description"], f"{path}: {parameter['name']}"
    for name, schema in document["components"]["schemas"].items():
        assert re.fullmatch(r"[A-Z][A-Za-z]+", name)
        assert schema.get("description") or name.endswith("Envelope"), name
        assert None not in schema.get("enum", ())
    assert '"null", "string"' not in json.dumps(document), "an enum that lists null"
    # Paddle's messages bear some names, too.
    for ours in (Transaction, Money):
        assert document["components"]["schemas"][ours.__name__]["description"] == getdoc(ours)


async def test_what_stores_read_is_described_field_by_field(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    plain = {"session_id", "status", "type", "description", "timestamp", "created_at", "error_code"}
    for name in (
        "CreateBody",
        "GenerationCreated",
        "Generation",
        "BalanceView",
        "Transaction",
        "Health",
        "SpendBody",
        "SpendItem",
        "SpendMade",
        "SpendAnswer",
        "SpendView",
        "RefundBody",
        "RefundMade",
        "RefundView",
        "WebhookBody",
        "WebhookChange",
        "WebhookView",
        "WebhookIssued",
        "RotateSecretBody",
        "SecretRotated",
        "WebhookTested",
        "DeliveryView",
        "DeliveryAttempts",
        "AttemptView",
        "ResendBody",
        "DeliveriesResent",
    ):
        for field, schema in schemas[name]["properties"].items():
            assert field in plain or schema.get("description"), f"{name}.{field}"


async def test_the_ledger_is_documented_as_csv_too(document: dict[str, Any]) -> None:
    for path in ("/api/v1/credits/transactions", "/api/admin/stores/{store_id}/transactions"):
        answer = document["paths"][path]["get"]["responses"]["200"]
        assert set(answer["content"]) == {"application/json", "text/csv"}
        assert "X-Next-Cursor" in answer["headers"]


async def test_headers_that_answers_carry_are_documented(
    document: dict[str, Any], operator: Operator
) -> None:
    store = await operator.store(tier="tight", credits=1)
    create, balance = "/api/v1/generation/create", "/api/v1/credits/balance"
    prefer = {"Prefer": "wait=0"}
    seen = [
        ("post", create, await store.create("order-1", headers=prefer)),
        ("post", create, await store.create("order-1")),
        ("get", balance, await store.get(balance)),
        ("get", balance, await store.get(balance, headers={"Authorization": ""})),
        ("get", "/api/admin/stores", await operator.get("/stores")),
    ]
    assert [answer.status_code for *_, answer in seen] == [201, 429, 200, 401, 200]
    for method, path, answer in seen:
        said = document["paths"][path][method]["responses"][str(answer.status_code)]["headers"]
        sent = set(answer.headers) - {"content-type", "content-length"}
        assert {name.lower() for name in said} == sent, path


def documented_fields(document: dict[str, Any], method: str, path: str, status: int) -> set[str]:
    """The fields of `data` in a documented answer."""
    schemas = document["components"]["schemas"]

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        name = schema.get("$ref", "").rpartition("/")[2]
        return schemas[name] if name else schema

    response = document["paths"][path][method.lower()]["responses"][str(status)]
    envelope = resolved(response["content"]["application/json"]["schema"])
    return set(resolved(envelope["properties"]["data"])["properties"])


async def test_answers_have_exactly_the_documented_fields(
    document: dict[str, Any], store: StoreClient, operator: Operator, worker: WorkerStarter
) -> None:
    create = "/api/v1/generation/create"
    prefer = {"Prefer": "wait=0"}
    created, replayed = [await store.create("order-1", headers=prefer) for _ in range(2)]
    session_id = data_of(created, 201)["session_id"]
    async with worker():
        await store.ended(session_id)
    of_store = "/api/admin/stores/{store_id}"
    # Else the balance says nothing of overage.
    data_of(await operator.patch(f"/stores/{store.store_id}", overage_limit=1))
    seen = [
        ("POST", create, created),
        ("POST", create, replayed),
        (
            "GET",
            "/api/v1/generation/{session_id}",
            await store.get(f"/api/v1/generation/{session_id}"),
        ),
        ("GET", of_store, await operator.get(f"/stores/{store.store_id}")),
        (
            "POST",
            f"{of_store}/keys/{{key_id}}/rotate",
            await operator.post(
                f"/stores/{store.store_id}/keys/{store.key_id}/rotate", grace_seconds=60
            ),
        ),
    ]
    for name in ("generations", "credits/balance", "credits/transactions", "health"):
        path = f"/api/v1/{name}"
        seen += [("GET", path, await store.get(path))]
    for name in ("/stores", "/verify"):
        seen += [("GET", f"/api/admin{name}", await operator.get(name))]
    for method, path, answer in seen:
        fields = documented_fields(document, method, path, answer.status_code)
        # Of credits taken back or aside, or from beyond the balance, nothing is said without any.
        unsaid = {
            "/api/v1/credits/balance": {
                "total_clawed_back",
                "total_expired",
                "total_removed",
                "held",
                "expiring",
            },
            "/api/v1/generation/create": {"charged_as"},
        }
        expected = fields - unsaid.get(path, set())
        assert set(data_of(answer, answer.status_code)) == expected, path


@pytest.mark.parametrize(
    "path, tag, scheme",
    [("/api/docs", "stores", "api_key"), ("/api/docs/operator", "operator", "admin_token")],
)
async def test_the_pages_are_served_from_here_alone(
    api: httpx.AsyncClient, path: str, tag: str, scheme: str
) -> None:
    page = await api.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "//" not in page.text, "no address of any other host"
    assert f'const shown = ["{tag}"' in page.text
    assert f'const scheme = "{scheme}"' in page.text
    assert '<link rel="icon" href="data:,">' in page.text, "no request for an icon"
    links = re.findall(r'href="(/api[a-z./]*)"', page.text)
    for link in links:
        assert (await api.get(link)).status_code == 200, link
    addresses = re.findall(r'"(/api/docs/swagger[^"]+)"', page.text)
    assert len(addresses) == 2
    for address in addresses:
        answer = await api.get(address)
        assert answer.status_code == 200, address
        kind = "javascript" if address.endswith(".js") else "css"
        assert kind in answer.headers["content-type"]
        if kind == "css":
            assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", answer.text)
        else:
            assert "isOAS31" in answer.text, "the page reads OpenAPI 3.1, which the document is"


async def test_nothing_else_is_served_beside_the_page(api: httpx.AsyncClient) -> None:
    for name in ("index.html", "nothing.js", "..%2f__init__.py", "%2e%2e", "%00"):
        answer = await api.get(f"/api/docs/{name}")
        assert answer.status_code == 404, name
        assert set(answer.json()) == {"data", "error"}


async def test_credits_that_the_operator_moved_already_are_answered_as_documented(
    document: dict[str, Any], operator: Operator, store: StoreClient
) -> None:
    for path, body in (("credits", {"type": "grant"}), ("credits/remove", {"reason": "No"})):
        address = f"/stores/{store.store_id}/{path}"
        sent = {"amount": 1, "request_id": f"{path}-1", **body}
        statuses = [(await operator.post(address, **sent)).status_code for _ in range(2)]
        assert statuses == [201, 200]
        documented = document["paths"][f"/api/admin/stores/{{store_id}}/{path}"]["post"][
            "responses"
        ]
        assert {"201", "200"} <= set(documented)
