"""What an operator does about money: sell, book, retry, dismiss; each action in the audit log."""

from dataclasses import asdict
from uuid import UUID

from storecredit.billing.assembly import Billing
from storecredit.billing.bookings import Booked, NotBooked
from storecredit.billing.checkouts import Order, Start, Unsold
from storecredit.billing.top_ups import NotSwitchedOn, TopUp, TopUpSettings
from storecredit.ledger.owners import Owner
from storecredit.operator.audit import About, Action, ActionContext, AuditLog
from storecredit.operator.owner_names import spelled


class BillingActions:
    """Sells, books, retries and dismisses. Each raises IdempotencyConflict, DatabaseUnavailable."""

    def __init__(self, billing: Billing, audit: AuditLog) -> None:
        self._billing = billing
        self._audit = audit

    async def start_checkout(self, context: ActionContext, owner: Owner, order: Order) -> Start:
        """Open a checkout for the owner; outcomes and errors are those of `Checkouts.start`.

        The entry is written with our record of the sale, before the provider is asked.
        """
        about = About(owner)
        asked = {"order": type(order).__name__, **asdict(order)}
        async with self._audit.action(context, Action.CHECKOUT_CREATE, about, asked) as entry:
            opened = await self._billing.checkouts.open(owner, order, context.request_id)
            if isinstance(opened, Unsold) and opened.is_new:
                entry.write({"checkout_id": opened.checkout_id})
        return await self._billing.checkouts.sell(opened) if isinstance(opened, Unsold) else opened

    async def book(
        self,
        context: ActionContext,
        transaction_id: str,
        credits: int,
        description: str,
        owner: Owner | None = None,
    ) -> Booked | NotBooked:
        """Add so many credits for what was paid at the provider, once per transaction.

        Outcomes, arguments and further errors: see `storecredit.billing.bookings`.
        """
        paid = await self._billing.bookings.find(transaction_id)
        if isinstance(paid, NotBooked):
            return paid
        asked = {"credits": credits, "owner": None if owner is None else spelled(owner)}
        about = About(subject=transaction_id)
        place = await self._billing.bookings.place_of(paid, owner)
        begun = self._audit.action(context, Action.TRANSACTION_BOOK, about, asked, database=place)
        async with begun as entry:
            # Sent again, it finds itself by the transaction, whose booking never changes.
            booked = await self._billing.bookings.book(
                paid, credits, description, owner, place=place, actor=context.actor
            )
            if isinstance(booked, Booked) and not booked.replayed:
                entry.write(
                    {"amount": booked.amount, "currency": booked.currency}, owner=booked.owner
                )
        if isinstance(booked, Booked):
            await self._billing.bookings.settle_elsewhere(booked)
        return booked

    async def retry_event(self, context: ActionContext, event_id: str) -> bool:
        """Process anew an event that was set aside; False: there is none such."""
        about = About(subject=event_id)
        database = await self._billing.problems.place_of(event_id)
        begun = self._audit.action(context, Action.EVENT_RETRY, about, database=database)
        async with begun as entry:
            if entry.earlier is not None:
                return True
            retried = await self._billing.events.retry(event_id, database)
            if retried:
                entry.write()
        return retried

    async def dismiss(self, context: ActionContext, problem_id: str) -> bool:
        """Show a problem no longer; False: there is none such."""
        about = About(subject=problem_id)
        database = await self._billing.problems.place_of(problem_id)
        begun = self._audit.action(context, Action.PROBLEM_DISMISS, about, database=database)
        async with begun as entry:
            if entry.earlier is not None:
                return True
            dismissed = await self._billing.problems.dismiss(problem_id, database)
            if dismissed:
                entry.write()
        return dismissed

    async def switch_top_up_on(
        self, context: ActionContext, store_id: UUID, settings: TopUpSettings
    ) -> TopUp | NotSwitchedOn:
        """Let the store buy credits by itself with these settings; see `TopUps.switch_on`."""
        about = About(Owner.store(store_id))
        async with self._audit.action(context, Action.TOP_UP_SET, about, asdict(settings)) as entry:
            if entry.earlier is not None:
                return await self._billing.top_ups.read(store_id)
            outcome = await self._billing.top_ups.switch_on(store_id, settings)
            if isinstance(outcome, TopUp):
                entry.write()
        return outcome

    async def switch_top_up_off(self, context: ActionContext, store_id: UUID) -> TopUp:
        """Let the store buy nothing more by itself; see `TopUps.switch_off`."""
        about = About(Owner.store(store_id))
        async with self._audit.action(context, Action.TOP_UP_REMOVE, about) as entry:
            if entry.earlier is not None:
                return await self._billing.top_ups.read(store_id)
            outcome = await self._billing.top_ups.switch_off(store_id)
            entry.write()
        return outcome
