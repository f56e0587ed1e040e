"""Calls as PostgREST makes them of HTTP requests: arguments by name out of a JSON object.

https://docs.postgrest.org/en/v12/references/api/functions.html: the keys of the body are the names
of the arguments, and one that is left out has its default. The values come out of
`json_to_record`, typed as the function declares them; the transaction has the caller's role, and
the exposed schema as its search_path
(https://docs.postgrest.org/en/v12/references/transactions.html).
"""

import json
from typing import Any

import asyncpg

_FUNCTION = """
    SELECT p.oid::regproc::text AS name, p.proretset AS is_set, a.name AS argument,
        format_type(a.type, NULL) AS type
    FROM pg_proc p CROSS JOIN LATERAL
        unnest(p.proargnames[1 : p.pronargs], p.proargtypes::oid[]) AS a (name, type)
    WHERE p.pronamespace = $1::text::regnamespace AND p.proname = $2
      AND p.proargnames[1 : p.pronargs] @> $3::text[]"""


async def rpc(
    connection: asyncpg.Connection, schema: str, role: str, function: str, body: str
) -> Any:
    """What `POST /rpc/<function>` with this body would answer, decoded."""
    names = [*json.loads(body)]
    declared = await connection.fetch(_FUNCTION, schema, function, names)
    assert declared, f"PGRST202: no function {function} with the parameters {names}"
    types = {row["argument"]: row["type"] for row in declared if row["argument"] in names}
    columns = ", ".join(f'"{name}" {type_}' for name, type_ in types.items())
    arguments = ", ".join(f'"{name}" := body."{name}"' for name in types)
    rows = "json_agg(answer)" if declared[0]["is_set"] else "json_agg(answer.scalar)->0"
    alias = "answer" if declared[0]["is_set"] else "answer (scalar)"
    async with connection.transaction():
        await connection.execute(f"SET LOCAL search_path = {schema}")
        await connection.execute(f"SET LOCAL ROLE {role}")
        answered = await connection.fetchval(
            f"""WITH pgrst_source AS (
                    SELECT answer.* FROM (SELECT $1::json AS json_data) payload,
                    LATERAL json_to_record(payload.json_data) AS body ({columns}),
                    LATERAL {schema}.{function}({arguments}) AS {alias})
                SELECT coalesce({rows}, 'null'::json) FROM pgrst_source AS answer""",
            body,
        )
    return json.loads(answered)
