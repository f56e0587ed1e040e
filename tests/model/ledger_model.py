"""The ledger in plain Python: what the SQL functions should answer and leave behind.

One store at a time, no locks, no tables; written from the rules in ARCHITECTURE.md, not from
the SQL. A batch is its items one after the other, but that what an item was refused for stays
refused within the batch.
Everything but the overage limit and the prices of bills follows from the ledger's rows.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar
from uuid import UUID

from storecredit.ledger.outcomes import CreditError
from tests.sql.books import Beyond, Bill, Credits, Row

Item = TypeVar("Item")
Result = TypeVar("Result")

GIVE = {"refund", "purchase", "subscription", "grant", "overage_credit"}
TAKE = {"deduction", "clawback"}
ADDITIONS = ("purchase", "subscription", "grant")
OVERAGE_LIMIT_MAX = 2**31 - 1


class Refused(Exception):
    """The whole call is refused and nothing is written."""

    def __init__(self, error: CreditError) -> None:
        super().__init__(error.name)
        self.sqlstate = error.value


@dataclass(slots=True)
class SessionModel:
    """One generation session."""

    session_id: UUID
    request_id: str
    content: bytes
    status: str = "queued"
    attempts: int = 0
    result_key: str | None = None
    error_code: str | None = None

    @property
    def is_open(self) -> bool:
        return self.status in {"queued", "processing"}


@dataclass(slots=True)
class StoreModel:
    """One store: its ledger, from which almost everything follows, and its sessions."""

    rows: list[Row] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)
    overage_limit: int = 0
    sessions: dict[UUID, SessionModel] = field(default_factory=dict)

    def total(self, *types: str) -> int:
        return sum(row.amount for row in self.rows if row.type in types)

    @property
    def balance(self) -> int:
        return self.total(*GIVE) - self.total(*TAKE)

    @property
    def overage_used(self) -> int:
        return self.total("overage") - self.total("overage_refund", "overage_bill")

    @property
    def credits(self) -> Credits:
        purchased = self.total(*ADDITIONS, "overage_credit")
        spent = self.total("deduction") - self.total("refund")
        return Credits(self.balance, purchased, spent, len(self.rows))

    @property
    def beyond(self) -> Beyond:
        return Beyond(self.total("clawback"), self.overage_limit, self.overage_used)

    def movement(self, request_id: str, *types: str) -> Row | None:
        found = [row for row in self.rows if row.request_id == request_id and row.type in types]
        assert len(found) <= 1
        return found[0] if found else None

    def move(self, type_: str, amount: int, request_id: str) -> None:
        after = self.balance + amount * ((type_ in GIVE) - (type_ in TAKE))
        assert after >= 0
        self.rows.append(Row(len(self.rows) + 1, type_, amount, after, request_id))
        assert self.overage_used >= 0

    def add(self, amount: int, type_: str, request_id: str) -> bool:
        if amount < 1:
            raise Refused(CreditError.INVALID_AMOUNT)
        if type_ not in ADDITIONS:
            raise Refused(CreditError.INVALID_TYPE)
        check_request_id(request_id)
        before = self.movement(request_id, *ADDITIONS)
        if before is None:
            self.move(type_, amount, request_id)
        elif (before.type, before.amount) != (type_, amount):
            raise Refused(CreditError.REQUEST_CONFLICT)
        return before is None

    def claw_back(self, amount: int, request_id: str) -> int:
        if amount < 1:
            raise Refused(CreditError.INVALID_AMOUNT)
        check_request_id(request_id)
        before = self.movement(request_id, "clawback")
        if before is not None:
            if before.amount > amount:
                raise Refused(CreditError.REQUEST_CONFLICT)
            return before.amount
        taken = min(self.balance, amount)
        if taken > 0:
            self.move("clawback", taken, request_id)
        return taken

    def set_overage_limit(self, limit: int) -> bool:
        if not 0 <= limit <= OVERAGE_LIMIT_MAX:
            raise Refused(CreditError.INVALID_OVERAGE)
        self.overage_limit = limit
        return True

    def close_overage(self, period: date, unit_amount: int) -> bool:
        if period.day != 1 or unit_amount < 1:
            raise Refused(CreditError.INVALID_OVERAGE)
        used = self.overage_used
        if used == 0 or any(bill.period >= period for bill in self.bills):
            return False
        request_id = f"overage-{period:%Y-%m}"
        self.move("overage_bill", used, request_id)
        self.bills.append(Bill(period, len(self.rows), used, used * unit_amount, "USD", request_id))
        return True

    def deduct_many(self, items: list[tuple[int, str]]) -> list[tuple[str, int]]:
        for amount, request_id in items:
            if amount < 1:
                raise Refused(CreditError.INVALID_AMOUNT)
            check_request_id(request_id)
        refused: set[str] = set()
        return [(self._deduct(*item, refused), self.balance) for item in items]

    def _deduct(self, amount: int, request_id: str, refused: set[str]) -> str:
        before = self.movement(request_id, "deduction", "overage")
        if before is not None:
            return "already_deducted" if before.amount == amount else "conflict"
        if request_id in refused:
            return "insufficient"
        if amount <= self.balance:
            self.move("deduction", amount, request_id)
            return "deducted"
        if self.balance == 0 and self.overage_used + amount <= self.overage_limit:
            self.move("overage", amount, request_id)
            return "overage"
        refused.add(request_id)
        return "insufficient"

    def deduct(self, amount: int, request_id: str) -> bool:
        ((outcome, _),) = self.deduct_many([(amount, request_id)])
        if outcome == "conflict":
            raise Refused(CreditError.REQUEST_CONFLICT)
        return outcome != "insufficient"

    def refund_many(self, items: list[tuple[int, str]]) -> list[tuple[str, int]]:
        if any(amount < 1 for amount, _ in items):
            raise Refused(CreditError.INVALID_AMOUNT)
        return [(self._refund(*item), self.balance) for item in items]

    def _refund(self, amount: int, request_id: str) -> str:
        taken = self.movement(request_id, "deduction", "overage")
        if taken is None:
            return "no_deduction"
        if amount > taken.amount:
            return "exceeds_deduction"
        if self.movement(request_id, "refund", "overage_refund", "overage_credit") is not None:
            return "already_refunded"
        self.move(self._way_back_of(taken), amount, request_id)
        return "refunded"

    def _way_back_of(self, taken: Row) -> str:
        if taken.type == "deduction":
            return "refund"
        billed = any(row.type == "overage_bill" for row in self.rows[taken.seq :])
        return "overage_credit" if billed else "overage_refund"

    def refund(self, amount: int, request_id: str) -> bool:
        ((outcome, _),) = self.refund_many([(amount, request_id)])
        if outcome == "no_deduction":
            raise Refused(CreditError.NO_DEDUCTION)
        if outcome == "exceeds_deduction":
            raise Refused(CreditError.REFUND_EXCEEDS_DEDUCTION)
        return outcome == "refunded"

    def create_many(self, items: list[tuple[UUID, str, bytes]]) -> list[tuple[str, UUID | None]]:
        """One (outcome, session) each; the session of what is created or replayed."""
        for _, request_id, _ in items:
            check_request_id(request_id)
        refused: set[str] = set()
        return [self._create(*item, refused) for item in items]

    def _create(
        self, session_id: UUID, request_id: str, content: bytes, refused: set[str]
    ) -> tuple[str, UUID | None]:
        known = [each for each in self.sessions.values() if each.request_id == request_id]
        if known:
            (session,) = known
            same = session.content == content
            return ("replayed", session.session_id) if same else ("conflict", None)
        if self.movement(request_id, "deduction", "overage") is not None:
            return "conflict", None
        if self._deduct(1, request_id, refused) == "insufficient":
            return "insufficient", None
        self.sessions[session_id] = SessionModel(session_id, request_id, content)
        return "created", session_id

    def start_many(self, ids: list[UUID]) -> list[tuple[str, int | None]]:
        """One (outcome, attempt) each; the same session twice is one attempt."""
        sessions = [self.sessions.get(session_id) for session_id in ids]
        for session in {each.session_id: each for each in sessions if each}.values():
            if session.is_open:
                session.status, session.attempts = "processing", session.attempts + 1
        return [
            ("not_found", None)
            if session is None
            else ("started" if session.is_open else f"already_{session.status}", session.attempts)
            for session in sessions
        ]

    def complete(self, session_id: UUID, result_key: str) -> str:
        session = self.sessions.get(session_id)
        if session is None:
            return "not_found"
        if session.status == "queued":
            return "not_started"
        if session.status == "processing":
            session.status, session.result_key = "completed", result_key
        if session.status == "completed" and session.result_key == result_key:
            return "completed"
        return f"already_{session.status}"

    def fail(self, session_id: UUID, error_code: str) -> str:
        session = self.sessions.get(session_id)
        if session is None:
            return "not_found"
        if not session.is_open:
            return f"already_{session.status}"
        session.status, session.error_code = "failed", error_code
        self._refund(1, session.request_id)
        return "failed"

    def forget(self, session_id: UUID) -> bool:
        session = self.sessions.get(session_id)
        if session is None or session.result_key is None:
            return False
        session.result_key = None
        return True


def check_request_id(request_id: str) -> None:
    if not 1 <= len(request_id) <= 200:
        raise Refused(CreditError.INVALID_REQUEST_ID)


def across(
    models: dict[UUID, StoreModel],
    stores: Sequence[UUID],
    items: Sequence[Item],
    settle: Callable[[StoreModel, list[Item]], list[Result]],
) -> list[Result]:
    """Settle each store's part of a mixed batch; the outcomes come in the batch's order."""
    places: defaultdict[UUID, list[int]] = defaultdict(list)
    for place, store_id in enumerate(stores):
        places[store_id].append(place)
    outcomes: dict[int, Result] = {}
    for store_id, own in places.items():
        settled = settle(models[store_id], [items[place] for place in own])
        outcomes.update(zip(own, settled, strict=True))
    return [outcomes[place] for place in range(len(stores))]
