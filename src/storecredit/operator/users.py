"""What an operator does to end users: block, let in again, erase; each action in the audit log."""

from uuid import UUID

from storecredit.generation.erasure import Erasing, Erasure
from storecredit.ledger.owners import Owner
from storecredit.operator.audit import About, Action, ActionContext, AuditLog
from storecredit.users.directory import Unblocking, UserDirectory


class UserActions:
    """Blocks, unblocks, erases end users. Each raises IdempotencyConflict, DatabaseUnavailable."""

    def __init__(self, directory: UserDirectory, erasure: Erasure, audit: AuditLog) -> None:
        self._directory = directory
        self._erasure = erasure
        self._audit = audit

    async def block(self, context: ActionContext, user_id: UUID) -> bool:
        """Refuse all that the user asks for, within a second; False: there is no such user."""
        about = About(Owner.user(user_id))
        async with self._audit.action(context, Action.USER_BLOCK, about) as entry:
            if entry.earlier is not None:
                return True
            blocked = await self._directory.block(user_id)
            if blocked:
                entry.write()
        return blocked

    async def unblock(self, context: ActionContext, user_id: UUID) -> Unblocking:
        """Let the user in again, within a second."""
        about = About(Owner.user(user_id))
        async with self._audit.action(context, Action.USER_UNBLOCK, about) as entry:
            if entry.earlier is not None:
                return Unblocking.UNBLOCKED
            outcome = await self._directory.unblock(user_id)
            if outcome is Unblocking.UNBLOCKED:
                entry.write()
        return outcome

    async def erase(self, context: ActionContext, user_id: UUID) -> Erasing:
        """Erase what the database has of a user, and block the user; see `Erasure.erase`.

        What is on disk is left to `Erasure.settle`. Raises StatementRefused, too.
        """
        about = About(Owner.user(user_id))
        async with self._audit.action(context, Action.USER_ERASE, about) as entry:
            if entry.earlier is not None:
                return Erasing.ALREADY_ERASED
            outcome = await self._erasure.erase(user_id)
            if outcome is Erasing.ERASED:
                entry.write()
        return outcome
