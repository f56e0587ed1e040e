"""Puts a mutant of SQL into the database that tests copy; the next one begins with a sound copy."""

from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.mutants.serving import Served


class NoMutant(Exception):
    """The server does not take it: it is no function, or no statement."""


def renew(served: Served) -> None:
    """The templates as they were migrated."""
    with psycopg.connect(served.url, autocommit=True) as admin:
        for template, sound in served.templates.items():
            admin.execute(f"DROP DATABASE IF EXISTS {template} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {template} TEMPLATE {sound} STRATEGY file_copy")


def plant(served: Served, statement: str) -> None:
    """Run one statement in each bucket of sound templates, as the migration would have run it.

    The service is told that all of it is as it ought to be, or it would mend it. Raises NoMutant.
    """
    renew(served)
    for template in served.templates:
        url = urlunsplit(urlsplit(served.url)._replace(path=f"/{template}"))
        with psycopg.connect(url, cursor_factory=psycopg.RawCursor) as connection:
            rows = connection.execute("SELECT nspname FROM pg_namespace").fetchall()
            for schema in served.search_paths.keys() & {name for (name,) in rows}:
                _plant_in(connection, schema, served, statement)


def _plant_in(connection: psycopg.Connection, schema: str, served: Served, statement: str) -> None:
    connection.execute(f"SET search_path = {served.search_paths[schema]}")
    try:
        # Whose it is, and who may call it, stays as it is.
        connection.execute(statement)
    except psycopg.Error as error:
        raise NoMutant(str(error)) from error
    row = connection.execute(served.shape, [schema, "SET"]).fetchone()
    assert row is not None
    connection.execute("UPDATE schema_version SET shape = $1", [row[0]])


def drop_copies(served: Served) -> None:
    """What a run that ended early has left."""
    with psycopg.connect(served.url, autocommit=True) as admin:
        rows = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'test_%'")
        for (name,) in rows.fetchall():
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
