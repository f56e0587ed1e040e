"""What a movement of credits is, in words for whoever looks at a ledger.

Hides the descriptions that the ledger's own functions write (`Purchase: pay_as_you_go`): what they
say becomes words, with the names of the catalogue. What a caller wrote is its note, as it is. The
row itself stays what it was: the API and files have the type and the description.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from storecredit.billing.catalogue import PAY_AS_YOU_GO, Catalogue
from storecredit.ledger.outcomes import MovementType

NAMES: Final[dict[MovementType, str]] = {
    MovementType.DEDUCTION: "Spent",
    MovementType.REFUND: "Given back",
    MovementType.PURCHASE: "Bought",
    MovementType.SUBSCRIPTION: "Credits of a plan",
    MovementType.GRANT: "Granted",
    MovementType.SIGNUP_BONUS: "Starter credits",
    MovementType.CLAWBACK: "Taken back with their payment",
    MovementType.OVERAGE: "Spent beyond the balance",
    MovementType.OVERAGE_REFUND: "Given back of what was beyond",
    MovementType.OVERAGE_CREDIT: "Given back after it was billed",
    MovementType.OVERAGE_BILL: "Billed what was beyond",
    MovementType.HOLD: "Set aside",
    MovementType.CAPTURE: "Spent of what was set aside",
    MovementType.RELEASE: "No longer set aside",
    MovementType.HOLD_EXPIRY: "Set aside too long, and back",
    MovementType.EXPIRY: "Expired",
    MovementType.ROLLOVER: "Carried into the next period",
    MovementType.REISSUE: "Given another end",
    MovementType.REMOVAL: "Taken out",
    MovementType.TRANSFER_OUT: "Handed over",
    MovementType.TRANSFER_IN: "Received",
}
"""Each type, where no more is known."""
GENERATION, FAILED_GENERATION = "Image generation", "Image generation failed"
_WRITTEN: Final[dict[tuple[MovementType, str], str]] = {
    (MovementType.DEDUCTION, GENERATION): "Generation",
    (MovementType.OVERAGE, GENERATION): "Generation, beyond the balance",
    (MovementType.REFUND, FAILED_GENERATION): "Failed generation, given back",
    (MovementType.OVERAGE_REFUND, FAILED_GENERATION): "Failed generation, given back",
    (
        MovementType.OVERAGE_CREDIT,
        FAILED_GENERATION,
    ): "Failed generation, given back after its bill",
    (MovementType.PURCHASE, "Top-up"): "Bought at a low balance",
    (MovementType.GRANT, "Opening credits"): "Opening credits",
    (MovementType.GRANT, "Credits added"): "Granted",
    (MovementType.PURCHASE, "Credits added"): "Bought",
    (MovementType.SUBSCRIPTION, "Credits added"): "Credits of a plan",
    (MovementType.SIGNUP_BONUS, "Starter credits"): "Starter credits",
    (MovementType.CLAWBACK, "Refund"): "Taken back, as the payment was refunded",
    (MovementType.CLAWBACK, "Chargeback"): "Taken back, as the payment was charged back",
    (MovementType.CLAWBACK, "Downgrade"): "Taken back, as the plan is a smaller one now",
    (MovementType.EXPIRY, "Expired"): "Expired",
    (MovementType.ROLLOVER, "Carried into the next period"): "Carried into the next period",
}
"""What the ledger's functions write by themselves (`sql/functions/`)."""


class MovementWords(NamedTuple):
    """What a movement is, and what whoever made it wrote to it, or ""."""

    what: str
    note: str


def words_of(type_: MovementType, description: str, catalogue: Catalogue) -> MovementWords:
    """A movement in words. `catalogue`: where plans and packs have their names."""
    written = _WRITTEN.get((type_, description))
    if written is not None:
        return MovementWords(written, "")
    for kind, begins, say in _BEGINNINGS:
        if type_ is kind and description.startswith(begins):
            return MovementWords(say(description.removeprefix(begins), catalogue), "")
    return MovementWords(NAMES[type_], description)


def names_of(types: Iterable[MovementType | str]) -> list[tuple[str, str]]:
    """The types with their names, as choices of a form."""
    return [(str(each), NAMES[MovementType(each)]) for each in types]


def _bought(key: str, catalogue: Catalogue) -> str:
    """What was bought once: single credits, or a pack."""
    if key == PAY_AS_YOU_GO:
        return "Bought, single credits"
    pack = catalogue.pack(key)
    return f"Bought, the pack {pack.name if pack else _spoken(key)}"


def _subscribed(key: str, catalogue: Catalogue) -> str:
    """Credits of a month, by a plan that is on sale or was."""
    plan = catalogue.plan(key)
    return f"Credits of the plan {_spoken(plan.name if plan else key)}"


def _billed(month: str, _catalogue: Catalogue) -> str:
    return f"Billed what was beyond in {month}"


def _spoken(key: str) -> str:
    return key.replace("_", " ").capitalize()


_BEGINNINGS: Final[tuple[tuple[MovementType, str, Callable[[str, Catalogue], str]], ...]] = (
    (MovementType.PURCHASE, "Purchase: ", _bought),
    (MovementType.SUBSCRIPTION, "Subscription: ", _subscribed),
    (MovementType.OVERAGE_BILL, "Overage of ", _billed),
)
