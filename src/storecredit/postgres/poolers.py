"""Whether a session is what we asked for, although a pooler may stand before PostgreSQL.

Hides what PgBouncer and its kind do to sessions. A pooler may keep to itself what a session asks
for at its start (PgBouncer: `ignore_startup_parameters`): then it works as the login, which may be
the owner of the tables, or looks for them elsewhere. Or it may lend a session for one transaction
only (transaction and statement pooling): then LISTEN, the locks of a session and prepared
statements are somebody else's a moment later. A pooler that does neither may stay.

Knows none of our names: what a session is to be is handed in.
"""

import csv
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import asyncpg

ADVICE: Final = (
    "name the server's direct address in the database URL, or set the pooler up as docs/poolers.md "
    "says"
)
"""What the operator is to do."""
WHO: Final = "a pooler (PgBouncer or its like)"
SHARED: Final = (
    f"The database URL leads to {WHO} in transaction or statement mode, where LISTEN, locks of a "
    f"session and prepared statements do not work: {ADVICE}."
)

# The one level that keeps a WARNING back (PostgreSQL documentation, 19.11.1).
_TOO_QUIET: Final = "error"
_ROUNDS: Final = 5
"""More than enough for a pooler at rest, which is found out in the first one."""

_LOGIN_ADVICE: Final = "check the database URL, and what the pooler knows of its login and database"
_REFUSALS: Final = {
    "unsupported startup parameter": (
        "that does not take what a session asks for at its start",
        ADVICE,
    ),
    "transaction blocks not allowed in statement pooling mode": ("in statement mode", ADVICE),
    **dict.fromkeys(
        ("authentication failed", "does not exist", "no such database", "no such user"),
        ("that lets nobody in by it", _LOGIN_ADVICE),
    ),
}
"""PgBouncer's words, or the server's passed on by it: what is the matter, and what to do."""


class UnfitSession(Exception):
    """A pooler makes sessions unusable for us; the message is one sentence for the operator."""


async def refuse_unfit(
    connection: asyncpg.Connection, asked_for: Mapping[str, str], *, also: Sequence[str] = ()
) -> list[str]:
    """See that a session has what it asked for at its start, by one round trip.

    `asked_for` are names and values of settings as SHOW prints them; of `role` it is the current
    user that is compared, and `client_min_messages` may be anything that lets a WARNING through.
    Returns the values of the SQL expressions in `also`, as text: a pooler goes on telling each new
    connection what it heard of the server at first (ParameterStatus). Raises UnfitSession, which
    names all that differs, and what the driver raises.
    """
    row = await _row(connection, [*map(_expression, asked_for), *also])
    found, others = row[: len(asked_for)], row[len(asked_for) :]
    faults = [
        f"{name} is {value}, not {asked_for[name]}"
        for name, value in zip(asked_for, found, strict=True)
        if not _is_good(name, value, asked_for[name])
    ]
    if faults:
        raise UnfitSession(
            f"The session does not have what it asked for ({'; '.join(faults)}), as {WHO} in "
            f"between does not pass it on: {ADVICE}."
        )
    return others


async def refuse_shared_sessions(
    connection: asyncpg.Connection, connect: Callable[[], Awaitable[asyncpg.Connection]]
) -> None:
    """See that a session stays with its connection from one transaction to the next.

    `connect` opens a second connection, by the same URL; it is called only if there is a pooler. A
    pooler that shares sessions out is known by it: two connections meet the same session, or one
    meets two. While others use it, too, that takes some luck; Listener looks again all the time.
    Raises UnfitSession, and what the driver raises.
    """
    # Whoever shares sessions out has to make keys for cancelling (BackendKeyData) of his own: the
    # server's says which session is meant, and not whose turn it is.
    pid = await _backend_pid(connection)
    if pid == connection.get_server_pid():
        return
    other = await connect()
    try:
        for _ in range(_ROUNDS):
            # Twice: one that lends what has been idle longest gives another each time.
            met = {await _backend_pid(connection), await _backend_pid(connection)}
            if met != {pid} or await _backend_pid(other) == pid:
                raise UnfitSession(SHARED)
    finally:
        await other.close()


def betrays_sharing(error: BaseException) -> bool:
    """Whether what a connection prepared is gone, or there before: it was another session's."""
    return isinstance(
        error,
        asyncpg.InvalidSQLStatementNameError | asyncpg.DuplicatePreparedStatementError,
    )


def refusal(reason: str) -> str | None:
    """The sentence for an error that says `reason`; None: no pooler refuses for good with it.

    For errors of class 08, connection exception: PgBouncer gives its own (src/client.c) and those
    of the server's log-in (src/server.c) the code 08P01, as if the server were away.
    """
    said = reason.split("\n", maxsplit=1)[0]
    for words, (meaning, advice) in _REFUSALS.items():
        if words in said:
            return f"The database URL leads to {WHO} {meaning} ({said}): {advice}."
    return None


def _expression(name: str) -> str:
    return "current_user" if name == "role" else f"current_setting('{name}')"


def _is_good(name: str, value: str, asked_for: str) -> bool:
    if name == "client_min_messages":
        return value != _TOO_QUIET
    return value == asked_for


async def _backend_pid(connection: asyncpg.Connection) -> int:
    (pid,) = await _row(connection, ["pg_backend_pid()"])
    return int(pid)


async def _row(connection: asyncpg.Connection, expressions: Sequence[str]) -> list[str]:
    """Values as text. COPY: the driver prepares whatever else has an answer, by two round trips.

    And what it has prepared is lost in a pooler that shares sessions out.
    """
    answer = bytearray()

    async def keep(chunk: bytes) -> None:
        answer.extend(chunk)

    query = f"SELECT {', '.join(expressions)}"
    await connection.copy_from_query(query, output=keep, format="csv")
    (row,) = csv.reader(io.StringIO(answer.decode(), newline=""))
    return row
