"""What reads a page of the audit log, by what is wanted of it; each by an index.

$1: the entry before which the page begins. $2 actor, $3 action, $4 request id, $5 and $6 the times,
null where any will do. $7: how many. $8: the account, of an owner.
"""

from typing import Final

# `coalesce`: all fit where nothing is wanted, and no index is used but the one that is meant.
_FILTERS: Final = {
    "actor": "coalesce(actor = $2::text, true)",
    "action": "coalesce(action = $3::text, true)",
    "request_id": "coalesce(request_id = $4::text, true)",
    "acted_at": """coalesce(acted_at >= $5::timestamptz, true)
        AND coalesce(acted_at < $6::timestamptz, true)""",
}
OF_ALL: Final = f"""
    SELECT * FROM audit_log WHERE entry_id < $1 AND {" AND ".join(_FILTERS.values())}
    ORDER BY entry_id DESC LIMIT $7"""  # noqa: S608 - constants


def _those_of(column: str, value: str) -> str:
    """The newest entries that have this value in the column, by its index.

    An equality would let PostgreSQL walk the whole log by its key, for ever by a plan that it made
    when the log was short. A range in the order of the index leaves it no other way.
    """
    others = " AND ".join(text for name, text in _FILTERS.items() if name != column)
    return f"""
        SELECT * FROM audit_log
        WHERE ({column}, entry_id) < ({value}, $1) AND {column} >= {value} AND {others}
        ORDER BY {column} DESC, entry_id DESC LIMIT $7"""  # noqa: S608 - constants


# Each of the two has an index in this order; one condition about both had none.
OF_OWNER: Final = f"""
    SELECT * FROM (({_those_of("account_id", "$8")}) UNION ALL
        ({_those_of("other_account_id", "$8")})) l
    ORDER BY entry_id DESC LIMIT $7"""  # noqa: S608 - constants
OF_REQUEST: Final = _those_of("request_id", "$4::text")
OF_ACTOR: Final = _those_of("actor", "$2::text")
OF_ACTION: Final = _those_of("action", "$3::text")
WITH_OWNERS: Final = """
    SELECT l.*, a.owner_kind, a.owner_id, b.owner_kind AS other_kind, b.owner_id AS other_id
    FROM ({entries}) l
    LEFT JOIN accounts a ON a.account_id = l.account_id
    LEFT JOIN accounts b ON b.account_id = l.other_account_id
    ORDER BY l.entry_id DESC"""
