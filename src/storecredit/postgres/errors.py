"""What can go wrong with the database, said in few ways instead of the driver's many.

    DatabaseError
    ├── DatabaseUnavailable   away, starting up, a standby, connection lost, no answer in time
    │   ├── LockTimedOut      somebody else holds what was to be locked; nothing was done
    │   ├── StatementCancelled it took longer than it may, or somebody ended it; nothing was done
    │   └── CommitInDoubt     done here, and perhaps on no standby: a failover may undo it
    ├── DatabaseMisconfigured reachable, but not usable: one sentence says what to do
    └── StatementRefused      a function of ours refused; `sqlstate` says which of the known errors

Anything else the driver raises is a defect and passes through unchanged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from storecredit.postgres import poolers

# SQLSTATEs that say "not now" (PostgreSQL documentation, appendix A). By class: connection
# exception, insufficient resources, operator intervention (a cancelled statement too), system
# error; and of a session ended for its time: idle_in_transaction_session_timeout and
# transaction_timeout; and of a server that only reads for now: read_only_sql_transaction.
_AWAY_CLASSES: Final = frozenset({"08", "53", "57", "58"})
_AWAY: Final = frozenset({"25P03", "25P04", "25006"})
_LOCK_NOT_AVAILABLE: Final = "55P03"
_QUERY_CANCELED: Final = "57014"
# serialization_failure, deadlock_detected: the same statement may succeed now.
_TRANSIENT: Final = frozenset({"40001", "40P01"})
# What Citus says of a bucket that just moves, or whose node just went away, each with the SQLSTATE
# of something else. Who waited for the move meets rows that it had not seen, and is refused by the
# key; a node that the bucket has left passes on what it is asked, but for what it would announce.
_NODES: Final = (
    ("XX000", "duplicate key"),
    ("XX000", "failure on connection"),
    ("0A000", "cannot PREPARE a transaction"),
)
# A node that a bucket has left asks the new one, where nothing finds our schema by itself: what it
# is told is wrong with the statement, and not with ours.
_PASSED_ON: Final = "while executing command on "
_OF_STATEMENTS: Final = frozenset({"0A", "42", "XX"})

NOT_AVAILABLE: Final = "PostgreSQL is not available: "
"""How the message of a DatabaseUnavailable begins."""


class DatabaseError(Exception):
    """The database could not do what was asked."""


class DatabaseUnavailable(DatabaseError):
    """PostgreSQL is away, starting up, a standby, out of connections, or did not answer in time."""


class LockTimedOut(DatabaseUnavailable):
    """Somebody else holds what was to be locked; the transaction is rolled back."""


class StatementCancelled(DatabaseUnavailable):
    """It took longer than `statement_timeout`, or somebody cancelled it; it is rolled back."""


class CommitInDoubt(DatabaseUnavailable):
    """Committed here, but PostgreSQL stopped waiting for the synchronous standby to have it, too.

    A failover may undo it. The same request sent again waits for the standby anew.
    """


class DatabaseMisconfigured(DatabaseError):
    """PostgreSQL answers, but cannot be used; the message is one sentence for the operator."""


class StatementRefused(DatabaseError):
    """A function of ours ended with one of its known errors (SQLSTATE class SC)."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def is_transient(error: BaseException) -> bool:
    """Whether the same batch may simply be tried again on the same connection."""
    return getattr(error, "sqlstate", None) in _TRANSIENT


def _is_of_nodes(error: asyncpg.PostgresError) -> bool:
    """Whether it may succeed once it is known where the bucket is."""
    sqlstate = error.sqlstate or ""
    if sqlstate[:2] in _OF_STATEMENTS and _PASSED_ON in (error.context or ""):
        return True
    return any(sqlstate == code and words in str(error) for code, words in _NODES)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's exceptions into this module's."""
    try:
        yield
    except asyncpg.PostgresError as error:
        # The detail quotes values of the row: a prompt, an image URL. It must not reach a log.
        error.detail = None
        sqlstate = error.sqlstate or ""
        if sqlstate.startswith("SC"):
            raise StatementRefused(sqlstate, str(error)) from error
        if poolers.betrays_sharing(error):
            raise DatabaseUnavailable(poolers.SHARED) from error
        if sqlstate == _LOCK_NOT_AVAILABLE:
            raise LockTimedOut(f"another transaction is in the way: {error}") from error
        if sqlstate == _QUERY_CANCELED:
            raise StatementCancelled(f"{NOT_AVAILABLE}{error}") from error
        if _is_of_nodes(error) or sqlstate in _AWAY or sqlstate[:2] in _AWAY_CLASSES:
            refusal = poolers.refusal(str(error)) if sqlstate.startswith("08") else None
            if refusal is not None:
                raise DatabaseMisconfigured(refusal) from error
            raise DatabaseUnavailable(f"{NOT_AVAILABLE}{error}") from error
        raise
    except (asyncpg.DataError, asyncpg.ClientConfigurationError):
        raise  # a wrong argument: a defect, although the driver counts it as an interface error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        # InternalClientError: among others, the connection is told to be closed, and not closed
        # yet ("another operation is in progress"). Whatever it is, the connection is not usable.
        silent = isinstance(error, TimeoutError) and "no answer in time"
        reason = str(error) or silent or type(error).__name__
        raise DatabaseUnavailable(f"{NOT_AVAILABLE}{reason}") from error
