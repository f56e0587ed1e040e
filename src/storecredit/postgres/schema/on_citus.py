"""What our functions are told otherwise in a bucket on a node of a Citus cluster.

The text is the same everywhere, but for what Citus's planner refuses of tables that it keeps
(tried with Citus 15): a plan for values that it does not know, parameters in functions in SQL, the
moment in some places, rows that are read and written by one statement, and the size of a table,
which is that of its shard. Each is put into words that it takes, by rule, once the function has
been made; and what no rule covers stands in `sql/on_citus/` once more. Ids by which what is newer
is known are drawn on the node that has the bucket, wherever the function is called.
"""

import re
from typing import Final

import asyncpg

from storecredit import sql

_OURS: Final = r"""
    SELECT p.oid::regprocedure::text AS name, pg_get_functiondef(p.oid) AS text,
        l.lanname = 'sql' AND p.provolatile <> 'i'
            AND p.prosrc ~* '\m(from|into|update)\M' AS is_to_be_procedural,
        l.lanname = 'plpgsql' AS is_procedural, p.proretset AS is_set,
        p.prorettype = 'void'::regtype AS is_void,
        'plan_cache_mode=force_generic_plan' = ANY (p.proconfig) AS has_generic_plans,
        pg_get_function_result(p.oid) AS result,
        ARRAY(SELECT quote_ident(n.name) FROM unnest(p.proargnames, p.proargmodes)
            WITH ORDINALITY n (name, mode, place) WHERE n.mode = 'o' ORDER BY n.place) AS results,
        p.proname = ANY ($2::text[]) AS is_called_from_elsewhere
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.pronamespace = $1::text::regnamespace AND l.lanname IN ('sql', 'plpgsql')"""
_BODY: Final = re.compile(r"^AS \$function\$\n?(.*)\$function\$\s*\Z", re.MULTILINE | re.DOTALL)
_LANGUAGE: Final = re.compile(r"^ LANGUAGE sql$", re.MULTILINE)
_COMMENT: Final = re.compile(r"--[^\n]*")
_SIZE: Final = "pg_relation_size('movements')"
_NOW: Final = "now()"
_BEGIN: Final = re.compile(r"^(DECLARE|BEGIN)$", re.MULTILINE)
OTHERWISE: Final = {
    "coalesce(now() + i.wait, '-infinity')": "coalesce(later(now(), i.wait), '-infinity')",
    "CASE WHEN is_behind THEN now() + p_lease END": (
        "CASE WHEN is_behind THEN later(now(), p_lease) END"
    ),
    "THEN now() + v.resumes END": "THEN later(now(), v.resumes) END",
    "CASE WHEN u.erased_at + p_late > now() THEN u.erased_at + p_late END": (
        "CASE WHEN later(u.erased_at, p_late) > now() THEN later(u.erased_at, p_late) END"
    ),
}
"""Arithmetic with moments where rows are changed: Citus takes there what is fixed, and no other."""
_INSERT: Final = re.compile(
    r"^ *(?P<into>INSERT INTO \w+(?: AS \w+)?\s*\((?P<columns>[^()]*)\))\s*"
    r"(?P<select>SELECT\b[^;]*?)(?P<rest>\s(?:ON CONFLICT|RETURNING)\b[^;]*)?;",
    re.MULTILINE,
)
_READ: Final = re.compile(r"\b(?:FROM|JOIN) (?!unnest|generate_)\w+\b(?! *\()")
DRAWN: Final = {"audit_log": ("entry_id", "next_entry"), "events": ("seq", "next_event")}
"""Tables whose ids are drawn on the bucket's node: the column, and the function that does."""
_NUMBERED_INSERT: Final = re.compile(
    r"INSERT INTO (?P<table>\w+)(?P<alias>(?: AS \w+)?) \((?P<columns>[^()]*)\)\s*VALUES \("
)
# By functions of other buckets, whose settings would hold in these, too.
_CALLED_FROM_ELSEWHERE: Final = ("lock_end_of_transfer", "receive_transfer")
# Seen where Citus hides no shards, as from the service's own sessions.
_SIZE_OF_SHARD: Final = r"""(
    SELECT coalesce(sum(pg_relation_size(c.oid)), 0)::bigint FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
      AND c.relname ~ '^movements(_[0-9]+)?$')"""


async def adapt(connection: asyncpg.Connection, schema: str) -> None:
    """Have all functions of a bucket's schema be such as Citus can plan; they have been made."""
    for row in await connection.fetch(_OURS, schema, _CALLED_FROM_ELSEWHERE):
        if row["has_generic_plans"]:
            await connection.execute(f"ALTER FUNCTION {row['name']} RESET plan_cache_mode")
        text = row["text"].replace(_SIZE, _SIZE_OF_SHARD)
        for ours, theirs in OTHERWISE.items():
            text = text.replace(ours, theirs)
        text = _NUMBERED_INSERT.sub(_drawn, text)
        if row["is_to_be_procedural"]:
            text = _procedural(text, row)
        if row["is_procedural"] or row["is_to_be_procedural"]:
            text = _INSERT.sub(_read_before, _of_one_moment(text))
        text = text.replace(" SET plan_cache_mode TO 'force_generic_plan'\n", "")
        if text != row["text"]:
            await connection.execute(text)
        if row["is_called_from_elsewhere"]:
            await connection.execute(f"ALTER FUNCTION {row['name']} SET plan_cache_mode = auto")
    for _, text in sql.files("on_citus"):
        await connection.execute(text)


def _read_before(found: re.Match[str]) -> str:
    """What is written of what is read, with the reading by itself.

    Of one statement that reads its own tables and writes to them Citus makes words that PostgreSQL
    cannot read. Left as it is: what reads none, and what is a part of a longer statement.
    """
    select, columns = found["select"], found["columns"]
    if not _READ.search(select) or found[0].count("(") != found[0].count(")"):
        return found[0]
    return (
        f"WITH found ({columns}) AS MATERIALIZED ({select})\n"  # noqa: S608 - our own
        f"{found['into']} SELECT f.* FROM found f{found['rest'] or ''};"
    )


def _drawn(found: re.Match[str]) -> str:
    """A row that is written with an id that the bucket's node gave."""
    if found["table"] not in DRAWN:
        return found[0]
    column, draw = DRAWN[found["table"]]
    return (
        f"INSERT INTO {found['table']}{found['alias']} ({column}, "  # noqa: S608 - our own
        f"{found['columns']})"
        f" OVERRIDING SYSTEM VALUE VALUES ({draw}(), "
    )


def _procedural(text: str, row: asyncpg.Record) -> str:
    """A function in SQL, in PL/pgSQL."""
    found = _BODY.search(text)
    assert found is not None, "PostgreSQL quotes bodies so"
    body = _COMMENT.sub("", found[1]).strip().removesuffix(";")
    if row["is_set"]:
        statement = f"RETURN QUERY {_cast(body, row['result'])}"
    elif row["is_void"]:
        statement = body
    elif row["results"]:
        into = ", ".join(row["results"])
        statement = f"SELECT x.* INTO {into} FROM ({body}) AS x"  # noqa: S608 - of the catalogue
    else:
        statement = f"RETURN ({body})"
    made = f"AS $function$\n#variable_conflict use_column\nBEGIN\n{statement};\nEND\n$function$"
    return _LANGUAGE.sub(" LANGUAGE plpgsql", text[: found.start()]) + made


def _of_one_moment(text: str) -> str:
    """A function that asks the time once: it is the transaction's, and the same all along.

    Citus takes no function of the moment in a CASE, a COALESCE or where a conflict is resolved.
    """
    found = _BODY.search(text)
    assert found is not None, "PostgreSQL quotes bodies so"
    if _NOW not in found[1]:
        return text
    body = found[0].replace(_NOW, "v_transaction_at")
    declared = f"DECLARE\n    v_transaction_at CONSTANT timestamptz := {_NOW};\n"
    begun = _BEGIN.search(body)
    assert begun is not None, "each of ours begins on a line of its own"
    rest = body[begun.end() :] if begun[1] == "DECLARE" else f"BEGIN{body[begun.end() :]}"
    return text[: found.start()] + body[: begun.start()] + declared + rest


def _cast(body: str, result: str) -> str:
    """A query whose columns have the types that the function promises: SQL casts by itself."""
    if not result.startswith("TABLE("):
        return body
    columns = [each.strip().partition(" ") for each in result[6:-1].split(",")]
    names = [f"c{number}" for number in range(len(columns))]
    casts = ", ".join(f"x.{name}::{of}" for name, (_, _, of) in zip(names, columns, strict=True))
    return f"SELECT {casts} FROM ({body}) AS x ({', '.join(names)})"  # noqa: S608 - of the catalogue
