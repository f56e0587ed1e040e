"""Who is signed in with a browser: operators at the console, stores at the portal.

Hides secrets, cookies and links. Promises that nothing by which somebody could come in is kept,
neither here nor in the database; that a link works once; and that a sign-in ends with whatever is
behind it, at once and on every process: whether it holds is asked of the database at each request.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Final, Literal
from uuid import UUID

from itsdangerous import Signer
from uuid_utils.compat import uuid7

from storecredit.data_files.signing_key import signing_key
from storecredit.operator.drawing import drawn, seed_of_form
from storecredit.operator.late_sign_outs import LateSignOuts
from storecredit.operator.stores_elsewhere import StoresElsewhere
from storecredit.operator.tokens import ADMIN, STORE, TOKEN_PREFIX, Principal, Scope
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.servers import Record
from storecredit.settings import Settings
from storecredit.stores.api_keys import is_well_formed, key_hash

Door = Literal["console", "portal"]

CONSOLE_SECONDS: Final = 12 * 3600
CONSOLE_LINK_SECONDS: Final = 15 * 60
PORTAL_SECONDS: Final = 3600
PORTAL_SECONDS_MAX: Final = 24 * 3600
LINK_SECONDS: Final = 300
LINK_SECONDS_MAX: Final = 24 * 3600
COOKIE_MAX_CHARACTERS: Final = 200
SECRET_BYTES: Final = 32

_SALT: Final = b"storecredit.sign-in."
_FIND: Final = """
    SELECT i.sign_in_id, i.store_id, i.key_id, i.actor, i.created_at, i.expires_at,
           i.token_id IS NOT NULL OR i.admin_mark IS NOT NULL AS has_token,
           t.scopes, s.name AS store_name
    FROM sign_ins i
    LEFT JOIN admin_tokens t ON t.token_id = i.token_id
    LEFT JOIN stores s ON s.store_id = i.store_id
    WHERE i.secret_hash = $1 AND i.door = $2 AND i.expires_at > now()
      AND still_vouched(i.token_id, i.admin_mark, $3, i.store_id, i.key_id)"""


@dataclass(frozen=True, slots=True)
class SignIn:
    """One browser that is signed in. At the console `principal`, at the portal `store_id` is given.

    `store_name`: of that store; `key_id`: its key that the sign-in came by, and ends with, if any.
    `principal` may do what their token may now. `actor` is who it is for the log: the operator's
    name, or who issued the link to the portal; `STORE` for who came with a store's key. A form must
    bring the `csrf_token`, which only pages of this sign-in know. What is secret of what its forms
    make is drawn from `seed`.
    """

    sign_in_id: UUID
    door: Door
    principal: Principal | None
    store_id: UUID | None
    store_name: str | None
    key_id: UUID | None
    actor: str
    created_at: datetime
    expires_at: datetime
    csrf_token: str = field(repr=False)
    seed: bytes = field(repr=False)

    def may(self, scope: str) -> bool:
        """Whether they may do what needs a scope. A store may do all that its portal has."""
        return self.principal is None or self.principal.may(Scope(scope))


@dataclass(frozen=True, slots=True)
class NewSignIn:
    """A sign-in that began, and the value of its cookie, which can be given this once."""

    sign_in: SignIn
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Link:
    """The code of a link, which can be shown this once, and until when it can be used."""

    door: Door
    code: str = field(repr=False)
    expires_at: datetime

    @property
    def path(self) -> str:
        """Where it leads, below the address of the service."""
        return f"/{self.door}/sign-in/{self.code}"


class SignIns:
    """All sign-ins and links of the database. Methods that do not say so raise DatabaseUnavailable.

    `late`: what was to be ended meanwhile; whoever serves has it run.
    """

    def __init__(self, buckets: Buckets, settings: Settings) -> None:
        self._buckets = buckets
        self._database = buckets.home
        self._elsewhere = StoresElsewhere(buckets)
        self._settings = settings
        self.late = LateSignOuts(self._end)

    async def with_token(self, token: str) -> NewSignIn | None:
        """Sign an operator in, by STORECREDIT_ADMIN_TOKEN or a token of a name.

        None: it does not work.
        """
        admin_token = self._admin_token
        if admin_token and hmac.compare_digest(_encoded(token), admin_token):
            return await self._begun("console", CONSOLE_SECONDS, None, self._admin_mark)
        if not is_well_formed(token, TOKEN_PREFIX):
            return None
        return await self._begun("console", CONSOLE_SECONDS, key_hash(token), None)

    async def with_key(self, key: str) -> NewSignIn | None:
        """Sign a store in by one of its API keys; None: it does not work, or the store may not."""
        if not is_well_formed(key):
            return None
        digest = key_hash(key)
        found = await self._elsewhere.key(digest)
        if found is not None:
            return await self._with_key_of(*found)
        return await self._begun("portal", PORTAL_SECONDS, digest, None)

    async def console_link(self, actor: str = ADMIN) -> Link:
        """A link that signs in as this operator, who may do everything.

        For commands, whose caller could write to the database as well: no token is behind it, so
        that what it begins ends by itself alone, or by signing out.
        """
        return await self._link("console", actor, (CONSOLE_LINK_SECONDS, CONSOLE_SECONDS))

    async def portal_link(
        self,
        store_id: UUID,
        issued_by: str,
        *,
        seconds: int = PORTAL_SECONDS,
        behind: UUID | Principal | None = None,
        link_seconds: int = LINK_SECONDS,
        of: bytes | None = None,
    ) -> Link:
        """A link to the portal of a store that there is; what it begins lasts for `seconds`.

        It and what it begins end with what is `behind` it: the store's key that issued it, by its
        id, or the operator's token; None, or an operator without one: somebody at the command line
        did. `issued_by` is for the log. `seconds` are 1 to `PORTAL_SECONDS_MAX`, `link_seconds` 1
        to `LINK_SECONDS_MAX`; `of`: `SECRET_BYTES` random ones to make it of, for whoever can draw
        them again.

        Of a store in another bucket than the first it is kept whatever becomes of the transaction
        under way; what was made of the same bytes before is the same link.
        """
        if not 1 <= seconds <= PORTAL_SECONDS_MAX:
            raise ValueError(f"a sign-in lasts 1 to {PORTAL_SECONDS_MAX} s, not {seconds}")
        if not 1 <= link_seconds <= LINK_SECONDS_MAX:
            raise ValueError(f"a link works for 1 to {LINK_SECONDS_MAX} s, not {link_seconds}")
        if of is not None and self._buckets.several:
            before = await self.link_again(store_id, of)
            if before is not None:
                return before
        return await self._link("portal", issued_by, (link_seconds, seconds), behind, store_id, of)

    async def link_again(self, store_id: UUID, of: bytes) -> Link | None:
        """The link to a store's portal that was made of these; None: it was used, or is over."""
        code = _code(of)
        expires_at = await self._database.fetchval(
            """SELECT expires_at FROM sign_in_links
               WHERE code_hash = $1 AND store_id = $2 AND expires_at > now()""",
            _hash(code),
            store_id,
        )
        return None if expires_at is None else Link("portal", code, expires_at)

    async def with_link(self, code: str, door: Door, form_id: str = "") -> NewSignIn | None:
        """Sign in by a link, which is used up by that.

        None: there is none at this door, it was used before, its time is over, or what is behind it
        works no longer. Of several who come at once, one is signed in; whoever comes again by the
        same form is the same: two clicks of a browser that shows the second answer alone.
        """
        seed = hmac.digest(self._key, _SALT + b"link." + _encoded(code), sha256)
        secret = _code(drawn(seed_of_form(seed, form_id) if form_id else None))
        begun = await self._elsewhere.may_be_used(_hash(code)) and await self._database.fetchval(
            "SELECT sign_in_by_link($1, $2, $3, $4, $5)",
            uuid7(),
            _hash(secret),
            _hash(code),
            door,
            self._admin_mark,
        )
        return await self._new(secret, door) if begun or form_id else None

    async def store_of_link(self, code: str) -> UUID | None:
        """Whose portal a link leads to, which is not used up by asking; None: it leads to none."""
        store_id: UUID | None = await self._database.fetchval(
            "SELECT store_id FROM sign_in_links WHERE code_hash = $1", _hash(code)
        )
        return store_id

    async def find(self, cookie: str, door: Door) -> SignIn | None:
        """Who is signed in.

        None: the cookie is none of ours or of this door, they signed out, the time is over, or what
        is behind it works no longer: the token or the key was revoked, has expired or was replaced,
        or the store is suspended.
        """
        secret = self._secret_of(cookie, door)
        if secret is None or (_hash(secret), door) in self.late:
            return None
        return await self._found(secret, door)

    async def end(self, cookie: str, door: Door) -> bool:
        """Sign out; who is not signed in may be, again.

        False: the database is away, and is told of it once it is back. This process lets nobody in
        by the cookie from now on; others might, in between.
        """
        secret = self._secret_of(cookie, door)
        if secret is None:
            return True
        try:
            await self._end(_hash(secret), door)
        except DatabaseUnavailable:
            self.late.add(_hash(secret), door)
            return False
        return True

    async def _end(self, secret_hash: bytes, door: str) -> None:
        await self._database.fetchval("SELECT end_sign_in($1, $2)", secret_hash, door)

    async def _begun(
        self, door: Door, seconds: int, digest: bytes | None, admin_mark: bytes | None
    ) -> NewSignIn | None:
        secret = secrets.token_urlsafe(SECRET_BYTES)
        arguments = [uuid7(), _hash(secret), seconds, digest]
        if door == "portal":
            begun = await self._database.fetchval(
                "SELECT sign_in_store($1, $2, $3, $4)", *arguments
            )
        else:
            begun = await self._database.fetchval(
                "SELECT sign_in_operator($1, $2, $3, $4, $5)", *arguments, admin_mark
            )
        return await self._new(secret, door) if begun else None

    async def _with_key_of(self, store_id: UUID, key_id: UUID) -> NewSignIn | None:
        """Sign a store of another bucket in by this key of its own: by a link, used at once."""
        seconds = LINK_SECONDS, PORTAL_SECONDS
        link = await self._link("portal", STORE, seconds, key_id, store_id)
        return await self.with_link(link.code, "portal")

    async def _link(
        self,
        door: Door,
        issued_by: str,
        seconds: tuple[int, int],
        behind: UUID | Principal | None = None,
        store_id: UUID | None = None,
        of: bytes | None = None,
    ) -> Link:
        """`seconds`: how long it can be used, and how long what it begins lasts."""
        code = _code(of or drawn(None))
        operator = None
        if isinstance(behind, Principal) and behind.has_token:
            operator = behind.name
        expires_at: datetime = await self._database.fetchval(
            "SELECT make_sign_in_link($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            _hash(code),
            door,
            issued_by,
            *seconds,
            None if operator == ADMIN else operator,
            self._admin_mark if operator == ADMIN else None,
            store_id,
            behind if isinstance(behind, UUID) else None,
        )
        return Link(door, code, expires_at)

    async def _new(self, secret: str, door: Door) -> NewSignIn | None:
        """None: what is behind it stopped working just now."""
        sign_in = await self._found(secret, door)
        cookie = self._signer(door).sign(secret).decode()
        return None if sign_in is None else NewSignIn(sign_in, cookie)

    async def _found(self, secret: str, door: Door) -> SignIn | None:
        row = await self._database.fetchrow(_FIND, _hash(secret), door, self._admin_mark)
        if row is None:
            return None
        store_name = row["store_name"]
        if row["store_id"] is not None and store_name is None:
            store_name = await self._elsewhere.name(row["store_id"], row["key_id"])
            if store_name is None:
                return None
        return SignIn(
            sign_in_id=row["sign_in_id"],
            door=door,
            principal=_principal(row) if door == "console" else None,
            store_id=row["store_id"],
            store_name=store_name,
            key_id=row["key_id"],
            actor=row["actor"],
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            csrf_token=_csrf_token(secret),
            seed=hmac.digest(self._key, _SALT + b"seed." + secret.encode(), sha256),
        )

    def _secret_of(self, cookie: str, door: Door) -> str | None:
        """What a cookie of ours says; None: it is none, or not of this door."""
        if len(cookie) > COOKIE_MAX_CHARACTERS or not cookie.isascii():
            return None
        secret = cookie.rpartition(".")[0]
        # Signed anew, not verified: of a signature in base64 some last characters mean the same.
        is_ours = hmac.compare_digest(self._signer(door).sign(secret).decode(), cookie)
        return secret if is_ours else None

    def _signer(self, door: Door) -> Signer:
        return Signer(
            self._key, salt=_SALT + door.encode(), key_derivation="hmac", digest_method=sha256
        )

    @cached_property
    def _key(self) -> bytes:
        """Read when it is needed: a command makes no file where no service has its data."""
        return signing_key(self._settings.data_dir, self._settings.signing_key)

    @cached_property
    def _admin_mark(self) -> bytes:
        """Tells whether STORECREDIT_ADMIN_TOKEN is the same as it was, and nothing else of it.

        Not a mere hash: it may be short enough to be tried out by who reads the database.
        """
        return hmac.digest(self._key, _SALT + b"admin." + self._admin_token, sha256)

    @property
    def _admin_token(self) -> bytes:
        token = self._settings.admin_token
        return token.get_secret_value().encode() if token else b""


def _principal(row: Record) -> Principal:
    """Without a token of a name, it was STORECREDIT_ADMIN_TOKEN, or a command."""
    scopes = [Scope.ALL] if row["scopes"] is None else row["scopes"]
    return Principal(row["actor"], frozenset(map(Scope, scopes)), row["has_token"])


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _hash(secret: str) -> bytes:
    """SHA-256. A fast hash is enough: 256 random bits cannot be tried out."""
    return sha256(_encoded(secret)).digest()


def _code(of: bytes) -> str:
    return urlsafe_b64encode(of).rstrip(b"=").decode()


def _csrf_token(secret: str) -> str:
    return urlsafe_b64encode(hmac.digest(secret.encode(), b"storecredit csrf", sha256)).decode()
