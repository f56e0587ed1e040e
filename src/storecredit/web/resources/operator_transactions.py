"""Ledgers as operators read them: with who of them made what."""

from typing import Annotated, Final

import msgspec

from storecredit.ledger.credits import Movement
from storecredit.ledger.outcomes import MovementType, StoreMovementType
from storecredit.ledger.owners import OwnerKind
from storecredit.web.http.openapi import said
from storecredit.web.resources.transactions import Form, Transaction, movement_fields


class OperatorTransaction(Transaction, frozen=True):
    """One movement of a store's credits, and who made it, where an operator did."""

    actor: Annotated[str | None, said("The operator who made it; null: none did.")]


class OperatorTransactionPage(msgspec.Struct, frozen=True):
    """Movements, newest first."""

    items: list[OperatorTransaction]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


class UserTransaction(OperatorTransaction, frozen=True):
    """One movement of an end user's credits, and who made it, where an operator did."""

    # It stays in its place, in JSON and CSV.
    type: MovementType  # type: ignore[assignment]  # only read, and never as a store's


class UserTransactionPage(msgspec.Struct, frozen=True):
    """Movements, newest first."""

    items: list[UserTransaction]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


def _operator_transaction(movement: Movement) -> OperatorTransaction:
    type_ = StoreMovementType(movement.type.value)
    return OperatorTransaction(type=type_, actor=movement.actor, **movement_fields(movement))


def _user_transaction(movement: Movement) -> UserTransaction:
    return UserTransaction(type=movement.type, actor=movement.actor, **movement_fields(movement))


OF_STORE: Final = Form(
    _operator_transaction, OperatorTransactionPage, OperatorTransaction.__struct_fields__
)
OF_USER: Final = Form(_user_transaction, UserTransactionPage, UserTransaction.__struct_fields__)
OF_OWNER: Final = {OwnerKind.STORE: OF_STORE, OwnerKind.USER: OF_USER}
