"""Links to stores' portals that an operator gives out, each in the audit log."""

from dataclasses import replace

from storecredit.ledger.owners import Owner
from storecredit.operator.audit import About, Action, ActionContext, ActionEntry, AuditLog
from storecredit.operator.drawing import drawn
from storecredit.operator.sign_ins import LINK_SECONDS, PORTAL_SECONDS, Link, SignIns
from storecredit.operator.tokens import Principal
from storecredit.stores.stores import Store


class LinkShown(Exception):
    """The form was sent before, and the link shown then; it may have been used. None was made."""


class PortalLinks:
    """Gives out links that sign somebody in to the portal of a store."""

    def __init__(self, sign_ins: SignIns, audit: AuditLog) -> None:
        self._sign_ins = sign_ins
        self._audit = audit

    async def give_out(
        self,
        context: ActionContext,
        store: Store,
        principal: Principal | None,
        *,
        seconds: int = PORTAL_SECONDS,
        link_seconds: int = LINK_SECONDS,
    ) -> Link | None:
        """A link as of `SignIns.portal_link`; None: the store is suspended, so it would not work.

        `principal`: whose token asks; None: a command. An idempotency key is heeded of a form
        alone, which is given the same link for a while: a link is kept nowhere, so whoever else
        asks again is given another. Raises LinkShown, ValueError, IdempotencyConflict,
        DatabaseUnavailable.
        """
        if store.status == "suspended":
            return None
        about = About(Owner.store(store.store_id))
        asked = {"expires_in_seconds": link_seconds, "sign_in_seconds": seconds}
        if context.seed is None:
            context = replace(context, idempotency_key=None)
        async with self._audit.action(context, Action.PORTAL_LINK, about, asked) as entry:
            if entry.earlier is not None:
                return await self._again(entry, store)
            link = await self._sign_ins.portal_link(
                store.store_id,
                context.actor,
                seconds=seconds,
                behind=principal,
                link_seconds=link_seconds,
                of=drawn(entry.seed),
            )
            entry.write({"expires_at": link.expires_at})
        return link

    async def _again(self, entry: ActionEntry, store: Store) -> Link:
        found = entry.seed and await self._sign_ins.link_again(store.store_id, drawn(entry.seed))
        if not found:
            raise LinkShown
        return found
