"""What differs between the generations of stores and of end users: names in SQL, nothing else.

Everything in this room is written once, for an owner of either kind; a further kind of owner would
be one more value here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from storecredit.ledger.owners import OwnerKind


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the sessions of one kind of owner stand, and the functions that change them."""

    sessions: str
    """The table of its sessions."""
    owner_id: str
    """The owner's id: as column of that table, as field of a log line and of a queued job."""
    commits: str
    """What the names of its group commits begin with, in logs and metrics."""
    create: str
    """Creates a batch and queues the jobs of what was created: one statement, one transaction."""
    start: str
    postpone: str
    complete: str
    fail: str
    forget_result: str
    forget_message: str


# The queue's name and, for each item, its job stand behind what the function takes. A batch that
# created nothing makes no job, and wakes no worker.
_CREATE: Final = """
WITH created AS MATERIALIZED (SELECT * FROM {function}($1, $2, $3, $4, $5, $6)),
    queued AS MATERIALIZED (
        SELECT enqueue_jobs($7, array_agg(c.session_id::text), array_agg(j.payload))
        FROM created c JOIN unnest($8::bytea[]) WITH ORDINALITY AS j (payload, n) ON j.n = c.ord
        WHERE c.outcome = 'created'
        HAVING count(*) > 0)
SELECT c.* FROM created c LEFT JOIN queued ON true"""

KINDS: Final[Mapping[OwnerKind, Kind]] = MappingProxyType(
    {
        OwnerKind.STORE: Kind(
            sessions="store_generation_sessions",
            owner_id="store_id",
            commits="",
            create=_CREATE.format(function="create_generations_across_stores"),
            start="SELECT * FROM start_generations_across_stores($1, $2)",
            postpone="SELECT * FROM postpone_store_generation($1, $2, $3, $4)",
            complete="SELECT * FROM complete_generations_across_stores($1, $2, $3)",
            fail="SELECT * FROM fail_generations_across_stores($1, $2, $3, $4, $5)",
            forget_result="SELECT forget_store_generation_result($1, $2)",
            forget_message="SELECT forget_store_generator_message($1, $2)",
        ),
        OwnerKind.USER: Kind(
            sessions="generation_sessions",
            owner_id="user_id",
            commits="user_",
            create=_CREATE.format(function="create_generations_across_users"),
            start="SELECT * FROM start_generations_across_users($1, $2)",
            postpone="SELECT * FROM postpone_generation($1, $2, $3, $4)",
            complete="SELECT * FROM complete_generations_across_users($1, $2, $3)",
            fail="SELECT * FROM fail_generations_across_users($1, $2, $3, $4, $5)",
            forget_result="SELECT forget_generation_result($1, $2)",
            forget_message="SELECT forget_generator_message($1, $2)",
        ),
    }
)
