"""What was acknowledged is there, once; what was refused is not, nor what nobody asked for.

A request's effects are the movements of its owner under its id.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.torture.checking.history import History, Request, Sending
from tests.torture.checking.tables import Row, Tables
from tests.torture.checking.violations import Rule, Violation

CHARGES: Final = {"deduction", "overage"}
RETURNS: Final = {"refund", "overage_refund", "overage_credit"}
DOCUMENTED: Final = {200, 201, 400, 401, 402, 409, 422, 429, 503}
EFFECTS_OF: Final[Mapping[str, tuple[set[str], ...]]] = {
    # The first is the effect itself, and the others follow from it: each at most once.
    "create": (CHARGES, RETURNS),
    "spend": (CHARGES,),
    "refund": (RETURNS,),
    "hold": ({"hold"}, {"capture"}, {"release", "hold_expiry"}),
    "add": ({"grant"},),
    "remove": ({"removal"},),
    "transfer": ({"transfer_out"},),
    "received": ({"transfer_in"},),
}
ASKED_FOR: Final = {type_ for groups in EFFECTS_OF.values() for group in groups for type_ in group}

Effects = Mapping[tuple[str, str], list[Row]]
"""By owner and request id."""


def effects_of(tables: Tables) -> Effects:
    """Every movement, by whose and of which request it is."""
    owners = tables.owners()
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for movement in tables["movements"]:
        found[owners[movement["account_id"]], movement["request_id"]].append(movement)
    return found


def violations(history: History, tables: Tables) -> Iterator[Violation]:
    """Of every answer, every request, and every movement."""
    effects = effects_of(tables)
    yield from _of_answers(history)
    asked: set[tuple[str, str]] = set()
    for part in parts_of(history):
        asked.add((part.owner, str(part.key)))
        yield from _of_request(part, effects.get((part.owner, str(part.key)), []))
    yield from _of_unasked(history, effects, asked)


def parts_of(history: History) -> Iterator[Request]:
    """Each request with effects; of a batch each item, of a transfer both sides, by itself."""
    for request in history.requests:
        if request.kind == "batch":
            for place, (key, amount) in enumerate(request.said["items"]):
                yield _item(request, place, key, amount)
        elif request.kind in EFFECTS_OF:
            yield request
            if request.kind == "transfer":
                receiver = request.said["to"]
                given = (request.n, receiver, "received", request.key, request.said)
                yield Request(*given, request.sendings)


def _item(request: Request, place: int, key: str, amount: int) -> Request:
    item = Request(request.n, request.owner, "spend", key, {"amount": amount})
    for number, sending in request.sendings.items():
        own = Sending(sending.asked_at, sending.ended_at, sending.status, sending.replayed)
        if sending.is_well:
            own.told = sending.told["items"][place]
            own.status = {"spent": 201, "replayed": 200, "insufficient": 402}.get(
                own.told["outcome"], 422
            )
        item.sendings[number] = own
    return item


def _of_answers(history: History) -> Iterator[Violation]:
    for request in history.requests:
        for sending in request.sendings.values():
            if sending.status is not None and sending.status not in DOCUMENTED:
                yield Violation(
                    Rule.ANSWERED_AS_DOCUMENTED,
                    f"{request} was answered {sending.status} {sending.told}",
                )


def _of_request(request: Request, found: list[Row]) -> Iterator[Violation]:
    groups = EFFECTS_OF[request.kind]
    counts = Counter(movement["type"] for movement in found)
    for group in groups:
        if sum(counts[type_] for type_ in group) > 1:
            yield Violation(Rule.ONE_EFFECT, f"{request} has the effects {dict(counts)}")
    main = [movement for movement in found if movement["type"] in groups[0]]
    sendings = request.sendings.values()
    if main and all(sending.is_refused for sending in sendings):
        yield Violation(Rule.REFUSED_IS_NOTHING, f"{request} was refused, and did {dict(counts)}")
    amount = request.said.get("amount")
    if main and amount is not None and main[0]["amount"] != amount:
        yield Violation(Rule.ONE_EFFECT, f"{request} moved {main[0]['amount']}, not {amount}")
    if not request.well:
        return
    if not main:
        yield Violation(Rule.ACKNOWLEDGED_IS_RECORDED, f"{request} was acknowledged, and is lost")
    first_times = [each for each in request.well if each.status == 201 and not each.replayed]
    if len(first_times) > 1:
        yield Violation(Rule.ONE_EFFECT, f"{request} was told twice that it is done now")
    for sending in request.well:
        for difference in _differences(request, main, sending.told):
            yield Violation(Rule.ACKNOWLEDGED_IS_RECORDED, f"{request}: {difference}")


def _differences(request: Request, main: list[Row], told: Mapping[str, Any]) -> Iterator[str]:
    """Where an answer says something else than the movement."""
    for movement in main[:1]:
        amount = told.get("amount", told.get("credits_charged"))
        if amount is not None and amount != movement["amount"]:
            yield f"{amount} was told, {movement['amount']} moved"
        session_id = told.get("session_id", told.get("sessionId"))
        if session_id is not None and session_id != movement["session_id"]:
            yield f"session {session_id} was told, it is {movement['session_id']}"
        charged_as = told.get("charged_as")
        if charged_as is not None and (charged_as == "overage") != (movement["type"] == "overage"):
            yield f"it was charged as {charged_as}, and is a {movement['type']}"


def _of_unasked(
    history: History, effects: Effects, asked: set[tuple[str, str]]
) -> Iterator[Violation]:
    for (owner, request_id), movements in effects.items():
        for movement in movements:
            is_opening = movement["seq"] == 1 and movement["type"] == "grant"
            is_ours = owner in history.opened and movement["type"] in ASKED_FOR
            if is_ours and not is_opening and (owner, request_id) not in asked:
                yield Violation(
                    Rule.ONE_EFFECT,
                    f"nobody asked for {movement['type']} {request_id} of {owner}",
                )
