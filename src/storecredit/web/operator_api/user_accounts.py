"""End users' accounts, for doors by which the operator moves their credits."""

from uuid import UUID

from storecredit.ledger.credits import AccountMissing
from storecredit.ledger.owners import Account, Owner
from storecredit.web.http.envelope import ErrorCode, Failure, not_found
from storecredit.web.parts import Parts


async def account_of_user(parts: Parts, user_id: UUID) -> Account:
    """The account of a user who has come once. Raises Failure for an unknown one."""
    owner = Owner.user(user_id)
    try:
        return Account(await parts.credits.account_id(owner), owner)
    except AccountMissing:
        raise not_found("user") from None


async def charged_user(parts: Parts, user_id: UUID) -> Account:
    """The same, for what takes credits: one who was erased takes part in nothing new.

    Who is only blocked may be charged: it is the operator who asks. Raises Failure.
    """
    user = await parts.user_directory.get(user_id)
    if user is not None and user.status == "erased":
        raise Failure(ErrorCode.USER_ERASED, "This user was erased. Nothing was charged.")
    return await account_of_user(parts, user_id)
