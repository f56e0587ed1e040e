"""The interface for outside callers, by kind of owner: its names written down once more.

Each call is made with arguments in their order; the names of arguments are tested by themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection


@dataclass(frozen=True, slots=True)
class Interface:
    """What outside callers call the functions and views for one kind of owner."""

    argument: str
    deduct: str
    refund: str
    add: str
    claw_back: str
    owner_id: str
    credits: str
    movements: str
    sessions: str
    deduction: str
    unknown: str


INTERFACES: Final[Mapping[OwnerKind, Interface]] = {
    OwnerKind.STORE: Interface(
        argument="p_store_id",
        deduct="deduct_store_credits",
        refund="refund_store_credits",
        add="add_store_credits",
        claw_back="claw_back_store_credits",
        owner_id="store_id",
        credits="store_credits",
        movements="store_credit_transactions",
        sessions="store_generation_sessions",
        deduction="deduction",
        unknown="SC001",
    ),
    OwnerKind.USER: Interface(
        argument="p_user_id",
        deduct="deduct_credits",
        refund="refund_credits",
        add="add_credits",
        claw_back="claw_back_credits",
        owner_id="user_id",
        credits="user_credits",
        movements="credit_transactions",
        sessions="generation_sessions",
        deduction="generation",
        unknown="SC008",
    ),
}


async def deduct(
    connection: Connection, account: Account, amount: int | None, request_id: str | None
) -> bool:
    names = INTERFACES[account.owner.kind]
    answer: bool = await connection.fetchval(
        f"SELECT public.{names.deduct}($1, $2, $3)", account.owner.id, amount, request_id
    )
    return answer


async def refund(
    connection: Connection, account: Account, amount: int | None, request_id: str | None
) -> bool:
    names = INTERFACES[account.owner.kind]
    answer: bool = await connection.fetchval(
        f"SELECT public.{names.refund}($1, $2, $3)", account.owner.id, amount, request_id
    )
    return answer


async def add(
    connection: Connection,
    account: Account,
    amount: int | None,
    type_: str | None,
    request_id: str | None,
) -> bool:
    names = INTERFACES[account.owner.kind]
    answer: bool = await connection.fetchval(
        f"SELECT public.{names.add}($1, $2, $3, $4)", account.owner.id, amount, type_, request_id
    )
    return answer


async def claw_back(
    connection: Connection, account: Account, amount: int | None, request_id: str | None
) -> int:
    names = INTERFACES[account.owner.kind]
    answer: int = await connection.fetchval(
        f"SELECT public.{names.claw_back}($1, $2, $3)", account.owner.id, amount, request_id
    )
    return answer
