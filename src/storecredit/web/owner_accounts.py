"""The accounts of owners whom the operator names."""

from uuid import UUID

from storecredit.ledger.credits import AccountMissing
from storecredit.ledger.owners import Account, Owner
from storecredit.web.envelope import not_found
from storecredit.web.parts import Parts


async def store_account(parts: Parts, store_id: UUID) -> Account:
    """The account of a store that is there."""
    owner = Owner.store(store_id)
    return Account(await parts.credits.account_id(owner), owner)


async def user_account(parts: Parts, user_id: UUID) -> Account:
    """The account of an end user. Raises Failure for an unknown one."""
    owner = Owner.user(user_id)
    try:
        return Account(await parts.credits.account_id(owner), owner)
    except AccountMissing:
        raise not_found("user: users are made when they first come with a token") from None
