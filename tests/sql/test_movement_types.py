"""What each type of movement does: one table in SQL, and everything else as it says."""

import pytest

from storecredit.ledger.outcomes import AdditionType, MovementType, StoreMovementType
from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import Connection
from storecredit.web.trpc.procedure_views import UserMovementType, shown_to_users
from tests.sql.ledgers import Effect, effects, sqlstate_of

BOTH, STORES, USERS = {"store", "user"}, {"store"}, {"user"}
# Written down by hand, so that a change of the table is noticed: balance, added, spent, clawed
# back, overage used, and held, expired, removed; what it is; what it gives back; whose it can be.
KNOWN: dict[str, tuple[Effect, str, str | None, set[str]]] = {
    "deduction": (Effect(-1, 0, 1, 0, 0), "charge", None, BOTH),
    "refund": (Effect(1, 0, -1, 0, 0), "return", "deduction", BOTH),
    "purchase": (Effect(1, 1, 0, 0, 0), "addition", None, BOTH),
    "subscription": (Effect(1, 1, 0, 0, 0), "addition", None, STORES),
    "grant": (Effect(1, 1, 0, 0, 0), "addition", None, BOTH),
    "signup_bonus": (Effect(1, 1, 0, 0, 0), "addition", None, USERS),
    "clawback": (Effect(-1, 0, 0, 1, 0), "clawback", None, BOTH),
    "overage": (Effect(0, 0, 0, 0, 1), "charge", None, STORES),
    "overage_bill": (Effect(0, 0, 0, 0, -1), "bill", None, STORES),
    "overage_refund": (Effect(0, 0, 0, 0, -1), "return", "overage", STORES),
    "overage_credit": (Effect(1, 1, 0, 0, 0), "return", "overage", STORES),
    "hold": (Effect(-1, 0, 0, 0, 0, held=1), "hold", None, BOTH),
    "capture": (Effect(0, 0, 1, 0, 0, held=-1), "capture", None, BOTH),
    "release": (Effect(1, 0, 0, 0, 0, held=-1), "release", None, BOTH),
    "hold_expiry": (Effect(1, 0, 0, 0, 0, held=-1), "release", None, BOTH),
    "expiry": (Effect(-1, 0, 0, 0, 0, expired=1), "expiry", None, BOTH),
    "rollover": (Effect(0, 0, 0, 0, 0), "reissue", None, BOTH),
    "reissue": (Effect(0, 0, 0, 0, 0), "reissue", None, BOTH),
    "removal": (Effect(-1, 0, 0, 0, 0, removed=1), "removal", None, BOTH),
    "transfer_out": (Effect(-1, 0, 0, 0, 0, removed=1), "removal", None, BOTH),
    "transfer_in": (Effect(1, 1, 0, 0, 0), "receipt", None, BOTH),
}


async def test_every_type_does_what_is_known_of_it(books: Connection) -> None:
    rows = await books.fetch("SELECT type, role, returns, owner_kinds FROM movement_types")
    effect_of = await effects(books)

    assert {
        type_: (effect_of[type_], role, returns, set(owner_kinds))
        for type_, role, returns, owner_kinds in rows
    } == KNOWN


async def test_the_functions_made_of_the_table_say_the_same(books: Connection) -> None:
    rows = await books.fetch(
        """SELECT type, movement_effect(type), movement_spent(type), role, movement_role(type)
           FROM movement_types"""
    )
    effect_of = await effects(books)

    for type_, effect, spent, role, made_role in rows:
        assert tuple(effect) == effect_of[type_], type_
        assert spent == (effect_of[type_].spent if effect_of[type_].held == 0 else 0), type_
        assert made_role == role, type_
    nothing = await books.fetchrow(
        "SELECT movement_effect('gift'), movement_spent('gift'), movement_role('gift')"
    )
    assert nothing is not None
    assert tuple(nothing) == (None, None, None)


async def test_what_verify_does_not_look_up_has_one_effect_and_is_for_every_owner(
    books: Connection,
) -> None:
    rows = await books.fetch(
        "SELECT type, owner_kinds FROM movement_types WHERE movement_spent(type) <> 0"
    )
    effect_of = await effects(books)

    for type_, owner_kinds in rows:
        spent = effect_of[type_].spent
        assert effect_of[type_] == Effect(-spent, 0, spent, 0, 0), type_
        assert set(owner_kinds) == BOTH, type_


async def test_what_is_had_is_what_came_in_less_what_was_spent_and_taken_back(
    books: Connection,
) -> None:
    # So that no movement needs to say what was added up to it.
    for type_, effect in (await effects(books)).items():
        out = effect.spent + effect.clawed_back + effect.held + effect.expired + effect.removed
        assert effect.balance == effect.added - out, type_


async def test_no_charge_and_no_return_touches_what_was_clawed_back(books: Connection) -> None:
    # The loops that charge and give back carry it along unread.
    rows = await books.fetch(
        "SELECT type FROM movement_types WHERE role IN ('charge', 'return') AND clawed_back <> 0"
    )

    assert rows == []


async def test_a_return_undoes_its_charge_or_gives_credits_for_it(books: Connection) -> None:
    effect_of = await effects(books)
    returns = await books.fetch("SELECT type, returns FROM movement_types WHERE role = 'return'")

    for type_, returned in returns:
        undone = Effect(*(-each for each in effect_of[returned]))
        given = Effect(1, 1, 0, 0, 0)
        assert effect_of[type_] in {undone, given}, type_


@pytest.mark.parametrize(
    "types, owner_kinds",
    [
        (MovementType, BOTH),
        (StoreMovementType, STORES),
    ],
)
async def test_python_knows_the_same_types(
    books: Connection,
    types: type[MovementType] | type[StoreMovementType],
    owner_kinds: set[str],
) -> None:
    in_sql = await books.fetchval(
        "SELECT array_agg(type) FROM movement_types WHERE owner_kinds && $1", list(owner_kinds)
    )

    assert {type_.value for type_ in types} == set(in_sql)


async def test_the_app_is_shown_every_type_that_an_end_user_can_have(books: Connection) -> None:
    in_sql = await books.fetchval(
        "SELECT array_agg(type) FROM movement_types WHERE 'user' = ANY (owner_kinds)"
    )

    shown = {shown_to_users(MovementType(type_)) for type_ in in_sql}
    assert shown == set(UserMovementType)
    assert len(shown) == len(in_sql)


async def test_python_adds_as_every_type_that_brings_credits_in_but_the_signup(
    books: Connection,
) -> None:
    in_sql = await books.fetchval(
        "SELECT array_agg(type) FROM movement_types WHERE role = 'addition'"
    )

    assert {type_.value for type_ in AdditionType} | {"signup_bonus"} == set(in_sql)


async def test_kinds_of_owners_are_the_same_everywhere(books: Connection) -> None:
    kinds = await books.fetchval(
        "SELECT array_agg(DISTINCT k) FROM movement_types, unnest(owner_kinds) k"
    )

    assert set(kinds) == {kind.value for kind in OwnerKind}
    check_violation = "23514"
    stranger = "INSERT INTO accounts (owner_kind, owner_id) VALUES ('robot', gen_random_uuid())"
    assert await sqlstate_of(books.execute(stranger)) == check_violation


@pytest.mark.parametrize(
    "row, sqlstate",
    [
        ("('fee', 0, 1, 0, 0, 'tax', NULL)", "23514"),
        ("('fee', 0, 1, 0, 0, 'charge', 'deduction')", "23514"),
        ("('fee', 0, -1, 0, 0, 'return', NULL)", "23514"),
        ("('fee', 0, -1, 0, 0, 'return', 'toll')", "23503"),
        ("('grant', 0, 1, 0, 0, 'charge', NULL)", "23505"),
    ],
)
async def test_a_type_that_cannot_be_is_refused(books: Connection, row: str, sqlstate: str) -> None:
    refused = books.execute(
        f"""INSERT INTO movement_types
                (type, added, spent, clawed_back, overage_used, role, returns, owner_kinds,
                 description)
            SELECT t.*, '{{store}}', '' FROM (VALUES {row}) t"""
    )

    assert await sqlstate_of(refused) == sqlstate
