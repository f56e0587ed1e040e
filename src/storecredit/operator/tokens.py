"""The tokens of operators: each has a name, by which the audit log knows it, scopes and an end.

Beside them stands `STORECREDIT_ADMIN_TOKEN`, which may do everything and is called `admin`. Whether
a token works is asked of the database at each request: one that was revoked is refused at once.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

from storecredit.operator.audit import (
    ACTOR_MAX,
    About,
    Action,
    ActionContext,
    ActionEntry,
    AuditLog,
)
from storecredit.operator.drawing import drawn
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record
from storecredit.stores.api_keys import START_LENGTH, is_well_formed, key_hash, new_key

TOKEN_PREFIX: Final = "sc_admin_"  # noqa: S105 - how every one begins
ADMIN: Final = "admin"
"""The name of whoever calls with `STORECREDIT_ADMIN_TOKEN`."""
STORE: Final = "store"
"""The actor of what a store does in its portal, signed in by its key."""
LISTED_MAX: Final = 100


class Scope(StrEnum):
    """What may be done with a token."""

    READ = "read"
    """Look at everything."""
    CREDITS = "credits"
    """Add credits, remove, hand over; spend, hold and give back for end users."""
    KEYS = "keys"
    """Make, change, replace and revoke stores' API keys, and links that let them into portals."""
    ALL = "all"
    """Everything, tokens included."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An operator who was let in: what the log calls them, and what they may do.

    `has_token`: by a token, named or `STORECREDIT_ADMIN_TOKEN`; False: by a command's link, which
    nothing is behind. The name says nothing of it: a token may bear that of a login.
    """

    name: str
    scopes: frozenset[Scope]
    has_token: bool = True

    def may(self, scope: Scope) -> bool:
        """Whether they may do what needs this scope."""
        return scope in self.scopes or Scope.ALL in self.scopes


ADMINISTRATOR: Final = Principal(ADMIN, frozenset({Scope.ALL}))


@dataclass(frozen=True, slots=True)
class AdminToken:
    """One token, without its secret. `expires_at`, `revoked_at` None: not so far."""

    token_id: UUID
    name: str
    token_start: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token. `token`: shown this once; None: the request was sent before.

    Who sent it before by the same form, not long ago, is shown it again.
    """

    admin_token: AdminToken
    token: str | None = field(repr=False)


class NameTaken(Exception):
    """Another token has the name, or had it; nothing was made."""


class AdminTokens:
    """All tokens of operators."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    async def authenticate(self, token: str) -> Principal | None:
        """Who sends this token; None: it is none of ours, or no longer works.

        Raises DatabaseUnavailable when that cannot be known.
        """
        if not is_well_formed(token, TOKEN_PREFIX):
            return None
        row = await self._database.fetchrow(
            """SELECT name, scopes FROM admin_tokens WHERE token_hash = $1
               AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())""",
            key_hash(token),
        )
        return None if row is None else Principal(row["name"], _scopes(row))

    async def create(
        self,
        context: ActionContext,
        name: str,
        scopes: Collection[Scope],
        expires_at: datetime | None = None,
    ) -> IssuedToken:
        """Give an operator a token of 1 to 4 scopes.

        Raises NameTaken; ValueError, with a message fit for people, for a name that cannot be;
        IdempotencyConflict, DatabaseUnavailable.
        """
        name = _checked(name)
        asked = {"name": name, "scopes": sorted(scopes), "expires_at": expires_at}
        async with self._audit.action(context, Action.TOKEN_CREATE, asked=asked) as entry:
            if entry.earlier is not None:
                return await self._issued_before(entry, UUID(entry.earlier["token_id"]))
            token, token_id = new_key(TOKEN_PREFIX, drawn=drawn(entry.seed)), uuid7()
            made = await self._database.fetchval(
                "SELECT create_admin_token($1, $2, $3, $4, $5, $6)",
                token_id,
                name,
                key_hash(token),
                token[:START_LENGTH],
                sorted(scopes),
                expires_at,
            )
            if not made:
                raise NameTaken(name)
            entry.write({"token_id": token_id}, subject=token_id)
            return IssuedToken(await self._existing(token_id), token)

    async def revoke(self, context: ActionContext, token_id: UUID) -> bool:
        """Make it useless for ever, at once; False: there is no such token."""
        about = About(subject=str(token_id))
        async with self._audit.action(context, Action.TOKEN_REVOKE, about) as entry:
            if entry.earlier is not None:
                return True
            revoked: bool = await self._database.fetchval("SELECT revoke_admin_token($1)", token_id)
            if revoked:
                entry.write()
        return revoked

    async def list(self) -> tuple[AdminToken, ...]:
        """The newest `LISTED_MAX`, newest first, those that stopped working included."""
        rows = await self._database.fetch(
            "SELECT * FROM admin_tokens ORDER BY token_id DESC LIMIT $1", LISTED_MAX
        )
        return tuple(_admin_token(row) for row in rows)

    async def named(self, text: str) -> AdminToken | None:
        """The token of this id or name; an id is meant though another has it for its name."""
        row = await self._database.fetchrow(
            """SELECT * FROM admin_tokens WHERE name = $1 OR token_id::text = lower($1)
               ORDER BY name = $1 LIMIT 1""",
            text,
        )
        return None if row is None else _admin_token(row)

    async def _issued_before(self, entry: ActionEntry, token_id: UUID) -> IssuedToken:
        """With the token, for whoever made it by the same form not long ago."""
        found = await self._existing(token_id)
        if entry.seed is None:
            return IssuedToken(found, None)
        token = new_key(TOKEN_PREFIX, drawn=drawn(entry.seed))
        is_it = await self._database.fetchval(
            "SELECT token_hash = $2 FROM admin_tokens WHERE token_id = $1",
            token_id,
            key_hash(token),
        )
        return IssuedToken(found, token if is_it else None)

    async def _existing(self, token_id: UUID) -> AdminToken:
        row = await self._database.fetchrow(
            "SELECT * FROM admin_tokens WHERE token_id = $1", token_id
        )
        assert row is not None, "tokens are never removed"
        return _admin_token(row)


def _checked(name: str) -> str:
    name = name.strip()
    if not (1 <= len(name) <= ACTOR_MAX and name.isprintable()):
        raise ValueError(f"a name has 1 to {ACTOR_MAX} printable characters")
    if name == ADMIN:
        raise ValueError(f"{ADMIN!r} is who calls with STORECREDIT_ADMIN_TOKEN")
    if name == STORE:
        # What was done in a portal by a link of theirs would be told of the store's own key.
        raise ValueError(f"{STORE!r} is who signed in to the portal by a store's key")
    return name


def _admin_token(row: Record) -> AdminToken:
    return AdminToken(
        token_id=row["token_id"],
        name=row["name"],
        token_start=row["token_start"],
        scopes=_scopes(row),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )


def _scopes(row: Record) -> frozenset[Scope]:
    return frozenset(map(Scope, row["scopes"]))
