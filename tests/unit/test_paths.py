"""Paths of requests: one spelling each, and a request id is one part of its own."""

from typing import Any
from urllib.parse import quote, unquote

import pytest

from storecredit.stores.rate_limits import Budget
from storecredit.web.http.addresses import budget_of
from storecredit.web.http.paths import encoded_request, named_request, path_of

SPEND = "/api/v1/credits/spend"
REQUESTS = "/api/admin/requests"
USERS_SPEND = "/api/admin/users/6f1e/spend"


def served(raw_path: str, method: str = "GET") -> str:
    """The path of a request as it was sent, with what a server makes of it beforehand."""
    scope: Any = {
        "method": method,
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
    }
    return path_of(scope)


@pytest.mark.parametrize(
    "request_id",
    ["1", "order-1001", "a/b", "//", "100%", "%2F", "a b", "a?b#c", "~!@$&'()*+,;=:|\\\"", "batch"],
)
@pytest.mark.parametrize(
    "before, after",
    [(SPEND, ""), (SPEND, "/refund"), (USERS_SPEND, ""), (USERS_SPEND, "/refund"), (REQUESTS, "")],
)
def test_a_request_id_stays_one_part_whatever_its_characters(
    request_id: str, before: str, after: str
) -> None:
    path = served(f"{before}/{quote(request_id, safe='')}{after}")
    part = path.removeprefix(f"{before}/").removesuffix(after)
    assert "/" not in part
    assert part != "batch", "that is an address of its own"
    assert named_request(part) == request_id
    assert served(f"{before}/{encoded_request(request_id)}{after}") == path


def test_what_is_sent_to_the_address_of_batches_comes_to_it() -> None:
    assert served(f"{SPEND}/batch", "POST") == f"{SPEND}/batch"
    assert served(f"/{SPEND}//batch/", "POST") == f"{SPEND}/batch"
    assert served(f"{SPEND}/batch/refund", "POST") == f"{SPEND}/%62atch/refund"


def test_other_paths_are_decoded_and_stripped_of_slashes() -> None:
    assert served("//api/v1//credits/balance/") == "/api/v1/credits/balance"
    assert served("/api/v1/credits/b%61lance") == "/api/v1/credits/balance"
    assert served(f"{SPEND}/a/b/c") == f"{SPEND}/a/b/c"


def test_only_what_moves_credits_counts_as_a_spend() -> None:
    assert budget("POST", "/api/v1/generation/create") == "create"
    for path in (SPEND, f"{SPEND}/batch", f"{SPEND}/order-1/refund", "/api/v1/credits/holds"):
        assert budget("POST", path) == "spend"
        assert budget("GET", path) == "read"
    assert budget("GET", "/api/v1/credits/balance") == "read"
    assert budget("POST", "/api/v1/billing/checkout") == "read"


def budget(method: str, path: str) -> Budget:
    scope: Any = {"method": method, "path": path}
    return budget_of(scope)
