"""A small history in which everything is as it ought to be, with its tables, to be spoiled.

A store spends, spends a batch, holds and captures, generates (one fails), gives credits to a user,
buys, and hears of it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from tests.torture.checking.conservation import EFFECTS, TOTALS, balance_of
from tests.torture.checking.tables import Tables

STORE: Final = "store:1"
USER: Final = "user:2"
VERIFIED: Final = '{"clean": true, "movements": 20}'
Line = dict[str, Any]


@dataclass(slots=True)
class Sound:
    """The lines of a record, and the tables."""

    lines: list[Line] = field(default_factory=list)
    rows: dict[str, list[Line]] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _moments: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def tables(self) -> Tables:
        return Tables(self.rows)

    def ask(
        self, kind: str, key: str | None, told: object, *, status: int = 201, **said: object
    ) -> int:
        """A request that is sent once, and answered."""
        number = next(self._numbers)
        named = {"n": number, "attempt": 1}
        owner = said.pop("owner", STORE)
        self._note("asked", **named, owner=owner, kind=kind, key=key, door=0, said=said)
        self._note("answered", **named, status=status, replayed=False, told=told)
        return number

    def _note(self, event: str, **said: object) -> None:
        self.lines.append({"event": event, "at": float(next(self._moments)), **said})

    def note(self, event: str, **said: object) -> None:
        """A line of another kind."""
        self._note(event, **said)

    def move(self, account_id: int, type_: str, amount: int, request_id: str, **more: Any) -> int:
        """A movement that follows from the one before; the balance after it."""
        rows = self.rows["movements"]
        before = [row for row in rows if row["account_id"] == account_id]
        last = before[-1] if before else {}
        totals = [last.get("added", 0), *(last.get(f"{name}_after") or 0 for name in TOTALS[1:])]
        for place, share in enumerate(EFFECTS[type_]):
            totals[place] += share * amount
        told = {f"{n}_after": v or None for n, v in zip(TOTALS[1:], totals[1:], strict=True)}
        rows.append(
            {
                "account_id": account_id,
                "seq": len(before) + 1,
                "type": type_,
                "amount": amount,
                "request_id": request_id,
                "session_id": None,
                "origin_seq": None,
                "balance_after": balance_of(totals),
                "added": totals[0],
                "grants_after": [1, balance_of(totals)] if balance_of(totals) else None,
                **told,
                **more,
            }
        )
        return balance_of(totals)

    def event(self, name: str, type_: str, **data: object) -> None:
        """An event that is told, and heard."""
        written = {"name": name, "account_id": 1, "type": type_, "data": json.dumps(data)}
        self.rows["events"].append(written)
        self._note("heard", who="store", id=name, type=type_, data=data)


TABLES: Final[Sequence[str]] = (
    *("accounts", "movements", "grants", "sessions", "holds", "events", "checkouts", "payments"),
    *("clawbacks", "keys", "endpoints", "charges"),
)


def sound_history() -> Sound:
    """Anew each time, as it is to be spoiled."""
    sound = Sound(rows={name: [] for name in TABLES})
    for account_id, kind in ((1, "store"), (2, "user")):
        sound.rows["accounts"].append(
            {"account_id": account_id, "owner_kind": kind, "owner_id": str(account_id)}
        )
        sound.rows["grants"].append({"account_id": account_id, "seq": 1, "amount": 500})
        sound.move(account_id, "grant", 100, f"opening-{account_id}")
        sound.note("opened", owner=f"{kind}:{account_id}", balance=100)
    _spend(sound)
    _hold(sound)
    _generate(sound)
    _hand_over(sound)
    _buy(sound)
    return sound


def _spend(sound: Sound) -> None:
    balance = sound.move(1, "deduction", 7, "s-1")
    sound.ask("spend", "s-1", {"amount": 7, "balance": balance}, amount=7)
    balance = sound.move(1, "refund", 3, "s-2", origin_seq=2)
    told = {"amount": 3, "refundable": 4, "balance": balance}
    sound.ask("refund", "s-2", told, of="s-1", amount=3)
    sound.ask("spend", "s-3", {"code": "INSUFFICIENT_CREDITS"}, status=402, amount=999)
    items = [("s-4", 5), ("s-5", 2)]
    answers = [
        {
            "request_id": key,
            "outcome": "spent",
            "amount": amount,
            "balance": sound.move(1, "deduction", amount, key),
        }
        for key, amount in items
    ]
    sound.ask("batch", "s-6", {"items": answers}, status=200, items=items)


def _hold(sound: Sound) -> None:
    balance = sound.move(1, "hold", 9, "h-1")
    told = {"hold_id": "H", "amount": 9, "balance": balance}
    sound.ask("hold", "h-1", told, amount=9)
    sound.move(1, "capture", 4, "h-1")
    balance = sound.move(1, "release", 5, "h-1")
    told = {"status": "captured", "captured": 4, "balance": balance}
    sound.ask("capture", "h-2", told, status=200, hold="H", of="h-1", amount=4)
    hold = {"account_id": 1, "hold_id": "H", "seq": 6, "amount": 9, "captured": 4}
    sound.rows["holds"].append({**hold, "status": "captured", "request_id": "h-1"})


def _generate(sound: Sound) -> None:
    for number, status in ((1, "completed"), (2, "failed")):
        key, session = f"g-{number}", f"S{number}"
        balance = sound.move(1, "deduction", 1, key, session_id=session)
        told = {"session_id": session, "credits_charged": 1, "balance": balance}
        sound.ask("create", key, told)
        if status == "failed":
            sound.move(1, "refund", 1, key, session_id=session)
        row = {"account_id": 1, "session_id": session, "status": status, "credits": 1}
        sound.rows["sessions"].append({**row, "request_id": key})
        sound.ask("session", None, {"status": status}, status=200, session=session, of=key)
        sound.event(f"evt_{number}", f"generation.{status}", session_id=session)


def _hand_over(sound: Sound) -> None:
    left = sound.move(1, "transfer_out", 10, "t-1")
    there = sound.move(2, "transfer_in", 10, "t-1")
    told = {"amount": 10, "from_balance": left, "to_balance": there}
    sound.ask("transfer", "t-1", told, amount=10, to=USER)
    sound.ask("balance", None, {"balance": left}, status=200)


def _buy(sound: Sound) -> None:
    """Last: what is bought is the effect of no request."""
    sound.rows["checkouts"].append(
        {"account_id": 1, "request_id": "b-1", "credits": 60, "provider_transaction_id": "txn"}
    )
    sound.ask("checkout", "b-1", {"transaction_id": "txn"})
    sound.note("paid", transaction="txn")
    sound.move(1, "purchase", 60, "b-1")
    payment = {"account_id": 1, "kind": "purchase", "credits": 60, "request_id": "b-1"}
    sound.rows["payments"].append({**payment, "provider_transaction_id": "txn"})
    balance = sound.rows["movements"][-1]["balance_after"]
    sound.event("evt_3", "credits.added", request_id="b-1", balance=balance)
