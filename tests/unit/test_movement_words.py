"""What a movement is, in words for whoever looks at a ledger."""

import pytest

from storecredit.billing.catalogue import load_catalogue
from storecredit.ledger.outcomes import MovementType as Type
from storecredit.operator.movement_words import NAMES, names_of, words_of

CATALOGUE = load_catalogue()


@pytest.mark.parametrize(
    "type_, description, what",
    [
        (Type.PURCHASE, "Purchase: pay_as_you_go", "Bought, single credits"),
        (Type.PURCHASE, "Purchase: medium", "Bought, the pack 60 credits"),
        (Type.PURCHASE, "Purchase: last_years", "Bought, the pack Last years"),
        (Type.PURCHASE, "Top-up", "Bought at a low balance"),
        (Type.SUBSCRIPTION, "Subscription: growth", "Credits of the plan Growth"),
        (Type.SUBSCRIPTION, "Subscription: old_plan", "Credits of the plan Old plan"),
        (Type.OVERAGE_BILL, "Overage of 2026-10", "Billed what was beyond in 2026-10"),
        (Type.DEDUCTION, "Image generation", "Generation"),
        (Type.REFUND, "Image generation failed", "Failed generation, given back"),
        (Type.CLAWBACK, "Chargeback", "Taken back, as the payment was charged back"),
        (Type.EXPIRY, "Expired", "Expired"),
        (Type.GRANT, "Opening credits", "Opening credits"),
    ],
)
def test_what_the_ledger_wrote_by_itself_is_put_into_words(
    type_: Type, description: str, what: str
) -> None:
    assert words_of(type_, description, CATALOGUE) == (what, "")


def test_what_a_caller_wrote_is_a_note() -> None:
    assert words_of(Type.DEDUCTION, "A report", CATALOGUE) == ("Spent", "A report")
    assert words_of(Type.GRANT, "Purchase: medium", CATALOGUE) == ("Granted", "Purchase: medium")
    assert words_of(Type.HOLD, "", CATALOGUE) == ("Set aside", "")


def test_each_type_has_a_name_of_its_own() -> None:
    assert NAMES.keys() == set(Type)
    assert len(set(NAMES.values())) == len(NAMES)
    assert names_of(Type)[0] == ("deduction", "Spent")
