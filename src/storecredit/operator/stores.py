"""What an operator does to stores and their API keys, each action in the audit log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

from storecredit.ledger.credits import Credits
from storecredit.ledger.owners import Owner
from storecredit.operator.audit import About, Action, ActionContext, ActionEntry, AuditLog
from storecredit.operator.drawing import drawn
from storecredit.postgres.buckets import Buckets
from storecredit.stores.api_keys import ApiKey, ApiKeys, IssuedKey, new_key
from storecredit.stores.stores import Status, Store, Stores


@dataclass(frozen=True, slots=True)
class NewStore:
    """A store to make, its opening credits, and where its first key may be used from."""

    name: str
    shop_domain: str
    tier: str = "default"
    credits: int = 0
    allowed_origins: tuple[str, ...] = ()
    key_label: str = "first key"


class _Unchanged:
    """Stands for what is not to be changed, where None is a value."""


UNCHANGED: Final = _Unchanged()


@dataclass(frozen=True, slots=True)
class StoreChanges:
    """What to change of a store; None (of the threshold: `UNCHANGED`) leaves it as it is."""

    name: str | None = None
    shop_domain: str | None = None
    tier: str | None = None
    status: Status | None = None
    overage_limit: int | None = None
    low_threshold: int | _Unchanged | None = UNCHANGED

    def given(self) -> dict[str, object]:
        """Those that are given, by name."""
        named = {name: getattr(self, name) for name in self.__slots__}
        threshold = named.pop("low_threshold")
        given = {name: value for name, value in named.items() if value is not None}
        return given if threshold is UNCHANGED else {**given, "low_threshold": threshold}


@dataclass(frozen=True, slots=True)
class MadeStore:
    """A store and its first key. `key`: shown this once; None: the request was sent before.

    Who sent it before by the same form, not long ago, is shown it again.
    """

    store: Store
    key_id: UUID
    key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key. `key`: shown this once; None: the request was sent before, as of `MadeStore`."""

    api_key: ApiKey
    key: str | None = field(repr=False)


class StoreActions:
    """Makes and changes stores and their keys."""

    def __init__(
        self,
        buckets: Buckets,
        stores: Stores,
        api_keys: ApiKeys,
        credits: Credits,
        audit: AuditLog,
    ) -> None:
        self._buckets = buckets
        self._stores = stores
        self._api_keys = api_keys
        self._credits = credits
        self._audit = audit

    async def make(self, context: ActionContext, new: NewStore) -> MadeStore:
        """A store with its account, opening credits and first key; all of it, or nothing.

        Raises ValueError (the message is fit for people), IdempotencyConflict, DatabaseUnavailable:
        then it is not known whether it was made.
        """
        asked = {
            "name": new.name,
            "shop_domain": new.shop_domain,
            "tier": new.tier,
            "credits": new.credits,
            "allowed_origins": list(new.allowed_origins),
        }
        # Before all else: what is done is one transaction of the bucket that the store is put into.
        store_id = uuid7()
        database = await self._buckets.of_new_store(store_id, context.idempotency_key)
        async with self._audit.action(
            context, Action.STORE_CREATE, asked=asked, database=database
        ) as entry:
            if entry.earlier is not None:
                return await self._made_before(entry, entry.earlier)
            store = await self._stores.making(store_id).create(
                name=new.name,
                shop_domain=new.shop_domain,
                tier=new.tier,
                credit_count=new.credits,
                request_id=context.request_id,
                actor=context.actor,
            )
            issued = await self._api_keys.create(
                store.store_id,
                label=new.key_label,
                allowed_origins=new.allowed_origins,
                drawn=drawn(entry.seed),
            )
            assert issued is not None, "the store was made in this transaction"
            key_id = issued.api_key.key_id
            entry.write(
                {"store_id": store.store_id, "key_id": key_id},
                owner=Owner.store(store.store_id),
                subject=key_id,
            )
        return MadeStore(store, key_id, issued.key)

    async def _made_before(self, entry: ActionEntry, earlier: Mapping[str, str]) -> MadeStore:
        store = await self._stores.get(UUID(earlier["store_id"]))
        assert store is not None, "stores are never removed"
        key_id = UUID(earlier["key_id"])
        return MadeStore(store, key_id, await self._key_again(entry, key_id))

    async def change(
        self, context: ActionContext, store_id: UUID, changes: StoreChanges
    ) -> Store | None:
        """All that is given, or nothing; None: there is no such store. Raises as `make`."""
        about, given = About(Owner.store(store_id)), changes.given()
        async with self._audit.action(context, Action.STORE_UPDATE, about, given) as entry:
            if entry.earlier is not None:
                return await self._stores.get(store_id)
            changed = await self._stores.update(
                store_id,
                name=changes.name,
                shop_domain=changes.shop_domain,
                tier=changes.tier,
                status=changes.status,
            )
            if changed is None:
                return None
            if changes.overage_limit is not None:
                await self._credits.set_overage_limit(store_id, changes.overage_limit)
            if not isinstance(changes.low_threshold, _Unchanged):
                await self._credits.set_low_threshold(store_id, changes.low_threshold)
            if given:
                entry.write()
        return changed

    async def make_key(
        self,
        context: ActionContext,
        store_id: UUID,
        *,
        label: str = "",
        allowed_origins: Iterable[str] = (),
        expires_at: datetime | None = None,
    ) -> MadeKey | None:
        """One more key for the store; None: there is no such store. Raises as `make`."""
        origins = list(allowed_origins)
        asked = {"label": label, "allowed_origins": origins, "expires_at": expires_at}
        about = About(Owner.store(store_id))
        async with self._audit.action(context, Action.KEY_CREATE, about, asked) as entry:
            if entry.earlier is not None:
                return await self._key_made_before(store_id, entry, entry.earlier)
            issued = await self._api_keys.create(
                store_id,
                label=label,
                allowed_origins=origins,
                expires_at=expires_at,
                drawn=drawn(entry.seed),
            )
            if issued is None:
                return None
            entry.write({"key_id": issued.api_key.key_id}, subject=issued.api_key.key_id)
        return _made(issued)

    async def change_key(
        self,
        context: ActionContext,
        store_id: UUID,
        key_id: UUID,
        *,
        label: str | None = None,
        allowed_origins: Iterable[str] | None = None,
    ) -> ApiKey | None:
        """What is given; None: the store has no such key that works. Raises as `make`."""
        origins = None if allowed_origins is None else list(allowed_origins)
        about = About(Owner.store(store_id), subject=str(key_id))
        asked = {"label": label, "allowed_origins": origins}
        given = {name: value for name, value in asked.items() if value is not None}
        async with self._audit.action(context, Action.KEY_UPDATE, about, given) as entry:
            if entry.earlier is not None:
                return await self._api_keys.get(store_id, key_id)
            changed = await self._api_keys.update(
                store_id, key_id, label=label, allowed_origins=origins
            )
            if changed is not None and given:
                entry.write()
        return changed

    async def revoke_key(self, context: ActionContext, store_id: UUID, key_id: UUID) -> bool:
        """Make the key useless for ever; False: the store has no such key. Raises as `make`."""
        about = About(Owner.store(store_id), subject=str(key_id))
        async with self._audit.action(context, Action.KEY_REVOKE, about) as entry:
            if entry.earlier is None and await self._api_keys.revoke(store_id, key_id):
                entry.write()
            return entry.earlier is not None or entry.outcome is not None

    async def rotate_key(
        self, context: ActionContext, store_id: UUID, key_id: UUID, *, grace_seconds: int = 0
    ) -> MadeKey | None:
        """Replace the key; None: the store has no such key that works. Raises as `make`."""
        about = About(Owner.store(store_id), subject=str(key_id))
        asked = {"grace_seconds": grace_seconds}
        async with self._audit.action(context, Action.KEY_ROTATE, about, asked) as entry:
            if entry.earlier is not None:
                return await self._key_made_before(store_id, entry, entry.earlier)
            issued = await self._api_keys.rotate(
                store_id, key_id, grace_seconds=grace_seconds, drawn=drawn(entry.seed)
            )
            if issued is None:
                return None
            entry.write({"key_id": issued.api_key.key_id})
        return _made(issued)

    async def _key_made_before(
        self, store_id: UUID, entry: ActionEntry, earlier: Mapping[str, str]
    ) -> MadeKey | None:
        key_id = UUID(earlier["key_id"])
        found = await self._api_keys.get(store_id, key_id)
        return None if found is None else MadeKey(found, await self._key_again(entry, key_id))

    async def _key_again(self, entry: ActionEntry, key_id: UUID) -> str | None:
        """The key, for whoever made it by the same form not long ago."""
        if entry.seed is None:
            return None
        key = new_key(drawn=drawn(entry.seed))
        return key if await self._api_keys.id_of(key) == key_id else None


def _made(issued: IssuedKey) -> MadeKey:
    return MadeKey(issued.api_key, issued.key)
