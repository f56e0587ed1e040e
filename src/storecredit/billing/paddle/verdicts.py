"""What an event can come to: a closed list."""

from dataclasses import dataclass

from storecredit.billing.paddle.messages import Transaction


@dataclass(frozen=True, slots=True)
class Processed:
    """It was booked, now or before."""

    note: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing follows from it; of what is not ours, the subscription and transaction it names."""

    reason: str
    foreign_subscription_id: str | None = None
    foreign_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """It does not fit our records; a person has to look at it.

    `subject`: what it is about, if the same may come again: together they are one problem.
    """

    reason: str
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class NotYet:
    """What it is about is not known yet: events arrive in any order."""

    reason: str


Verdict = Processed | Ignored | SetAside | NotYet


def booking(outcome: str, paid: Transaction) -> Verdict:
    """What a function's outcome says, that was to book a transaction."""
    match outcome:
        case "booked":
            return Processed()
        case "already_booked":
            return Processed("Booked before.")
        case "unknown_subscription":
            return NotYet(f"Subscription {paid.subscription_id} is not known (yet).")
        case "unknown_transaction" | "unknown_charge" | "mismatch":
            return SetAside(f"Transaction {paid.id} is not what was sold.")
        case "period_paid" | "charge_paid":
            return SetAside(
                f"Transaction {paid.id} pays what another transaction has paid: refund one of them."
            )
        case "conflict":
            return SetAside(
                f"Transaction {paid.id} was paid, but its request id has added other credits: "
                "add these under another one."
            )
        case _:
            raise AssertionError(f"a booking has no outcome {outcome}")
