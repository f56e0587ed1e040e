"""What was found not to hold: which rule, and what of it."""

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """What must hold, whatever was killed."""

    ANSWERED_AS_DOCUMENTED = "an answer is done, refused, or come again"
    ACKNOWLEDGED_IS_RECORDED = "what was acknowledged is recorded, as it was told"
    ONE_EFFECT = "a request has one effect, and only one that was asked for"
    REFUSED_IS_NOTHING = "what was refused has no effect"
    ONE_END = "a session and a hold have one end, and everybody is told the same"
    CONSERVED = "credits are conserved, in total, per owner and per grant"
    FAILED_IS_REFUNDED = "what failed was given back, once, and what did not fail was not"
    MONEY_MATCHES = "credits were bought by payments that were made, and go with them"
    TOLD_AS_HAPPENED = "no event is told of what did not happen"
    VERIFIED = "the product's own proof finds nothing"
    LINEARIZABLE = "an owner's operations happened one after the other"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that does not hold."""

    rule: Rule
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"
