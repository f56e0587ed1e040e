"""What of the system before does not fit here, and what an import makes of it.

Each kind is found in SQL (sql/functions/import/findings.sql), and said here; docs/moving.md shows
the same list, and a test holds the three together.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID


class FindingKind(StrEnum):
    """What does not fit."""

    OWNER_HAS_MOVEMENTS = "owner_has_movements"
    KEY_TAKEN = "key_taken"
    BALANCE_MISMATCH = "balance_mismatch"
    BALANCE_MISSING = "balance_missing"
    NEGATIVE_BALANCE = "negative_balance"
    LEDGER_BELOW_ZERO = "ledger_below_zero"
    REFUND_WITHOUT_DEDUCTION = "refund_without_deduction"
    REFUND_WITHOUT_REQUEST = "refund_without_request"
    EQUAL_REQUEST_IDS = "equal_request_ids"
    UNUSABLE_REQUEST_ID = "unusable_request_id"
    UNKNOWN_TYPE = "unknown_type"
    WRONG_SIGN = "wrong_sign"
    ADDRESS_IN_DESCRIPTION = "address_in_description"
    SESSION_UNDER_WAY = "session_under_way"
    SESSION_WITHOUT_CHARGE = "session_without_charge"
    UNKNOWN_STATUS = "unknown_status"
    UNKNOWN_OWNER = "unknown_owner"
    UNKNOWN_TIER = "unknown_tier"
    UNUSABLE_KEY = "unusable_key"
    EQUAL_KEYS = "equal_keys"
    UNUSABLE_DOMAIN = "unusable_domain"
    CHANGED_SINCE = "changed_since"


WHAT_FOLLOWS: Final = {
    FindingKind.OWNER_HAS_MOVEMENTS: "The account has credits of its own here. Nothing at all is "
    "imported until it is settled.",
    FindingKind.KEY_TAKEN: "Another store has this API key here. Nothing at all is imported until "
    "it is settled.",
    FindingKind.BALANCE_MISMATCH: "The balance is not what its ledger comes to. The balance "
    "counts; with --history an opening or a correction makes the difference.",
    FindingKind.BALANCE_MISSING: "There is a ledger and no balance. What the ledger comes to "
    "counts, and not less than 0.",
    FindingKind.NEGATIVE_BALANCE: "The balance is below 0. It is imported as 0; what is owed stays "
    "with the system before.",
    FindingKind.LEDGER_BELOW_ZERO: "The ledger falls below 0 on its way. With --history an opening "
    "comes before it, so that it does not.",
    FindingKind.REFUND_WITHOUT_DEDUCTION: "A refund gives back what was not deducted before, or "
    "more. With --history it is a grant.",
    FindingKind.REFUND_WITHOUT_REQUEST: "A refund bears no request id, so nobody can say of what. "
    "With --history it is a grant.",
    FindingKind.EQUAL_REQUEST_IDS: "Several movements of one type have one request id. With "
    "--history the first keeps it, the others have import:<id>.",
    FindingKind.UNUSABLE_REQUEST_ID: "A request id is empty, longer than 200 characters, or begins "
    "with import:. With --history the movement has import:<id>.",
    FindingKind.UNKNOWN_TYPE: "A movement has a type that there is not. With --history it is a "
    "grant if credits came in, else a removal.",
    FindingKind.WRONG_SIGN: "A movement has a sign, or an owner, that its type cannot have. With "
    "--history it is a grant if credits came in, else a removal.",
    FindingKind.ADDRESS_IN_DESCRIPTION: "A description holds an e-mail address. With --history "
    "[address] stands in its place.",
    FindingKind.SESSION_UNDER_WAY: "A generation is under way. It is imported as failed, and its "
    "credits come back.",
    FindingKind.SESSION_WITHOUT_CHARGE: "A generation is under way, and nothing is known to come "
    "back for it. It is imported as failed.",
    FindingKind.UNKNOWN_STATUS: "A generation has a status that there is not. It is imported as "
    "failed, and nothing comes back.",
    FindingKind.UNKNOWN_OWNER: "Rows of a store that stores does not have. They are left out.",
    FindingKind.UNKNOWN_TIER: "A store has a tier that STORECREDIT_RATE_LIMITS does not name. It "
    "is imported with the tier default.",
    FindingKind.UNUSABLE_KEY: "The hash of an API key is no SHA-256 in hexadecimal digits. The key "
    "is left out.",
    FindingKind.EQUAL_KEYS: "Several keys have one hash. The oldest is imported.",
    FindingKind.UNUSABLE_DOMAIN: "A key lists a domain that is no web origin. The key is imported "
    "without it.",
    FindingKind.CHANGED_SINCE: "The owner was imported before, and has another balance there now. "
    "Nothing of it is changed here.",
}
"""Of each kind what it is and what becomes of it, in the order in which they are told."""
REFUSED: Final = frozenset({FindingKind.OWNER_HAS_MOVEMENTS, FindingKind.KEY_TAKEN})
"""With one of these nothing is imported."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One of them. `owner_kind` and `owner_id`: whose it is; `detail`: a sentence with numbers."""

    kind: FindingKind
    owner_kind: str
    owner_id: UUID
    detail: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Some of each kind, and how many there are of each."""

    items: tuple[Finding, ...]
    counts: dict[FindingKind, int]

    @property
    def refuses(self) -> bool:
        """Whether nothing can be imported with them."""
        return not REFUSED.isdisjoint(self.counts)
