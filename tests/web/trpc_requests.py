"""Requests to `/api/trpc`, good and bad: what storecredit and a real @trpc/server are asked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote
from uuid import UUID

from storecredit.web.trpc.calls import BATCH_MAX, JSONL
from tests.web.doors import IMAGE
from tests.web.users import TRPC

UNDEFINED = {"json": None, "meta": {"values": ["undefined"], "v": 1}}
QUERIES = (
    "credits.getBalance",
    "credits.getTransactions",
    "credits.getPacks",
    "generation.getHistory",
    "generation.getStats",
)
TX = "credits.getTransactions"
BUY = "credits.purchase"
CREATE = "generation.create"
BY_ID = "generation.getById"
HISTORY = "generation.getHistory"
ID = "3f8a1f0e-2d5f-4c4e-9b62-1d4f6f0d9b11"
JSON_TYPE = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; `input` goes into the URL, `body` into the body, as JSON unless it is text.

    `engine`: the message of its error is JavaScript's own (a SyntaxError's), and not compared.
    """

    path: str
    method: str = "GET"
    input: object = None
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    signed_in: bool = True
    engine: bool = False

    def target(self) -> str:
        url = f"{TRPC}/{self.path}"
        if self.input is None:
            return url
        return f"{url}{'&' if '?' in url else '?'}input={quote(text(self.input))}"

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.input or ''} {self.body or ''}"[:120]


def streamed(asked: Ask, header: str = "trpc-accept") -> Ask:
    """The same, but that results are to come as they end."""
    return replace(asked, headers={**asked.headers, header: JSONL})


def text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content)


def query(path: str, value: object, **more: Any) -> Ask:
    return Ask(path, input={"json": value}, **more)


def mutation(path: str, value: object, **more: Any) -> Ask:
    return Ask(path, "POST", body={"json": value}, **more)


def typed(value: object, types: object, version: int | None = 1) -> dict[str, object]:
    meta = {"values": types} | ({} if version is None else {"v": version})
    return {"json": value, "meta": meta}


def inputs(path: str, *contents: object, engine: bool = False) -> list[Ask]:
    return [Ask(path, input=content, engine=engine) for content in contents]


def queries(path: str, *values: object) -> list[Ask]:
    return inputs(path, *({"json": value} for value in values))


def mutations(path: str, *values: object) -> list[Ask]:
    return [mutation(path, value) for value in values]


def named(name: str, *values: object) -> list[dict[str, object]]:
    return [{name: value} for value in values]


NO_TYPES: list[object] = [{}, None, 5, {"offset": ["undefined"]}, {"a.b": ["undefined"]}]
NO_META: list[object] = ["x", None, 5, [], {}]
ACCESSORIES: list[object] = [{"type": 1}, {"url": "x"}, {"type": "x", "url": None}, "x"]

READS = [
    *(Ask(path) for path in QUERIES),
    *(Ask(path, input=UNDEFINED) for path in QUERIES),
    *(Ask(path, signed_in=False) for path in QUERIES),
    Ask("credits.getBalance", headers={"Authorization": "Bearer x.y.z"}, signed_in=False),
    query(TX, {"limit": 2}),
    query(TX, {"limit": 1, "offset": 2}),
    query(TX, {"offset": 1000}),
    query(HISTORY, {"limit": 1}),
    *(query(HISTORY, {"status": s}) for s in ("queued", "processing", "completed", "failed", None)),
]
BATCHES = [
    Ask(",".join(QUERIES) + "?batch=1"),
    Ask(",".join(QUERIES) + "?batch=1", input={}),
    Ask("%2C".join(QUERIES) + "?batch=1"),
    Ask(f"credits.getBalance,{TX}?batch=1", input={"0": UNDEFINED, "1": {"json": {"limit": 1}}}),
    Ask(f"{TX},{TX}?batch=1", input={"1": {"json": {"limit": 1}}, "7": {"json": 5}, "x": 1}),
    Ask(f"{TX},{TX}?batch=1", input={"0": {"json": {"limit": 0}}}),
    Ask(f"{TX},{TX}?batch=1", input={"0": None}, engine=True),
    Ask(f"{TX},credits.getBalance?batch=1", input="{bad", engine=True),
    Ask(f"{TX},credits.getBalance?batch=1", input="{bad", signed_in=False),
    *(Ask(f"{TX},credits.getBalance?batch=1", input=it) for it in ("[]", "5", '""', "null", "1.5")),
    Ask(f"{TX}?batch=1", input="null"),
    Ask("generation.onEnd?batch=1", input={"0": {"json": {"sessionId": ID}}}),
    Ask(f"generation.onEnd,{BY_ID}?batch=1", input={"0": {"json": {"sessionId": ID}}}),
    Ask(f"{BY_ID},credits.getBalance?batch=1", input={"0": {"json": {"sessionId": ID}}}),
    Ask("credits.getBalance,nope?batch=1"),
    Ask("credits.getBalance,?batch=1"),
    Ask("nope,also.nope?batch=1"),
    Ask("nope,credits.getBalance?batch=1", signed_in=False),
    Ask("?batch=1"),
    Ask(",?batch=1"),
    Ask("credits.getBalance,credits.getBalance"),
    Ask("credits.getBalance?batch=0"),
    Ask("credits.getBalance?batch=true"),
    Ask("credits.getBalance?batch=1&batch=0"),
    Ask("credits.getBalance?batch=0&batch=1"),
    Ask("credits.getBalance?batch=%31&x"),
    Ask(",".join(["credits.getBalance"] * BATCH_MAX) + "?batch=1"),
    Ask(",".join(["credits.getBalance"] * (BATCH_MAX + 1)) + "?batch=1"),
    Ask(",".join(["nope"] * (BATCH_MAX + 1)) + "?batch=1"),
    Ask(f"credits.getBalance,{BUY}?batch=1"),
    Ask(f"{BUY},credits.getBalance,nope?batch=1"),
    Ask(f"{BUY},credits.getBalance?batch=1", "POST", body={}),
    Ask(f"{BUY},{BUY}?batch=1"),
    Ask(f"{CREATE},{CREATE}?batch=1", "POST", body={"0": {"json": {}}, "1": {"json": 5}}),
    Ask(f"{CREATE}?batch=1", "POST", body=[{"json": {"modelImageUrl": IMAGE}}]),
    Ask(f"{CREATE}?batch=1", "POST", body={"1": {"json": {"modelImageUrl": IMAGE}}}),
    Ask(f"{CREATE}?batch=1", "POST", body="{bad", engine=True),
    Ask(f"{CREATE}?batch=1", "POST", headers=JSON_TYPE),
]
PATHS = [
    Ask(path)
    for path in (
        *("nope", "", "/", "__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"),
        *("credits", "credits.", "credits.constructor", "credits.__proto__.getBalance"),
        *("credits.getBalance.x", "credits/getBalance", "CREDITS.GETBALANCE", "credits.getbalance"),
        *(
            "credits%2EgetBalance",
            "credits%2FgetBalance",
            "credits.getBalance/",
            "%00",
            "%22",
            "a+b",
        ),
        *("%E2%82%AC", "%zz", "%", "%4", "%ff", "%ed%a0%80", "nope%", "%2525", "caf%C3%A9?x=%zz"),
        *("credits.getBalance?input=%zz", "credits.getBalance?&&=&a", "credits.getBalance?input="),
    )
]
METHODS = [
    *(Ask("credits.getBalance", it, body=UNDEFINED) for it in ("POST", "PUT", "PATCH", "DELETE")),
    *(Ask(BUY, it, body={"json": {"packId": "x"}}) for it in ("PUT", "PATCH", "DELETE")),
    *(Ask("credits.getBalance", it) for it in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS")),
    *(Ask("nope", it, body=UNDEFINED) for it in ("HEAD", "POST", "PUT", "OPTIONS")),
    Ask("credits.getBalance", "POST", body=UNDEFINED, signed_in=False),
    query(BUY, {"packId": "x"}),
    query(CREATE, {"modelImageUrl": IMAGE}, signed_in=False),
    Ask("credits.getBalance,nope?batch=1", "POST", body={}),
    *(Ask(path, "POST", body={"json": {"limit": 1}}) for path in QUERIES),
    Ask(",".join(QUERIES) + "?batch=1", "POST", body={"1": {"json": {"limit": 1}}}),
    Ask(TX, "POST", input={"json": {"limit": 1}}, body={"json": {"limit": 2}}),
    Ask(TX, "POST", body={"json": {"limit": 0}}),
    Ask(TX, "PUT", body={"json": {"limit": 1}}),
    query(f"{BUY},{BUY}?batch=1", {}),
]
CONTENT_TYPES = [
    mutation(CREATE, {}, headers={"Content-Type": it})
    for it in ("application/json; charset=utf-8", "Application/JSON", " application/json ;x")
] + [
    Ask(CREATE, "POST", body="", headers=JSON_TYPE),
    Ask(CREATE, "POST"),
    Ask(f"{CREATE},{CREATE}?batch=1", "POST"),
    Ask("nope", "POST"),
    Ask("credits.getBalance", headers={"Content-Type": "text/plain"}),
    Ask("credits.getBalance", headers=JSON_TYPE),
]
SUPERJSON = [
    *(Ask(TX, input=it) for it in ("5", "{}", '""', "[]", "true", '"x"', '{"json":{},"json":5}')),
    *(Ask(TX, input=it, engine=True) for it in ("null", "{bad", "{'a': 1}", "nul", "[" * 3000)),
    Ask(TX, input='{"json":{"limit":NaN}}', engine=True),
    Ask("credits.getBalance", input="{bad"),
    Ask(TX, input=typed({"limit": None}, {"limit": ["undefined"]})),
    Ask(TX, input=typed({"limit": None}, {"limit": ["undefined"]}, None)),
    Ask(TX, input=typed({"limit": None}, {"limit": ["undefined"]}, 0)),
    Ask(TX, input=typed({"limit": "1"}, {"limit": ["number"]})),
    Ask(TX, input=typed({"limit": "-0"}, {"offset": ["undefined"], "limit": ["number"]})),
    *(
        Ask(TX, input=typed({"limit": plain}, {"limit": [type_]}))
        for plain, type_ in (
            ("NaN", "number"),
            ("Infinity", "number"),
            ("-Infinity", "number"),
            ("/x/", "number"),
            ("7", "bigint"),
            ("2026-01-01T00:00:00.000Z", "Date"),
            ("/x/g", "regexp"),
            ([], "set"),
            ([["a", 1]], "map"),
            ({"name": "E", "message": "x"}, "Error"),
            ("https://a.example/", "URL"),
            ([1, 2], ["typed-array", "Uint8Array"]),
        )
    ),
    *(
        Ask(TX, input=typed({"limit": 1}, types), engine=True)
        for types in (
            {"limit": ["wat"]},
            {"limit": [["class", "User"]]},
            {"limit": [["custom", "Decimal"]]},
            {"limit": [["symbol", "s"]]},
            {"__proto__": ["undefined"]},
            {"a.constructor": ["undefined"]},
            {"prototype": ["undefined"]},
            {"a\\b": ["undefined"]},
            "x",
        )
    ),
    *inputs(
        TX,
        *(typed({"limit": 1}, types) for types in NO_TYPES),
        *({"json": {"limit": 1}, "meta": meta} for meta in NO_META),
    ),
    Ask(
        TX,
        input={
            "json": {"limit": 1, "offset": None},
            "meta": {"referentialEqualities": {"limit": ["offset"]}, "v": 1},
        },
    ),
    Ask(
        CREATE,
        "POST",
        body={
            "json": {"modelImageUrl": 5, "accessories": [{"type": 1}, None]},
            "meta": {"referentialEqualities": {"accessories.0": ["accessories.1"]}, "v": 1},
        },
    ),
    Ask(TX, input='{"json":{"limit":1,"__proto__":{"a":1},"constructor":1,"toString":2}}'),
    query(BY_ID, {"sessionId": "caf\u00e9 \u20ac \U0001f600 \u2028"}),
]
INPUTS = [
    *queries(TX, None, [], "x", 5, True, {}, {"other": 1}),
    *queries(TX, *named("limit", 0, 1, 100, 101, -1, 1.0, 1.5, 0.5, 100.5, "5", "", None, True)),
    *queries(TX, *named("limit", [], {}, 2**53 - 1, 2**53, -(2**53), 1e300, -1e300)),
    *queries(TX, *named("offset", 0, -1, 2**53 - 1, 2**53, 0.1, -0.1, "0", None, False)),
    *queries(TX, {"limit": 0, "offset": -2}, {"limit": "x", "offset": []}),
    *queries(HISTORY, *named("limit", 50, 51, 0)),
    *queries(HISTORY, *named("status", "", "x", "FAILED", 5, True, [], ["failed"], {})),
    *queries(HISTORY, {"limit": 51, "offset": -1, "status": "x"}),
    *queries(BY_ID, None, {}),
    *queries(BY_ID, *named("sessionId", None, 5, "", ID, ID.upper(), f"{ID}\n", f" {ID}")),
    *queries(BY_ID, *named("sessionId", ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}")),
    *queries(BY_ID, *named("sessionId", *(str(UUID(int=it)) for it in (0, 1, 2**128 - 1)))),
    *queries(BY_ID, *named("sessionId", f"{ID[:14]}9{ID[15:]}", f"{ID[:19]}c{ID[20:]}")),
    *queries(BY_ID, *({"sessionId": ID, "wait": it} for it in (-1, 0, 1.5, 60, 61, "5", None))),
    *mutations(CREATE, None, [], {}, *named("modelImageUrl", None, 5, [])),
    *mutations(CREATE, *named("outfitImageUrl", None, 5, {})),
    *mutations(CREATE, *named("accessories", None, [], {}, "x", 5, [5], [None], [[]], [{}])),
    *mutations(CREATE, {"modelImageUrl": "", "accessories": ACCESSORIES}),
    *mutations(CREATE, *named("options", 5, "x", [], [{}], {"size": 5, "a": None}, {"a": {}})),
    *mutations(BUY, None, {}, *named("packId", None, 5, ["x"])),
    Ask(CREATE, "POST", body="{bad", engine=True),
    Ask(CREATE, "POST", body="{bad", signed_in=False),
    mutation(CREATE, {"modelImageUrl": 5}, signed_in=False),
]
WORK = [
    Ask(f"{CREATE},nope?batch=1", "POST", body={"0": {"json": {"modelImageUrl": IMAGE}}}),
    mutation(CREATE, {"modelImageUrl": IMAGE}),
    mutation(CREATE, {"modelImageUrl": IMAGE, "outfitImageUrl": None, "accessories": []}),
    mutation(CREATE, {"modelImageUrl": IMAGE, "options": {}}),
    mutation(CREATE, {"modelImageUrl": IMAGE, "accessories": [{"type": "hat", "url": IMAGE}]}),
    Ask(
        f"{CREATE},{CREATE}?batch=1",
        "POST",
        body={"0": {"json": {"modelImageUrl": IMAGE}}, "1": {"json": {}}},
    ),
]
"""What changes something: asked last, and compared but for the ids that are made."""

_ONE_BY_ONE = [
    replace(each, path=f"{each.path}?batch=1", input=each.input and {"0": each.input})
    for each in READS
]
ON_END = "generation.onEnd"
SUBSCRIPTIONS = [
    *queries(ON_END, None, {}, *named("sessionId", None, 5, "", "x", ID)),
    *queries(ON_END, {"sessionId": ID, "lastEventId": 5}),
    Ask(ON_END, input={"json": {"sessionId": ID}}, signed_in=False),
    mutation(ON_END, {"sessionId": ID}),
]
"""None of which has anything to wait for."""


def of_ended(session_id: str) -> list[Ask]:
    """Subscriptions to the end of a generation that has ended."""
    input_ = {"sessionId": session_id}
    had = {"Last-Event-ID": session_id}
    return [
        *queries(ON_END, input_, {"sessionId": session_id.upper()}),
        *queries(ON_END, input_ | {"lastEventId": session_id}, input_ | {"lastEventId": "x"}),
        Ask(ON_END, input={"json": input_}, headers=had),
        Ask(ON_END, input={"json": input_ | {"lastEventId": "x"}}, headers=had),
        Ask(f"{ON_END}?lastEventId={session_id}", input={"json": input_}),
        mutation(ON_END, input_),
    ]


STREAMS = [
    *map(streamed, BATCHES + _ONE_BY_ONE + PATHS + METHODS),
    *map(streamed, READS[:2]),
    *(streamed(each, "Accept") for each in (*BATCHES[:4], READS[0])),
    Ask("credits.getBalance?batch=1", headers={"Accept": f"text/html, {JSONL} "}),
    Ask("credits.getBalance?batch=1", headers={"Accept": f"{JSONL};q=1"}),
    Ask("credits.getBalance?batch=1", headers={"Accept": JSONL.upper()}),
    Ask("credits.getBalance?batch=1", headers={"trpc-accept": "application/json"}),
    Ask("credits.getBalance?batch=1", headers={"trpc-accept": "", "Accept": JSONL}),
    Ask(f"{CREATE}?batch=1", "POST", headers={"trpc-accept": JSONL}),
    streamed(Ask(f"{CREATE},{CREATE}?batch=1", "POST", body="{bad", signed_in=False)),
    streamed(Ask(f"{BUY}?batch=1", "POST", headers={"Content-Type": "text/json"}, engine=True)),
]
"""Asked for as httpBatchStreamLink asks, and as nobody should."""
