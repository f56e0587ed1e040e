"""Webhook endpoints as an operator changes them, their own or a store's: in the audit log."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from storecredit.ledger.owners import Owner
from storecredit.operator.audit import (
    About,
    Action,
    ActionContext,
    ActionEntry,
    AuditLog,
    IdempotencyConflict,
)
from storecredit.operator.drawing import drawn
from storecredit.postgres.buckets import Buckets
from storecredit.webhooks.catalogue import EVERY
from storecredit.webhooks.delivery_records import DeliveryRecords, DeliveryStatus, Resent
from storecredit.webhooks.endpoints import (
    OVERLAP_SECONDS_DEFAULT,
    Disabled,
    Endpoint,
    Endpoints,
    IssuedSecret,
    Status,
    TooManyEndpoints,
    TooManySecrets,
)
from storecredit.webhooks.messages import secret_text


class SentBefore(Exception):
    """The same request made this endpoint before, or gave it a secret, which was shown then."""

    def __init__(self, endpoint_id: UUID) -> None:
        super().__init__(f"the secret of {endpoint_id} was shown before")
        self.endpoint_id = endpoint_id


class OperatedEndpoints(Endpoints):
    """The endpoints of one owner, whose changes are written down as those of an operator.

    With an idempotency key each is done once; `create` and `rotate` raise SentBefore then, unless
    the secret can be told again: by the form that made it, for a while. What the log does not hold
    of what was asked for is compared with what the endpoint has: `create` and `update` raise
    IdempotencyConflict where the same key asks for something else.
    """

    def __init__(
        self, buckets: Buckets, audit: AuditLog, context: ActionContext, owner: Owner | None
    ) -> None:
        """`owner`: the store whose they are; None: the operator's own."""
        super().__init__(buckets)
        self._audit = audit
        self._context = context
        self._owner = owner

    async def create(
        self,
        account_id: int,
        *,
        url: str,
        event_types: Sequence[str] = (EVERY,),
        description: str = "",
        ordered: bool = False,
        secret: bytes | None = None,
    ) -> IssuedSecret | TooManyEndpoints:
        """As of `Endpoints`. The entry does not name the URL, which may hold a secret."""
        asked = {"event_types": list(event_types), "ordered": ordered}
        async with self._audit.action(
            self._context, Action.WEBHOOK_CREATE, About(self._owner), asked
        ) as entry:
            if entry.earlier is not None:
                endpoint_id = UUID(entry.earlier["endpoint_id"])
                await self._refuse_others(account_id, endpoint_id, url, description)
                return await self._again(entry, account_id, endpoint_id)
            made = await super().create(
                account_id,
                url=url,
                event_types=event_types,
                description=description,
                ordered=ordered,
                secret=secret or drawn(entry.seed),
            )
            if isinstance(made, IssuedSecret):
                endpoint_id = made.endpoint.endpoint_id
                entry.write({"endpoint_id": endpoint_id}, subject=endpoint_id)
        await self._heard(account_id)
        return made

    async def update(
        self,
        account_id: int,
        endpoint_id: UUID,
        *,
        url: str | None = None,
        event_types: Sequence[str] | None = None,
        description: str | None = None,
        ordered: bool | None = None,
    ) -> Endpoint | None:
        """As of `Endpoints`; that the URL was changed is written, and not to what."""
        given = {
            "url": None if url is None else "changed",
            "event_types": None if event_types is None else list(event_types),
            "description": None if description is None else "changed",
            "ordered": ordered,
        }
        asked = {name: value for name, value in given.items() if value is not None}
        async with self._audit.action(
            self._context, Action.WEBHOOK_UPDATE, self._about(endpoint_id), asked
        ) as entry:
            if entry.earlier is not None:
                await self._refuse_others(account_id, endpoint_id, url, description)
                return await super().get(account_id, endpoint_id)
            changed = await super().update(
                account_id,
                endpoint_id,
                url=url,
                event_types=event_types,
                description=description,
                ordered=ordered,
            )
            if changed is not None and asked:
                entry.write()
        await self._heard(account_id)
        return changed

    async def set_status(
        self, account_id: int, endpoint_id: UUID, status: Status
    ) -> Endpoint | None:
        """As of `Endpoints`."""
        action = Action.WEBHOOK_ENABLE if status == "enabled" else Action.WEBHOOK_DISABLE
        async with self._audit.action(self._context, action, self._about(endpoint_id)) as entry:
            if entry.earlier is not None:
                return await super().get(account_id, endpoint_id)
            changed = await super().set_status(account_id, endpoint_id, status)
            if changed is not None:
                entry.write()
        await self._heard(account_id)
        return changed

    async def delete(self, account_id: int, endpoint_id: UUID) -> bool:
        """As of `Endpoints`."""
        async with self._audit.action(
            self._context, Action.WEBHOOK_DELETE, self._about(endpoint_id)
        ) as entry:
            if entry.earlier is not None:
                return True
            deleted = await super().delete(account_id, endpoint_id)
            if deleted:
                entry.write()
        await self._heard(account_id)
        return deleted

    async def rotate(
        self,
        account_id: int,
        endpoint_id: UUID,
        *,
        overlap_seconds: int = OVERLAP_SECONDS_DEFAULT,
        secret: bytes | None = None,
    ) -> IssuedSecret | TooManySecrets | None:
        """As of `Endpoints`."""
        asked = {"overlap_seconds": overlap_seconds}
        async with self._audit.action(
            self._context, Action.WEBHOOK_ROTATE, self._about(endpoint_id), asked
        ) as entry:
            if entry.earlier is not None:
                return await self._again(entry, account_id, endpoint_id)
            rotated = await super().rotate(
                account_id,
                endpoint_id,
                overlap_seconds=overlap_seconds,
                secret=secret or drawn(entry.seed),
            )
            if isinstance(rotated, IssuedSecret):
                entry.write()
        return rotated

    async def test(self, account_id: int, endpoint_id: UUID) -> UUID | Disabled | None:
        """As of `Endpoints`."""
        async with self._audit.action(
            self._context, Action.WEBHOOK_TEST, self._about(endpoint_id)
        ) as entry:
            if entry.earlier is not None:
                return UUID(entry.earlier["event_id"])
            told = await super().test(account_id, endpoint_id)
            if isinstance(told, UUID):
                entry.write({"event_id": told})
        return told

    async def _refuse_others(
        self, account_id: int, endpoint_id: UUID, url: str | None, description: str | None
    ) -> None:
        """Raise IdempotencyConflict unless the endpoint has these; None: whichever it has."""
        endpoint = await self.get(account_id, endpoint_id)
        if endpoint is None or self._context.idempotency_key is None:
            return
        pairs = ((url, endpoint.url), (description, endpoint.description))
        if any(asked is not None and asked != has for asked, has in pairs):
            raise IdempotencyConflict(self._context.idempotency_key)

    async def _again(self, entry: ActionEntry, account_id: int, endpoint_id: UUID) -> IssuedSecret:
        """The secret, for whoever made it by the same form not long ago. Raises SentBefore."""
        endpoint = await self.get(account_id, endpoint_id)
        if entry.seed is None or endpoint is None:
            raise SentBefore(endpoint_id)
        secret = drawn(entry.seed)
        if not await self.is_signed_with(account_id, endpoint_id, secret):
            raise SentBefore(endpoint_id)
        return IssuedSecret(endpoint, secret_text(secret))

    def _about(self, endpoint_id: UUID) -> About:
        return About(self._owner, subject=str(endpoint_id))


class OperatedDeliveries(DeliveryRecords):
    """The deliveries to one owner's endpoints, which an operator sends again."""

    def __init__(
        self, buckets: Buckets, audit: AuditLog, context: ActionContext, owner: Owner | None
    ) -> None:
        """`owner`: the store whose they are; None: the operator's own."""
        super().__init__(buckets)
        self._audit = audit
        self._context = context
        self._owner = owner

    async def resend(
        self, account_id: int, endpoint_id: UUID, event_id: UUID
    ) -> Disabled | Resent | None:
        """As of `DeliveryRecords`."""
        about, asked = self._about(endpoint_id), {"event_id": event_id}
        async with self._audit.action(self._context, Action.WEBHOOK_RESEND, about, asked) as entry:
            if entry.earlier is not None:
                return Resent(entry.earlier["resent"], None)
            resent = await super().resend(account_id, endpoint_id, event_id)
            if isinstance(resent, Resent):
                entry.write({"resent": resent.count})
        return resent

    async def resend_since(
        self,
        account_id: int,
        endpoint_id: UUID,
        since: datetime,
        *,
        status: DeliveryStatus | None = None,
        after: int = 0,
    ) -> Disabled | Resent | None:
        """As of `DeliveryRecords`; each call is an entry of its own, unless its key was used."""
        asked = {"since": since, "status": status, "after": after}
        async with self._audit.action(
            self._context, Action.WEBHOOK_RESEND, self._about(endpoint_id), asked
        ) as entry:
            if entry.earlier is not None:
                return Resent(entry.earlier["resent"], entry.earlier["next_after"])
            resent = await super().resend_since(
                account_id, endpoint_id, since, status=status, after=after
            )
            if isinstance(resent, Resent):
                entry.write({"resent": resent.count, "next_after": resent.next_after})
        return resent

    def _about(self, endpoint_id: UUID) -> About:
        return About(self._owner, subject=str(endpoint_id))


class OperatedWebhooks:
    """Those of all owners: for one action at a time."""

    def __init__(self, buckets: Buckets, audit: AuditLog) -> None:
        self._buckets = buckets
        self._audit = audit

    def endpoints(self, context: ActionContext, owner: Owner | None) -> OperatedEndpoints:
        """The endpoints of a store, or (None) of the operator."""
        return OperatedEndpoints(self._buckets, self._audit, context, owner)

    def deliveries(self, context: ActionContext, owner: Owner | None) -> OperatedDeliveries:
        """The deliveries to them, likewise."""
        return OperatedDeliveries(self._buckets, self._audit, context, owner)
