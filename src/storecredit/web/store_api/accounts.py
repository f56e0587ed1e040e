"""The account of the store that asks."""

from litestar.types import HTTPScope

from storecredit.ledger.credits import AccountMissing
from storecredit.ledger.owners import Account, Owner
from storecredit.web.http.visits import caller_of


def account_of(scope: HTTPScope) -> Account:
    """The account of the store whose key was sent. Raises AccountMissing."""
    caller = caller_of(scope)
    if caller.account_id is None:
        raise AccountMissing(f"store {caller.store_id} has no account")
    return Account(caller.account_id, Owner.store(caller.store_id))
