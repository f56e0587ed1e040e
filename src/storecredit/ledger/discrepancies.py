"""The closed list of what `storecredit verify` can find wrong, and its report."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class DiscrepancyKind(StrEnum):
    """Everything that can be wrong. A deduction may be of credits or of overage, if not said."""

    # The ledger as a whole.
    MOVEMENTS_MISSING = "movements_missing"
    """There are fewer movements from before the last verification than it had counted."""
    UNGUARDED = "unguarded"
    """Somebody may write credits around the functions, or the application may not do its work."""
    WRONG_BUCKET = "wrong_bucket"
    """An owner, its account or an API key is in another bucket than the directory, or the account's
    number, says: nobody finds it there."""
    # An owner and its account.
    STORE_WITHOUT_ACCOUNT = "store_without_account"
    ACCOUNT_WITHOUT_STORE = "account_without_store"
    USER_WITHOUT_ACCOUNT = "user_without_account"
    ACCOUNT_WITHOUT_USER = "account_without_user"
    IMPOSSIBLE_ACCOUNT = "impossible_account"
    MOVEMENTS_WITHOUT_ACCOUNT = "movements_without_account"
    HELD_MISMATCH = "held_mismatch"
    """An account holds more or fewer credits than its open holds are of."""
    EXPIRY_NOT_EXPECTED = "expiry_not_expected"
    """A grant or hold ends before the account expects anything to: the sweep comes late."""
    # A movement and the one before it: what stands after it does not follow.
    SEQ_GAP = "seq_gap"
    RUNNING_BALANCE = "running_balance"
    TOTAL_SPENT = "total_spent"
    TOTAL_CLAWED_BACK = "total_clawed_back"
    OVERAGE_USED = "overage_used"
    CREDITS_HELD = "credits_held"
    TOTAL_EXPIRED = "total_expired"
    TOTAL_REMOVED = "total_removed"
    # A movement and the one before it: what each grant has left does not follow.
    GRANTS_LEFT = "grants_left"
    GRANTS_UNTOLD = "grants_untold"
    """Something tells the credits apart, but the movement does not say what each grant has left."""
    SPENDING_ORDER = "spending_order"
    """Credits were not taken in the order in which they are spent."""
    EXPIRED_EARLY = "expired_early"
    """A grant or a hold was ended before its time was over."""
    USED_THOUGH_EXPIRED = "used_though_expired"
    """Credits of a grant or a hold moved after its time was over, other than by its expiry."""
    # A movement alone.
    IMPOSSIBLE_MOVEMENT = "impossible_movement"
    UNKNOWN_TYPE = "unknown_type"
    TYPE_NOT_OF_OWNER = "type_not_of_owner"
    """A type of movement that an owner of this kind cannot have."""
    # A movement and the others of its request.
    REFUND_WITHOUT_DEDUCTION = "refund_without_deduction"
    REFUND_BEFORE_DEDUCTION = "refund_before_deduction"
    REFUND_EXCEEDS_DEDUCTION = "refund_exceeds_deduction"
    CHARGED_TWICE = "charged_twice"
    """One request took credits and used overage as well."""
    REFUNDED_TWICE = "refunded_twice"
    """One request's deduction was given back in two ways."""
    OVERAGE_REFUND_WITHOUT_OVERAGE = "overage_refund_without_overage"
    """What was given back as overage had not been overage."""
    REFUNDED_THOUGH_BILLED = "refunded_though_billed"
    """Overage was taken off the overage used after it had been billed: the store pays for it."""
    CREDITED_THOUGH_UNBILLED = "credited_though_unbilled"
    """Overage was given back as credits before it was billed: the store has it twice."""
    # A movement and the generation it belongs to.
    DEDUCTION_WITHOUT_SESSION = "deduction_without_session"
    GENERATION_AMOUNT = "generation_amount"
    SESSION_MISMATCH = "session_mismatch"
    COMPLETED_BUT_REFUNDED = "completed_but_refunded"
    OPEN_BUT_REFUNDED = "open_but_refunded"
    # A generation session.
    SESSION_WITHOUT_DEDUCTION = "session_without_deduction"
    FAILED_BUT_NOT_REFUNDED = "failed_but_not_refunded"
    IMPOSSIBLE_SESSION = "impossible_session"
    ARCHIVED_BUT_PRESENT = "archived_but_present"
    """A session that was archived, and removed with that, stands in its table again."""
    ARCHIVE_MISMATCH = "archive_mismatch"
    """Of more or fewer sessions it is kept that they are in an archive than were put there."""
    # The terms of a grant, a hold, a spend, a transfer.
    MOVEMENT_WITHOUT_GRANT = "movement_without_grant"
    GRANT_WITHOUT_MOVEMENT = "grant_without_movement"
    GRANT_AMOUNT = "grant_amount"
    """A grant's terms are of another amount than its movement."""
    IMPOSSIBLE_GRANT = "impossible_grant"
    MOVEMENT_WITHOUT_HOLD = "movement_without_hold"
    HOLD_WITHOUT_MOVEMENT = "hold_without_movement"
    HOLD_MISMATCH = "hold_mismatch"
    """A hold's credits or place in the ledger are not those of its movement."""
    HOLD_END_MISMATCH = "hold_end_mismatch"
    """A hold did not end as its movements say, or more than once."""
    IMPOSSIBLE_HOLD = "impossible_hold"
    SPEND_WITHOUT_DEDUCTION = "spend_without_deduction"
    TRANSFER_MISMATCH = "transfer_mismatch"
    """A transfer went out of an account and into none, or the other way round."""
    # A record of money and the ledger.
    BILL_AMOUNT = "bill_amount"
    """A bill closes more or less overage than was used since the one before."""
    BILL_MISMATCH = "bill_mismatch"
    """A bill's credits, month or request are not those of its movement."""
    BILL_OUT_OF_ORDER = "bill_out_of_order"
    """A bill was closed before that of an earlier month."""
    BILL_WITHOUT_MOVEMENT = "bill_without_movement"
    MOVEMENT_WITHOUT_BILL = "movement_without_bill"
    TOP_UP_WITHOUT_PAYMENT = "top_up_without_payment"
    """A top-up was charged, and no payment of it is booked."""
    PAYMENT_NOT_BOOKED = "payment_not_booked"
    """The ledger has no movement for a payment, or one of other credits."""
    CLAWBACK_NOT_BOOKED = "clawback_not_booked"
    """A clawback took anything else than its movement in the ledger says."""
    # The sums of hours and days, and what they are of.
    SUM_MISMATCH = "sum_mismatch"
    """What charts show of an hour or a day is not what its movements come to, or by what balance an
    account is listed not what it had."""
    SUMMED_TOO_FAR = "summed_too_far"
    """More movements of an account count as counted than there are."""
    MONEY_SUM_MISMATCH = "money_sum_mismatch"
    """What charts show of a day's money is not what its payments come to."""
    # The ledger, its chains, and what was signed of them.
    MOVEMENT_CHANGED = "movement_changed"
    """A movement is not what it was when it was chained."""
    MOVEMENT_REMOVED = "movement_removed"
    """A movement that was chained is not there."""
    MOVEMENT_ADDED = "movement_added"
    """A movement stands among others that were chained without it."""
    MOVEMENTS_REORDERED = "movements_reordered"
    """Movements changed places since they were chained."""
    CHAIN_REWRITTEN = "chain_rewritten"
    """A part of an account's chain is not what the service wrote."""
    CHECKPOINT_MISMATCH = "checkpoint_mismatch"
    """Chains are not what was signed."""
    CHECKPOINT_FORGED = "checkpoint_forged"
    """A checkpoint is not what was signed, or by a key that is not known."""
    CHECKPOINT_MISSING = "checkpoint_missing"
    """A checkpoint that was made is not there."""


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One thing that is wrong, and where: at a store or at an end user; the other is None.

    Both are None where no owner is known. `detail` is a sentence with the numbers.
    """

    kind: DiscrepancyKind
    store_id: UUID | None
    user_id: UUID | None
    seq: int | None
    request_id: str | None
    session_id: UUID | None
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What there is, and what is wrong; `truncated`: more than is named.

    `movements` and `sessions` are the stores'; the end users' are counted apart, by the newest
    `seq` of each. `archived_sessions` are all that are in the archive, and are not counted there.
    `signatures`: of how many checkpoints the signature was looked at; without a key, of none.
    """

    stores: int
    movements: int
    sessions: int
    users: int
    user_movements: int
    user_sessions: int
    archived_sessions: int
    payments: int
    checkpoints: int
    signatures: int
    discrepancies: tuple[Discrepancy, ...]
    truncated: bool

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.discrepancies
