"""Webhook endpoints: the URLs to which an owner's events are sent, and the secrets that sign them.

Hides the SQL. Promises that a secret is told once and can be read by no query afterwards, that an
owner never has more endpoints than it may, and that another owner's endpoint is as absent as an
unknown one. An URL may hold a secret in its query: it is shown to its owner alone, and logged
nowhere.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, get_args
from uuid import UUID

from uuid_utils.compat import uuid7

from storecredit.postgres.buckets import Buckets, fetched
from storecredit.postgres.servers import Record
from storecredit.webhooks.catalogue import EVERY
from storecredit.webhooks.messages import secret_text
from storecredit.webhooks.relay import RELAY, heard_everywhere

OPERATOR_ACCOUNT: Final = 0
"""Whose endpoints the operator's own are; they hear of every owner."""
ENDPOINTS_MAX: Final = 10
"""Of one owner."""
SECRETS_MAX: Final = 5
"""Of one endpoint that are valid at once, while they are replaced."""
SECRET_BYTES: Final = 32
URL_LENGTH_MAX: Final = 2000
DESCRIPTION_LENGTH_MAX: Final = 200
TYPES_MAX: Final = 50
OVERLAP_SECONDS_DEFAULT: Final = 24 * 3600
OVERLAP_SECONDS_MAX: Final = 30 * 24 * 3600

Status = Literal["enabled", "disabled"]
DisabledReason = Literal["requested", "gone", "failing"]
Standing = Literal["working", "failing", "given_up"]
"""Of an endpoint: its last attempt was taken, or failed; it was disabled because it failed."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint, without its secrets.

    `event_types`: those it is told; `EVERY` stands for all that its owner may hear. `ordered`: one
    event after the other. `disabled_reason` requested: by its owner; gone: it answered 410;
    failing: it had failed for five days. `failing_since`: since when every attempt has failed.
    """

    endpoint_id: UUID
    url: str = field(repr=False)
    event_types: tuple[str, ...]
    description: str
    ordered: bool
    status: Status
    disabled_reason: DisabledReason | None
    disabled_at: datetime | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class UnwellEndpoint:
    """An endpoint that takes nothing, and whose it is; `store_id` None: the operator's own."""

    endpoint: Endpoint
    store_id: UUID | None


@dataclass(frozen=True, slots=True)
class IssuedSecret:
    """An endpoint and its new `secret` (`whsec_…`), which can be shown this once and never again.

    `previous_expires_at`: until when those before it sign along; None: there was none.
    """

    endpoint: Endpoint
    secret: str = field(repr=False)
    previous_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TooManyEndpoints:
    """The owner has `ENDPOINTS_MAX` of them; nothing was made."""


@dataclass(frozen=True, slots=True)
class TooManySecrets:
    """So many secrets are valid that one more has to wait, until then, or ask for less overlap."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Disabled:
    """The endpoint is sent nothing while it is disabled; nothing was changed."""


class Endpoints:
    """The endpoints of all owners; each call is about one owner's, by its account."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

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
        """Send the owner's events of these types to `url` from now on. What may be one is settled.

        `secret`: `SECRET_BYTES` random ones, for whoever can draw them again. Not idempotent: each
        call makes an endpoint.
        """
        endpoint_id, secret = uuid7(), secret or secrets.token_bytes(SECRET_BYTES)
        outcome = await self._buckets.of_account(account_id).fetchval(
            "SELECT create_webhook_endpoint($1, $2, $3, $4, $5, $6, $7, $8)",
            account_id,
            endpoint_id,
            secret,
            url,
            _each_once(event_types),
            description,
            ordered,
            ENDPOINTS_MAX,
        )
        if outcome == "full":
            return TooManyEndpoints()
        await self._heard(account_id)
        made = await self.get(account_id, endpoint_id)
        if made is None:
            raise RuntimeError("a webhook endpoint vanished right after it was made")
        return IssuedSecret(made, secret_text(secret))

    async def count(self) -> Mapping[Standing, int]:
        """How many there are of all owners, by how they stand; those disabled on request not."""
        rows = await fetched(
            self._buckets,
            """SELECT count(*) FILTER (WHERE status = 'enabled' AND failing_since IS NULL)
                       AS working,
                   count(*) FILTER (WHERE status = 'enabled' AND failing_since IS NOT NULL)
                       AS failing,
                   count(*) FILTER (WHERE disabled_reason IN ('gone', 'failing')) AS given_up
               FROM webhook_endpoints WHERE endpoint_id <> $1""",
            RELAY,
        )
        return {standing: sum(row[standing] for row in rows) for standing in get_args(Standing)}

    async def unwell(self, *, limit: int) -> tuple[UnwellEndpoint, ...]:
        """Those of all owners that fail or were given up, the longest first; `limit` at most.

        Reads every endpoint there is, as `count` does.
        """
        rows = await fetched(
            self._buckets,
            """SELECT e.*, a.owner_id AS store_id
               FROM webhook_endpoints e LEFT JOIN accounts a USING (account_id)
               WHERE (status = 'enabled' AND failing_since IS NOT NULL)
                   OR disabled_reason IN ('gone', 'failing')
               ORDER BY coalesce(failing_since, disabled_at), endpoint_id LIMIT $1""",
            limit,
        )
        rows.sort(key=lambda row: (row["failing_since"] or row["disabled_at"], row["endpoint_id"]))
        return tuple(UnwellEndpoint(_endpoint(row), row["store_id"]) for row in rows[:limit])

    async def get(self, account_id: int, endpoint_id: UUID) -> Endpoint | None:
        """The endpoint; None: the owner has none of that id."""
        row = await self._buckets.of_account(account_id).fetchrow(
            "SELECT * FROM webhook_endpoints WHERE account_id = $1 AND endpoint_id = $2",
            account_id,
            endpoint_id,
        )
        return None if row is None else _endpoint(row)

    async def list(self, account_id: int) -> tuple[Endpoint, ...]:
        """The owner's endpoints, newest first, those that are disabled included."""
        rows = await self._buckets.of_account(account_id).fetch(
            "SELECT * FROM webhook_endpoints WHERE account_id = $1"
            " ORDER BY endpoint_id DESC LIMIT $2",
            account_id,
            ENDPOINTS_MAX,
        )
        return tuple(_endpoint(row) for row in rows)

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
        """Change what is given; None leaves a value as it was. None: the owner has no such one."""
        found = await self._buckets.of_account(account_id).fetchval(
            "SELECT update_webhook_endpoint($1, $2, $3, $4, $5, $6)",
            account_id,
            endpoint_id,
            url,
            None if event_types is None else _each_once(event_types),
            description,
            ordered,
        )
        await self._heard(account_id)
        return await self.get(account_id, endpoint_id) if found else None

    async def set_status(
        self, account_id: int, endpoint_id: UUID, status: Status
    ) -> Endpoint | None:
        """Stop sending to it or begin again. None: the owner has no such endpoint."""
        found = await self._buckets.of_account(account_id).fetchval(
            "SELECT set_webhook_endpoint_status($1, $2, $3)", account_id, endpoint_id, status
        )
        await self._heard(account_id)
        return await self.get(account_id, endpoint_id) if found else None

    async def delete(self, account_id: int, endpoint_id: UUID) -> bool:
        """Remove it for ever; False: the owner has no such endpoint."""
        deleted = await self._buckets.of_account(account_id).fetchval(
            "SELECT delete_webhook_endpoint($1, $2)", account_id, endpoint_id
        )
        await self._heard(account_id)
        return bool(deleted)

    async def rotate(
        self,
        account_id: int,
        endpoint_id: UUID,
        *,
        overlap_seconds: int = OVERLAP_SECONDS_DEFAULT,
        secret: bytes | None = None,
    ) -> IssuedSecret | TooManySecrets | None:
        """Give it a new secret; those before it sign along for 0 to `OVERLAP_SECONDS_MAX` more.

        `secret` as of `create`. None: the owner has no such endpoint. Not idempotent.
        """
        if not 0 <= overlap_seconds <= OVERLAP_SECONDS_MAX:
            raise ValueError(f"the overlap is 0 to {OVERLAP_SECONDS_MAX} s, not {overlap_seconds}")
        secret = secret or secrets.token_bytes(SECRET_BYTES)
        row = await self._buckets.of_account(account_id).fetchrow(
            "SELECT * FROM rotate_webhook_secret($1, $2, $3, $4, $5)",
            account_id,
            endpoint_id,
            secret,
            overlap_seconds,
            SECRETS_MAX,
        )
        assert row is not None, "a function with OUT parameters has one row"
        if row["outcome"] == "full":
            return TooManySecrets(row["previous_expires_at"])
        found = await self.get(account_id, endpoint_id)
        if row["outcome"] == "not_found" or found is None:
            return None
        return IssuedSecret(found, secret_text(secret), row["previous_expires_at"])

    async def is_signed_with(self, account_id: int, endpoint_id: UUID, secret: bytes) -> bool:
        """Whether the owner's endpoint is told what is signed with this secret, too."""
        signs: bool = await self._buckets.of_account(account_id).fetchval(
            "SELECT webhook_secret_signs($1, $2, $3)", account_id, endpoint_id, secret
        )
        return signs

    async def test(self, account_id: int, endpoint_id: UUID) -> UUID | Disabled | None:
        """Tell it alone of a test event, and which one; None: the owner has no such endpoint."""
        row = await self._buckets.of_account(account_id).fetchrow(
            "SELECT * FROM test_webhook_endpoint($1, $2)", account_id, endpoint_id
        )
        assert row is not None, "a function with OUT parameters has one row"
        if row["outcome"] == "disabled":
            return Disabled()
        event_id: UUID | None = row["event_id"]
        return event_id

    async def _heard(self, account_id: int) -> None:
        """Have other buckets write what the operator hears; after the transaction, if there is one.

        Whoever holds a connection to the first bucket asks no other.
        """
        buckets = self._buckets
        if account_id == OPERATOR_ACCOUNT and buckets.several and not buckets.home.in_transaction:
            await heard_everywhere(buckets)


def _each_once(event_types: Sequence[str]) -> list[str]:
    return [EVERY] if EVERY in event_types else list(dict.fromkeys(event_types))


def _endpoint(row: Record) -> Endpoint:
    return Endpoint(
        endpoint_id=row["endpoint_id"],
        url=row["url"],
        event_types=tuple(row["event_types"]),
        description=row["description"],
        ordered=row["is_ordered"],
        status=row["status"],
        disabled_reason=row["disabled_reason"],
        disabled_at=row["disabled_at"],
        failing_since=row["failing_since"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
