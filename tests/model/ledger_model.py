"""The ledger in plain Python: what the SQL functions should answer and leave behind.

One account at a time, no locks, no tables; written from the rules in ARCHITECTURE.md, not from
the SQL. A batch is its items one after the other, but that what an item was refused for stays
refused within the batch.
Everything but the overage limit and the prices of bills follows from the movements.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from storecredit.ledger.outcomes import CreditError
from storecredit.ledger.owners import Owner, OwnerKind
from tests.model.tables import BillRow, MovementRow, SessionRow, Totals

GIVE = {"refund", "purchase", "subscription", "grant", "signup_bonus", "overage_credit"}
TAKE = {"deduction", "clawback"}
CHARGES = ("deduction", "overage")
RETURNS = ("refund", "overage_refund", "overage_credit")
ADDITIONS = {
    OwnerKind.STORE: ("purchase", "subscription", "grant"),
    OwnerKind.USER: ("purchase", "signup_bonus", "grant"),
}
OVERAGE_LIMIT_MAX = {OwnerKind.STORE: 2**31 - 1, OwnerKind.USER: 0}

Created = tuple[str, UUID | None, str | None, int, str | None, int | None]
"""What a create answers: outcome, session, its status, balance, what it was charged as, credits."""


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
    credits: int
    content: bytes
    status: str = "queued"
    attempts: int = 0
    result_key: str | None = None
    error_code: str | None = None

    @property
    def is_open(self) -> bool:
        return self.status in {"queued", "processing"}

    @property
    def row(self) -> SessionRow:
        return SessionRow(
            *(self.request_id, self.credits, self.status),
            *(self.attempts, self.result_key, self.error_code),
        )


@dataclass(slots=True)
class AccountModel:
    """One account: its movements, from which almost everything follows, and its sessions."""

    owner: Owner
    rows: list[MovementRow] = field(default_factory=list)
    bills: list[BillRow] = field(default_factory=list)
    overage_limit: int = 0
    sessions: dict[UUID, SessionModel] = field(default_factory=dict)
    moved: Counter[str] = field(default_factory=Counter)
    """Credits by type of movement."""

    def total(self, *types: str) -> int:
        return sum(self.moved[type_] for type_ in types)

    @property
    def balance(self) -> int:
        return self.total(*GIVE) - self.total(*TAKE)

    @property
    def spent(self) -> int:
        return self.total("deduction") - self.total("refund")

    @property
    def overage_used(self) -> int:
        return self.total("overage") - self.total("overage_refund", "overage_bill")

    @property
    def totals(self) -> Totals:
        return Totals(
            balance=self.balance,
            added=self.total(*ADDITIONS[self.owner.kind], "overage_credit"),
            spent=self.spent,
            clawed_back=self.total("clawback"),
            last_seq=len(self.rows),
        )

    def movement(self, request_id: str, *types: str) -> MovementRow | None:
        found = [row for row in self.rows if row.request_id == request_id and row.type in types]
        assert len(found) <= 1
        return found[0] if found else None

    def move(
        self, type_: str, amount: int, request_id: str, session_id: UUID | None = None
    ) -> None:
        row = MovementRow(len(self.rows) + 1, type_, amount, request_id, session_id)
        self.rows.append(row)
        self.moved[type_] += amount
        assert min(self.balance, self.spent, self.overage_used) >= 0
        self.rows[-1] = row._replace(
            balance_after=self.balance,
            spent_after=self.spent,
            clawed_back_after=self.total("clawback") or None,
            overage_used_after=self.overage_used or None,
        )

    def add(self, amount: int, type_: str, request_id: str) -> bool:
        check_amount(amount)
        check_request_id(request_id)
        if type_ not in ADDITIONS[self.owner.kind]:
            raise Refused(CreditError.INVALID_TYPE)
        # No request brings the starter credits: under its id they stand beside what others bring.
        is_bonus = type_ == "signup_bonus"
        alike = [
            each for each in ADDITIONS[self.owner.kind] if (each == "signup_bonus") is is_bonus
        ]
        before = self.movement(request_id, *alike)
        if before is None:
            self.move(type_, amount, request_id)
        elif (before.type, before.amount) != (type_, amount):
            raise Refused(CreditError.REQUEST_CONFLICT)
        return before is None

    def claw_back(self, amount: int, request_id: str) -> int:
        check_amount(amount)
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
        if not 0 <= limit <= OVERAGE_LIMIT_MAX[self.owner.kind]:
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
        self.bills.append(
            BillRow(period, len(self.rows), used, used * unit_amount, "USD", request_id)
        )
        return True

    def deduct_many(self, items: list[tuple[int, str]]) -> list[tuple[str, int]]:
        refused: set[str] = set()
        return [(self._charge(*item, refused), self.balance) for item in items]

    def _charge(
        self, amount: int, request_id: str, refused: set[str], session_id: UUID | None = None
    ) -> str:
        before = self.movement(request_id, *CHARGES)
        if before is not None:
            return "already_deducted" if before.amount == amount else "conflict"
        if request_id in refused:
            return "insufficient"
        if amount <= self.balance:
            self.move("deduction", amount, request_id, session_id)
            return "deducted"
        if self.balance == 0 and self.overage_used + amount <= self.overage_limit:
            self.move("overage", amount, request_id, session_id)
            return "overage"
        refused.add(request_id)
        return "insufficient"

    def deduct(self, amount: int, request_id: str) -> bool:
        check_amount(amount)
        check_request_id(request_id)
        ((outcome, _),) = self.deduct_many([(amount, request_id)])
        if outcome == "conflict":
            raise Refused(CreditError.REQUEST_CONFLICT)
        return outcome != "insufficient"

    def refund_many(self, items: list[tuple[int, str]]) -> list[tuple[str, int]]:
        return [(self._return(*item), self.balance) for item in items]

    def _return(self, amount: int, request_id: str) -> str:
        taken = self.movement(request_id, *CHARGES)
        if taken is None:
            return "no_deduction"
        if amount > taken.amount:
            return "exceeds_deduction"
        if self.movement(request_id, *RETURNS) is not None:
            return "already_refunded"
        self.move(self._way_back_of(taken), amount, request_id, taken.session_id)
        return "refunded"

    def _way_back_of(self, taken: MovementRow) -> str:
        if taken.type == "deduction":
            return "refund"
        billed = any(row.type == "overage_bill" for row in self.rows[taken.seq :])
        return "overage_credit" if billed else "overage_refund"

    def refund(self, amount: int, request_id: str) -> bool:
        check_amount(amount)
        ((outcome, _),) = self.refund_many([(amount, request_id)])
        if outcome == "no_deduction":
            raise Refused(CreditError.NO_DEDUCTION)
        if outcome == "exceeds_deduction":
            raise Refused(CreditError.REFUND_EXCEEDS_DEDUCTION)
        return outcome == "refunded"

    def create_many(self, items: list[tuple[UUID, str, int, bytes]]) -> list[Created]:
        refused: set[str] = set()
        return [self._create(*item, refused) for item in items]

    def _create(
        self, session_id: UUID, request_id: str, price: int, content: bytes, refused: set[str]
    ) -> Created:
        charged = self._charge(price, request_id, refused, session_id)
        if charged == "insufficient":
            return "insufficient", None, None, self.balance, None, price
        if charged in {"deducted", "overage"}:
            self.sessions[session_id] = SessionModel(session_id, request_id, price, content)
        movement = self.movement(request_id, *CHARGES)
        assert movement is not None
        # What a direct call had taken has no session.
        session = self.sessions[movement.session_id] if movement.session_id else None
        if session is None:
            return "conflict", None, None, self.balance, None, None
        if session.content != content:
            return "conflict", session.session_id, session.status, self.balance, None, None
        outcome = "created" if charged in {"deducted", "overage"} else "replayed"
        charged_as = "balance" if movement.type == "deduction" else "overage"
        made = (session.session_id, session.status, self.balance, charged_as, session.credits)
        return outcome, *made

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

    def complete_many(self, items: list[tuple[UUID, str]]) -> list[str]:
        """Where a session stands twice, its first item decides, and all answer from the end."""
        for item in items:
            self._complete(*item)
        return [self._complete(*item) for item in items]

    def _complete(self, session_id: UUID, result_key: str) -> str:
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

    def fail_many(self, items: list[tuple[UUID, str]]) -> list[tuple[str, int | None]]:
        """What became of each, and the credits that went back for it."""
        return [self._fail(*item) for item in items]

    def _fail(self, session_id: UUID, error_code: str) -> tuple[str, int | None]:
        session = self.sessions.get(session_id)
        if session is None:
            return "not_found", None
        if not session.is_open:
            return f"already_{session.status}", None
        session.status, session.error_code = "failed", error_code
        self._return(session.credits, session.request_id)
        return "failed", session.credits

    def forget(self, session_id: UUID) -> bool:
        session = self.sessions.get(session_id)
        if session is None or session.result_key is None:
            return False
        session.result_key = None
        return True


def check_amount(amount: int) -> None:
    if amount < 1:
        raise Refused(CreditError.INVALID_AMOUNT)


def check_request_id(request_id: str) -> None:
    if not 1 <= len(request_id) <= 200:
        raise Refused(CreditError.INVALID_REQUEST_ID)
