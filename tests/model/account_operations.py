"""What can be done to an account: each as a call of the ledger, and as what the model says of it.

`send` returns what the caller is told, `expect` does the same to the model and returns what should
have been told.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from storecredit.postgres.servers import Connection
from tests.model.account_model import NEVER, AccountModel, Hold, Spend, credits_in

Told = tuple[object, ...]
FINGERPRINT = b"f"


@dataclass(frozen=True)
class Clock:
    """At `now` the model has `hour`; a moment is the same whenever it is asked for."""

    now: datetime
    hour: float

    def moment(self, hour: int) -> datetime:
        """When the model has a later hour."""
        return self.now + timedelta(hours=hour - self.hour)

    def seconds_until(self, hour: int) -> int:
        """Until just before it, so that a hold ends before the grants of the hour."""
        return int((hour - self.hour) * 3600) - 60


class Operation(Protocol):
    """One call."""

    async def send(self, connection: Connection, account_id: int) -> Told: ...

    def expect(self, model: AccountModel) -> Told: ...


@dataclass(frozen=True)
class Add:
    """A grant."""

    name: str
    amount: int
    clock: Clock
    expires: int | None = NEVER
    priority: int = 100
    is_promo: bool = False
    rollover: tuple[int, int] | None = None

    async def send(self, connection: Connection, account_id: int) -> Told:
        return (
            await connection.fetchval(
                """SELECT add_to_account($1, $2, 'grant', $3, p_expires_at => $4, p_kind => $5,
                    p_priority => $6, p_rollover_max => $7, p_rollover_until => $8)""",
                account_id,
                self.amount,
                self.name,
                None if self.expires is NEVER else self.clock.moment(self.expires),
                "promo" if self.is_promo else "paid",
                self.priority,
                self.rollover and self.rollover[0],
                self.rollover and self.clock.moment(self.rollover[1]),
            ),
        )

    def expect(self, model: AccountModel) -> Told:
        lot = model.add(
            self.amount,
            self.expires,
            priority=self.priority,
            is_promo=self.is_promo,
            rollover=self.rollover,
        )
        if lot:
            model.lot_of[self.name] = lot
        return (True,)


@dataclass(frozen=True)
class Take:
    """A spend, or the same again."""

    name: str
    amount: int

    async def send(self, connection: Connection, account_id: int) -> Told:
        row = await connection.fetchrow(
            "SELECT * FROM spend_credits($1, $2, $3, $4, NULL, NULL)",
            [account_id], [self.amount], [self.name], [FINGERPRINT],
        )  # fmt: skip
        assert row is not None
        return (row["outcomes"][0], row["balances"][0])

    def expect(self, model: AccountModel) -> Told:
        known = model.spends.get(self.name)
        if known or self.name in model.holds or self.name in model.refunds:
            is_same = known and known.amount == self.amount
            is_replay = is_same and not (known and known.is_capture)
            return ("replayed" if is_replay else "conflict", model.balance)
        taken = model.take(self.amount)
        if taken is None:
            return ("insufficient", model.balance)
        model.spends[self.name] = Spend(self.amount, taken)
        return ("spent", model.balance)


@dataclass(frozen=True)
class RefundPart:
    """A part of a spend; all that is left where the amount is None."""

    name: str
    spend: str
    amount: int | None

    async def send(self, connection: Connection, account_id: int) -> Told:
        row = await connection.fetchrow(
            "SELECT * FROM refund_spends($1, $2, $3, $4)",
            [account_id], [self.spend], [self.name], [self.amount],
        )  # fmt: skip
        assert row is not None
        return (row["outcomes"][0], row["amounts"][0], row["refundables"][0], row["balances"][0])

    def expect(self, model: AccountModel) -> Told:
        spend = model.spends.get(self.spend)
        if spend is None:
            return ("no_spend", None, None, model.balance)
        left = credits_in(spend.left)
        if self.name in model.refunds:
            of, before = model.refunds[self.name]
            same = of == self.spend and self.amount in {None, before}
            return (
                "replayed" if same else "conflict",
                before if same else 0,
                left,
                model.balance,
            )
        if self.name == self.spend:
            is_taken = spend.is_returned
        else:
            is_taken = self.name in model.spends or self.name in model.holds
        if is_taken:
            return ("conflict", 0, left, model.balance)
        asked = left if self.amount is None else self.amount
        if asked > left or left == 0:
            return ("exceeds_spend", 0, left, model.balance)
        model.refund(spend, asked)
        model.refunds[self.name] = (self.spend, asked)
        spend.is_returned |= self.name == self.spend
        return ("refunded", asked, left - asked, model.balance)


@dataclass(frozen=True)
class RefundOnce:
    """A spend given back under its own id."""

    name: str
    amount: int

    async def send(self, connection: Connection, account_id: int) -> Told:
        row = await connection.fetchrow(
            "SELECT * FROM refund_to_accounts($1, $2, $3, NULL)",
            [account_id], [self.amount], [self.name],
        )  # fmt: skip
        assert row is not None
        return (row["outcomes"][0], row["balances"][0])

    def expect(self, model: AccountModel) -> Told:
        spend = model.spends.get(self.name)
        if spend is None or spend.is_capture:
            outcome = "no_deduction"
        elif self.amount > spend.amount:
            outcome = "exceeds_deduction"
        elif spend.is_returned:
            outcome = "already_refunded"
        elif self.amount > credits_in(spend.left):
            outcome = "exceeds_deduction"
        else:
            outcome = "refunded"
            model.refund(spend, self.amount)
            spend.is_returned = True
        return (outcome, model.balance)


@dataclass(frozen=True)
class SetAside:
    """A hold until the hour `expires`."""

    name: str
    hold_id: UUID
    amount: int
    clock: Clock
    expires: int

    async def send(self, connection: Connection, account_id: int) -> Told:
        row = await connection.fetchrow(
            "SELECT * FROM hold_credits($1, $2, $3, $4, $5, $6, NULL, NULL)",
            [account_id], [self.hold_id], [self.amount], [self.name], [FINGERPRINT],
            [self.clock.seconds_until(self.expires)],
        )  # fmt: skip
        assert row is not None
        return (row["outcomes"][0], row["balances"][0])

    def expect(self, model: AccountModel) -> Told:
        taken = model.take(self.amount)
        if taken is None:
            return ("insufficient", model.balance)
        model.holds[self.name] = Hold(self.expires, self.amount, taken)
        return ("held", model.balance)


@dataclass(frozen=True)
class EndHold:
    """A capture of so many, of all where the amount is None; or a release."""

    name: str
    hold_id: UUID
    action: str
    amount: int | None = None

    async def send(self, connection: Connection, account_id: int) -> Told:
        row = await connection.fetchrow(
            "SELECT * FROM end_holds($1, $2, $3, $4)",
            [account_id], [self.hold_id], [self.action], [self.amount],
        )  # fmt: skip
        assert row is not None
        return (
            row["outcomes"][0], row["statuses"][0], row["captureds"][0], row["balances"][0],
        )  # fmt: skip

    def expect(self, model: AccountModel) -> Told:
        hold = model.holds.get(self.name)
        if hold is None:
            return ("not_found", None, None, model.balance)
        wanted = 0
        if self.action == "capture":
            wanted = hold.amount if self.amount is None else self.amount
        outcome = "hold_ended"
        if hold.status == "held" and wanted > hold.amount:
            outcome = "exceeds_hold"
        elif hold.status == "held":
            outcome = "ended"
            status = "captured" if self.action == "capture" else "released"
            model.end_hold(self.name, wanted, status, model.hour)
        elif hold.status != "expired" and hold.captured == wanted:
            outcome = "replayed"
        return (outcome, hold.status, hold.captured, model.balance)


@dataclass(frozen=True)
class Remove:
    """Credits that the operator takes out."""

    name: str
    amount: int

    async def send(self, connection: Connection, account_id: int) -> Told:
        row = await connection.fetchrow(
            "SELECT * FROM remove_from_account($1, $2, $3, 'by hand', 'somebody')",
            account_id, self.amount, self.name,
        )  # fmt: skip
        assert row is not None
        return (row["outcome"], row["balance"])

    def expect(self, model: AccountModel) -> Told:
        taken = model.take(self.amount)
        return ("insufficient" if taken is None else "removed", model.balance)


@dataclass(frozen=True)
class ClawBack:
    """Credits taken back, those of one grant that expires first."""

    name: str
    amount: int
    origin: str | None

    async def send(self, connection: Connection, account_id: int) -> Told:
        return (
            await connection.fetchval(
                "SELECT claw_back_from_account($1, $2, $3, p_origin_request_id => $4)",
                account_id, self.amount, self.name, self.origin,
            ),
        )  # fmt: skip

    def expect(self, model: AccountModel) -> Told:
        taken = min(self.amount, model.balance)
        model.take(taken, model.lot_of.get(self.origin or ""))
        return (taken,)


@dataclass(frozen=True)
class Reissue:
    """What is left of a grant that expires gets another end."""

    name: str
    clock: Clock
    expires: int

    async def send(self, connection: Connection, account_id: int) -> Told:
        row = await connection.fetchrow(
            """SELECT e.* FROM movements m,
                   set_grant_expiry($1, m.seq, $3, 'by hand', 'somebody') e
               WHERE m.account_id = $1 AND m.request_id = $2 AND m.type = 'grant'""",
            account_id,
            self.name,
            self.clock.moment(self.expires),
        )
        return (None,) if row is None else (row["outcome"], row["credits"])

    def expect(self, model: AccountModel) -> Told:
        lot = model.lot_of.get(self.name)
        if lot is None:
            return (None,)
        left = lot.left
        if left == 0:
            # Asked again, it tells of the grant that took its place.
            other = lot.stands_for
            if other is None:
                return ("ended", 0)
            is_same = other.left > 0 and other.expires == self.expires
            return ("set" if is_same else "ended", other.left)
        if lot.expires == self.expires:
            return ("set", left)
        lot.left = 0
        lot.stands_for = model.add(
            left,
            self.expires,
            priority=lot.priority,
            is_promo=lot.is_promo,
            rollover=lot.rollover if lot.rollover and lot.rollover[1] > self.expires else None,
        )
        return ("set", left)
