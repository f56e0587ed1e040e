"""The checker finds nothing where all is well, and each kind of damage by the rule it breaks."""

from collections.abc import Callable

import pytest

from tests.torture.checking.history import History
from tests.torture.checking.verdict import order_of, violations
from tests.torture.checking.violations import Rule
from tests.torture.sound_history import STORE, VERIFIED, Line, Sound, sound_history

Damage = Callable[[Sound], object]


def found(sound: Sound, verified: str = VERIFIED) -> set[Rule]:
    rules = {each.rule for each in violations(History.of(sound.lines), sound.tables, verified)}
    _, out_of_order = order_of(History.of(sound.lines), sound.tables, STORE)
    return rules | {each.rule for each in out_of_order}


def movement(sound: Sound, request_id: str, type_: str = "deduction") -> Line:
    (row,) = (
        row
        for row in sound.rows["movements"]
        if (row["request_id"], row["type"]) == (request_id, type_)
    )
    return row


def answer(sound: Sound, key: str) -> Line:
    (number,) = (line["n"] for line in sound.lines if line.get("key") == key)
    return next(line for line in sound.lines if line["event"] == "answered" and line["n"] == number)


def remove(sound: Sound, request_id: str, type_: str = "deduction") -> None:
    sound.rows["movements"].remove(movement(sound, request_id, type_))


def repeat(sound: Sound, request_id: str, type_: str = "deduction") -> None:
    row = movement(sound, request_id, type_)
    sound.move(row["account_id"], type_, row["amount"], request_id, session_id=row["session_id"])


DAMAGES: list[tuple[str, Rule, Damage]] = [
    (
        "a spend is lost",
        Rule.ACKNOWLEDGED_IS_RECORDED,
        lambda sound: remove(sound, "s-1"),
    ),
    (
        "an item of a batch is lost",
        Rule.ACKNOWLEDGED_IS_RECORDED,
        lambda sound: remove(sound, "s-5"),
    ),
    (
        "a hold is lost",
        Rule.ACKNOWLEDGED_IS_RECORDED,
        lambda sound: sound.rows["holds"].clear(),
    ),
    (
        "another amount was told",
        Rule.ACKNOWLEDGED_IS_RECORDED,
        lambda sound: answer(sound, "s-1")["told"].update(amount=6),
    ),
    (
        "another session was told",
        Rule.ACKNOWLEDGED_IS_RECORDED,
        lambda sound: answer(sound, "g-1")["told"].update(session_id="S9"),
    ),
    ("a spend is there twice", Rule.ONE_EFFECT, lambda sound: repeat(sound, "s-1")),
    ("a refund is there twice", Rule.ONE_EFFECT, lambda sound: repeat(sound, "s-2", "refund")),
    (
        "another amount moved",
        Rule.ONE_EFFECT,
        lambda sound: movement(sound, "s-1").update(amount=8),
    ),
    (
        "nobody asked for it",
        Rule.ONE_EFFECT,
        lambda sound: sound.move(1, "deduction", 1, "unheard-of"),
    ),
    (
        "what was refused is there",
        Rule.REFUSED_IS_NOTHING,
        lambda sound: sound.move(1, "deduction", 9, "s-3"),
    ),
    (
        "a session has not ended",
        Rule.ONE_END,
        lambda sound: sound.rows["sessions"][0].update(status="processing"),
    ),
    (
        "a session ended otherwise than was told",
        Rule.ONE_END,
        lambda sound: sound.rows["sessions"][0].update(status="failed"),
    ),
    (
        "a hold ended otherwise than was told",
        Rule.ONE_END,
        lambda sound: answer(sound, "h-2")["told"].update(captured=9),
    ),
    (
        "a hold gave back too much",
        Rule.ONE_END,
        lambda sound: movement(sound, "h-1", "release").update(amount=6),
    ),
    (
        "a failure was not given back",
        Rule.FAILED_IS_REFUNDED,
        lambda sound: remove(sound, "g-2", "refund"),
    ),
    (
        "a failure was given back twice",
        Rule.FAILED_IS_REFUNDED,
        lambda sound: repeat(sound, "g-2", "refund"),
    ),
    (
        "what did not fail was given back",
        Rule.FAILED_IS_REFUNDED,
        lambda sound: sound.move(1, "refund", 1, "g-1", session_id="S1"),
    ),
    (
        "a balance is wrong",
        Rule.CONSERVED,
        lambda sound: movement(sound, "s-1").update(balance_after=94),
    ),
    (
        "a total is wrong",
        Rule.CONSERVED,
        lambda sound: movement(sound, "s-1").update(spent_after=6),
    ),
    ("a place is empty", Rule.CONSERVED, lambda sound: movement(sound, "s-4").update(seq=99)),
    (
        "a grant has other credits",
        Rule.CONSERVED,
        lambda sound: movement(sound, "s-1").update(grants_after=[1, 92]),
    ),
    (
        "a grant has more than it began with",
        Rule.CONSERVED,
        lambda sound: sound.rows["grants"][0].update(amount=50),
    ),
    (
        "a transfer did not arrive",
        Rule.CONSERVED,
        lambda sound: remove(sound, "t-1", "transfer_in"),
    ),
    (
        "a payment was not booked",
        Rule.MONEY_MATCHES,
        lambda sound: sound.rows["payments"].clear(),
    ),
    (
        "a payment brought nothing",
        Rule.MONEY_MATCHES,
        lambda sound: remove(sound, "b-1", "purchase"),
    ),
    (
        "a purchase that nobody paid",
        Rule.MONEY_MATCHES,
        lambda sound: sound.move(1, "purchase", 5, "b-9"),
    ),
    (
        "credits were not taken back",
        Rule.MONEY_MATCHES,
        lambda sound: sound.note("charged_back", transaction="txn"),
    ),
    (
        "another end was told",
        Rule.TOLD_AS_HAPPENED,
        lambda sound: sound.rows["events"][0].update(type="generation.failed"),
    ),
    (
        "an event is of nothing",
        Rule.TOLD_AS_HAPPENED,
        lambda sound: sound.note("heard", who="store", id="evt_9", type="key.revoked", data={}),
    ),
    (
        "an end was told twice",
        Rule.TOLD_AS_HAPPENED,
        lambda sound: sound.event("evt_8", "generation.completed", session_id="S1"),
    ),
    (
        "an end was not told",
        Rule.TOLD_AS_HAPPENED,
        lambda sound: sound.rows["events"].pop(0),
    ),
    (
        "an answer is an error of ours",
        Rule.ANSWERED_AS_DOCUMENTED,
        lambda sound: answer(sound, "s-3").update(status=500),
    ),
    (
        "a balance was told that never was",
        Rule.LINEARIZABLE,
        lambda sound: answer(sound, "s-2")["told"].update(balance=95),
    ),
]


def test_where_all_is_well_nothing_is_found() -> None:
    assert found(sound_history()) == set()


@pytest.mark.parametrize(
    "rule, damage", [pytest.param(rule, damage, id=name) for name, rule, damage in DAMAGES]
)
def test_damage_is_found_by_the_rule_it_breaks(rule: Rule, damage: Damage) -> None:
    sound = sound_history()
    damage(sound)
    assert rule in found(sound)


def test_what_the_product_finds_itself_is_found() -> None:
    assert Rule.VERIFIED in found(sound_history(), '{"clean": false, "movements": 20}')
    assert Rule.VERIFIED in found(sound_history(), '{"clean": true, "movements": 0}')
