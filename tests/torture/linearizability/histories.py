"""From the record of one owner: the operations that were seen from outside, and when.

A sending that was told "done now" is the operation itself. One that was told "done before" is a
look at it, and the operation lies between the first sending that nobody saw end and that answer. If
nobody was ever told, it may have been done at any moment since: whether it was, the owner's ledger
says when all is over.
"""

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.torture.checking.history import History, Request, Sending
from tests.torture.checking.tables import Row, Tables
from tests.torture.linearizability.account import Apply, Item, Model, State, Told
from tests.torture.linearizability.search import Operation

MOVES: Final = {"spend": -1, "create": -1, "hold": -1, "remove": -1, "transfer": -1, "received": 1}
TOLD_LATER: Final = {"add", "remove", "transfer", "received"}
"""Whose second answer does not tell the balance as it is now."""
ENDS: Final = {"capture": "captured", "release": "released"}
LOOKS: Final = {"look", "seen", "refused", "find ended"}
"""What changes nothing."""
PRICE: Final = 1
"""Of a generation of which nobody was told what it cost."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What an owner's ledger says when all is over."""

    done: frozenset[str]
    """Request ids that have a movement."""
    ends: Mapping[str, tuple[str, int]]
    """How each hold ended, and how much was captured."""
    failed: frozenset[str]
    """Request ids of generations that failed."""

    @classmethod
    def of(cls, tables: Tables, owner: str) -> "Ledger":
        """Of one owner."""
        (account_id,) = (number for number, name in tables.owners().items() if name == owner)

        def rows(name: str) -> list[Row]:
            return [row for row in tables[name] if row["account_id"] == account_id]

        return cls(
            frozenset(row["request_id"] for row in rows("movements")),
            {row["hold_id"]: (row["status"], row["captured"] or 0) for row in rows("holds")},
            frozenset(row["request_id"] for row in rows("sessions") if row["status"] == "failed"),
        )

    def has(self, request: Request) -> bool:
        """Whether what was asked for was done."""
        if request.kind in ENDS:
            return self.ends.get(request.said["hold"]) == (ENDS[request.kind], _amount(request))
        return request.key in self.done


class Operations:
    """Those of one owner."""

    def __init__(self, history: History, ledger: Ledger, owner: str) -> None:
        self.owner = owner
        self._ledger = ledger
        self.model = Model()
        self.found: list[Operation[State]] = []
        self._ends = _ends_of(history, owner)
        opened_at, balance = history.opened[owner]
        self.begin = State(balance)
        for request in _requests_of(history, owner):
            if min(each.asked_at for each in request.sendings.values()) >= opened_at:
                self._add(request)

    def _add(self, request: Request) -> None:
        match request.kind:
            case "batch":
                self._add_batch(request)
            case "balance":
                for sending in request.well:
                    told = sending.told["balance"]
                    self._put(sending, "look", self.model.look(told))
            case "capture" | "release":
                self._add_one(request)
                for sending in request.sendings.values():
                    if sending.status == 409:
                        apply = self.model.find_ended(request.said["of"])
                        self._put(sending, "find ended", apply)
            case "create":
                self._add_one(request)
                self._add_failure(request)
            case "spend" | "refund" | "hold" | "add" | "remove" | "transfer" | "received":
                self._add_one(request)
            case _:
                pass

    def _add_one(self, request: Request) -> None:
        key, amount = str(request.key), _amount(request)
        firsts = [each for each in request.well if _is_first(request, each)]
        for first in firsts:
            told = None if request.kind == "add" else _balance(request, first)
            self._put(first, request.kind, self._effect(request, amount, first.told, told))
            if request.kind == "add":
                # Read after it was done: a look of its own.
                self._put(first, "seen", self.model.seen(key, _balance(request, first)))
        if not firsts and (request.well or (request.unknown and self._ledger.has(request))):
            self._put_hidden(request, self._effect(request, amount, {}, None))
        for sending in request.sendings.values():
            if sending.is_well and sending not in firsts:
                told = None if request.kind in TOLD_LATER else _balance(request, sending)
                self._put(sending, "seen", self.model.seen(key, told))
            elif sending.status == 402 and request.kind != "received":
                apply = self.model.refused(amount, sending.told.get("balance"))
                self._put(sending, "refused", apply)

    def _effect(self, request: Request, amount: int, told: dict[str, Any], balance: Told) -> Apply:
        key, said = str(request.key), request.said
        match request.kind:
            case "refund":
                left = told.get("refundable")
                return self.model.give_back(key, said["of"], amount, balance, left)
            case "capture" | "release":
                return self.model.end_hold(key, said["of"], amount, balance)
            case "add":
                return self.model.move(key, amount)
            case kind:
                left = amount if kind in {"spend", "hold"} else 0
                return self.model.move(key, MOVES[kind] * amount, balance, left=left)

    def _add_failure(self, request: Request) -> None:
        """A generation that failed has given back what it cost, by when somebody saw it."""
        if request.key in self._ledger.failed:
            asked_at = min(each.asked_at for each in request.sendings.values())
            ended_at, amount = self._ends.get(str(request.key), math.inf), _amount(request)
            what, apply = ("fail", amount), self.model.fail(amount)
            self.found.append(Operation(asked_at, ended_at, what, apply, is_hidden=True))

    def _add_batch(self, request: Request) -> None:
        items = [(str(key), int(amount)) for key, amount in request.said["items"]]
        well, spent = request.well, set()
        for sending in well:
            told = sending.told["items"]
            outcomes = [
                Item(key, amount, each["outcome"], each["balance"])
                for (key, amount), each in zip(items, told, strict=True)
            ]
            self._put(sending, "batch", self.model.many(outcomes))
            spent |= {item.key for item in outcomes if item.outcome == "spent"}
        hidden = [
            Item(key, amount, "spent")
            for key, amount in items
            if key not in spent and key in self._ledger.done
        ]
        if len(request.unknown) <= 1:
            parts = [hidden] if hidden else []
        else:
            # Each may have been done by another sending, when there was enough for it.
            parts = [[item] for item in hidden]
        for part in parts:
            self._put_hidden(request, self.model.many(part))

    def _put(self, sending: Sending, what: Hashable, apply: Apply) -> None:
        times = (sending.asked_at, sending.ended_at)
        is_look = what in LOOKS
        self.found.append(Operation(*times, (what, id(sending)), apply, is_look=is_look))

    def _put_hidden(self, request: Request, apply: Apply) -> None:
        """Done by one of the sendings of which nobody was told."""
        asked_at = min(each.asked_at for each in request.sendings.values())
        ended_at = min((each.ended_at for each in request.well), default=math.inf)
        self.found.append(Operation(asked_at, ended_at, (request.kind, request.key), apply))


def _requests_of(history: History, owner: str) -> Iterator[Request]:
    for request in history.requests:
        if request.kind == "transfer" and request.said["to"] == owner:
            yield Request(
                *(request.n, owner, "received", request.key, request.said), request.sendings
            )
        elif request.owner == owner:
            yield request


def _ends_of(history: History, owner: str) -> dict[str, float]:
    """When it was first seen that a generation had failed, by the request that made it."""
    found: dict[str, float] = {}
    for request in history.of_kind("session"):
        if request.owner == owner:
            for sending in request.well:
                if sending.told["status"] == "failed":
                    of = request.said["of"]
                    found[of] = min(sending.ended_at, found.get(of, math.inf))
    return found


def _is_first(request: Request, sending: Sending) -> bool:
    """Whether it was told that it is done now, not before.

    The door of end users does not say which: so one that was sent once alone is.
    """
    if request.kind == "create" and request.owner.startswith("user:"):
        return len(request.sendings) == 1
    return not sending.replayed


def _amount(request: Request) -> int:
    if request.kind == "release":
        return 0
    if request.kind == "create":
        costs: Iterable[int] = (each.told.get("credits_charged", PRICE) for each in request.well)
        return max(costs, default=PRICE)
    return int(request.said["amount"])


def _balance(request: Request, sending: Sending) -> Told:
    names: dict[str, str] = {"transfer": "from_balance", "received": "to_balance"}
    told: Told = sending.told.get(names.get(request.kind, "balance"))
    return told
