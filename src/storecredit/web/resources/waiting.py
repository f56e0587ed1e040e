"""An answer that waits: how long a request asks for it, and the wait.

A read asks by its query, `?wait=30`; a creation by a preference, `Prefer: wait=30` (RFC 7240, 4.3),
because what it asks for is the same with and without.
"""

import re
import time
from typing import Annotated, Final
from uuid import UUID

from litestar.params import QueryParameter
from litestar.types import HTTPScope
from msgspec.structs import replace

from storecredit.generation.endings import WAIT_MAX_SECONDS
from storecredit.generation.sessions import Session
from storecredit.ledger.owners import Account
from storecredit.object_storage.errors import BucketUnusable
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.group_commit import WaitingLineFull
from storecredit.web.http.envelope import Success
from storecredit.web.http.headers import CREDITS_REMAINING, SentHeaders
from storecredit.web.http.links import link_base
from storecredit.web.http.visits import Visit, visit_of
from storecredit.web.parts import Parts
from storecredit.web.resources.generation_views import GenerationCreated, generation_view

PREFER: Final = b"prefer"
PREFER_MAX: Final = 1000
"""Characters of preferences; of more none is looked at."""

Wait = Annotated[
    int | None,
    QueryParameter(
        ge=0,
        le=WAIT_MAX_SECONDS,
        description="Answer when the generation has ended, or after so many seconds with what it "
        "is then. Unless given, at once.",
    ),
]

_PREFERENCE: Final = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*(?:"|$))+')
"""One of a list; a quoted string may hold commas."""
_WAIT: Final = re.compile(
    r'\s*wait\s*(?:=\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s;"]*))\s*)?(?:;.*)?', re.IGNORECASE
)


def preferred_wait(sent: SentHeaders) -> int | None:
    """The seconds that a request prefers to wait, as many as may be; None: it does not.

    Without a number it is as long as may be. A preference that cannot be obeyed is passed over and
    never refused, and of one that stands there twice the first counts (RFC 7240, 2).
    """
    if PREFER not in sent:
        return None
    preferences = ",".join(sent.all(PREFER))
    if len(preferences) > PREFER_MAX:
        return None
    for preference in _PREFERENCE.findall(preferences):
        found = _WAIT.fullmatch(preference)
        if found is not None:
            return _seconds(found["quoted"] or found["bare"] or "")
    return None


def _seconds(text: str) -> int | None:
    if not text:
        return WAIT_MAX_SECONDS
    is_number = text.isascii() and text.isdecimal()
    return min(int(text), WAIT_MAX_SECONDS) if is_number else None


async def waited(
    parts: Parts, visit: Visit, account_id: int, session_id: UUID, seconds: int
) -> Session | None:
    """The generation once it has ended, or as it is when the time is over; None: there is none.

    Or sooner: where the client goes away or the service stops. Raises DatabaseUnavailable.
    """
    began = time.monotonic()
    try:
        return await parts.endings.wait(account_id, session_id, seconds, unless=visit.left())
    finally:
        # Calls of one request wait side by side.
        visit.waited_seconds = max(visit.waited_seconds, time.monotonic() - began)


async def after_waiting(
    scope: HTTPScope,
    parts: Parts,
    account: Account,
    made: Success[GenerationCreated],
    seconds: int,
) -> Success[GenerationCreated]:
    """The answer to a creation, once the generation has ended or the time is over.

    At once, as if nobody had asked to wait, where too many do, or the generation cannot be read or
    is in the archive: that it was made is known. Of one that failed the credits are back, and in
    the balance.
    """
    if not parts.endings.has_room:
        return made
    try:
        session = await waited(parts, visit_of(scope), account.id, made.data.session_id, seconds)
        if session is None:
            return made  # made long ago, and archived since
        balance = made.data.balance
        if session.credits_refunded:
            balance = (await parts.balances.read(account)).balance
        view = await generation_view(session, parts, link_base(scope, parts))
    except (DatabaseUnavailable, WaitingLineFull, BucketUnusable):
        return made
    data = replace(made.data, status=session.status, balance=balance, generation=view)
    headers = {CREDITS_REMAINING: str(balance), "Preference-Applied": f"wait={seconds}"}
    return Success(data, made.status, {**made.headers, **headers})
