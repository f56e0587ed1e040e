"""What every endpoint must hold, checked the same way for each."""

from uuid import UUID

from storecredit.stores.api_keys import new_key
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, bearer, data_of, error_of

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE")
UNKNOWN = str(UUID(int=7))


async def assert_only_a_working_key_is_let_in(operator: Operator, method: str, path: str) -> None:
    """Missing, malformed, unknown: one answer for all. What was a key says why it is none now."""
    revoked, suspended, rotated = [await operator.store() for _ in range(3)]
    data_of(await operator.delete(f"/stores/{revoked.store_id}/keys/{revoked.key_id}"))
    data_of(await operator.patch(f"/stores/{suspended.store_id}", status="suspended"))
    rotate = f"/stores/{rotated.store_id}/keys/{rotated.key_id}/rotate"
    replacement = data_of(await operator.post(rotate), 201)["api_key"]

    refused: dict[str, dict[str, str]] = {
        "none": {},
        "empty": {"Authorization": ""},
        "no scheme": {"Authorization": replacement},
        "another scheme": {"Authorization": f"Basic {replacement}"},
        "no secret": {"Authorization": "Bearer"},
        "the operator's": bearer(OPERATOR_TOKEN),
        "malformed": bearer("sc_live_short"),
        "of another checksum": bearer(replacement[:-1] + ("0" if replacement[-1] != "0" else "1")),
        "not ASCII": bearer("sc_live_" + "é" * 36),
        "unknown": bearer(new_key()),
        "in another header": {"X-Api-Key": replacement},
    }
    messages = set()
    for name, headers in refused.items():
        raw = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
        answer = await operator.http.request(method, path, headers=raw)
        assert answer.status_code == 401, f"{name}: {answer.text}"
        messages.add(error_of(answer, 401, "INVALID_API_KEY")["message"])
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "x-ratelimit-limit" not in answer.headers
    answer = await operator.http.request(method, f"{path}?api_key={replacement}")
    messages.add(error_of(answer, 401, "INVALID_API_KEY")["message"])
    assert len(messages) == 1
    for key, status, code in (
        (revoked.api_key, 401, "API_KEY_REVOKED"),
        (rotated.api_key, 401, "API_KEY_EXPIRED"),
        (suspended.api_key, 403, "STORE_SUSPENDED"),
    ):
        answer = await operator.http.request(method, path, headers=bearer(key))
        error_of(answer, status, code)
        assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
        assert "x-ratelimit-limit" not in answer.headers
    answer = await operator.http.request(method, path, headers=bearer(replacement))
    assert answer.status_code not in {401, 403}, "the one key that works is let in"


async def assert_other_methods_are_refused(
    caller: StoreClient | Operator, path: str, *methods: str
) -> None:
    served = {*methods, *(["HEAD"] if "GET" in methods else [])}
    for method in sorted(set(METHODS) - served):
        answer = await caller.send(method, path)
        assert answer.status_code == 405, f"{method}: {answer.text}"
        if method != "HEAD":
            error_of(answer, 405, "METHOD_NOT_ALLOWED")
        assert set(answer.headers["allow"].split(", ")) == {*served, "OPTIONS"}


async def assert_reads_are_limited(operator: Operator, path: str) -> None:
    """The tier allows two reads a minute; what the reads are answered with does not matter."""
    store = await operator.store(tier="tight")
    for remaining in ("1", "0"):
        answer = await store.get(path)
        assert answer.status_code != 429
        assert answer.headers["x-ratelimit-remaining"] == remaining
    answer = await store.get(path)
    error_of(answer, 429, "RATE_LIMIT_EXCEEDED")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.headers["x-ratelimit-limit"] == "2"
    assert answer.headers["x-ratelimit-remaining"] == "0"


async def assert_only_the_operator_is_let_in(operator: Operator, method: str, path: str) -> None:
    """A store's key is no operator's token; a refused call changes nothing and tells nothing."""
    store = await operator.store()
    refused: dict[str, dict[str, str]] = {
        "none": {},
        "empty": {"Authorization": "Bearer "},
        "another scheme": {"Authorization": f"Basic {OPERATOR_TOKEN}"},
        "shorter": bearer(OPERATOR_TOKEN[:-1]),
        "longer": bearer(OPERATOR_TOKEN + "x"),
        "not ASCII": bearer("é"),
        "a store's key": bearer(store.api_key),
    }
    for name, headers in refused.items():
        raw = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
        answer = await operator.http.request(method, f"/api/admin{path}", headers=raw)
        assert answer.status_code == 401, f"{name}: {answer.text}"
        error = error_of(answer, 401, "INVALID_API_KEY")
        assert OPERATOR_TOKEN not in error["message"]
    answer = await operator.send(method, path)
    assert answer.status_code != 401, "the operator is let in"


async def assert_bad_queries_are_refused(
    caller: StoreClient | Operator, path: str, *queries: str
) -> None:
    """Each is a 400 that names the parameter, and repeats nothing of what was sent."""
    for query in queries:
        answer = await caller.send("GET", f"{path}?{query}")
        assert answer.status_code == 400, f"{query}: {answer.text}"
        name, _, value = query.partition("=")
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert (detail["key"], detail["source"]) == (name, "query"), query
        assert detail["message"], query
        if value.isalpha():
            assert value not in answer.text, query
