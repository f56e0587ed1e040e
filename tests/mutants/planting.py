"""Puts a mutant of SQL into the database that tests copy; the next one begins with a sound copy."""

from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.mutants.serving import PRISTINE, Served


class NoMutant(Exception):
    """The server does not take it: it is no function, or no statement."""


def renew(served: Served) -> None:
    """The template as it was migrated."""
    with psycopg.connect(served.url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {served.template} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {served.template} TEMPLATE {PRISTINE} STRATEGY file_copy")


def plant(served: Served, statement: str) -> None:
    """Run one statement in a sound template, as the migration would have run it.

    The service is told that all of it is as it ought to be, or it would mend it. Raises NoMutant.
    """
    renew(served)
    with psycopg.connect(_within(served), cursor_factory=psycopg.RawCursor) as connection:
        connection.execute(f"SET search_path = {served.search_path}")
        try:
            # Whose it is, and who may call it, stays as it is.
            connection.execute(statement)
        except psycopg.Error as error:
            raise NoMutant(str(error)) from error
        row = connection.execute(served.shape, ["storecredit", "SET"]).fetchone()
        assert row is not None
        connection.execute("UPDATE schema_version SET shape = $1", [row[0]])


def drop_copies(served: Served) -> None:
    """What a run that ended early has left."""
    with psycopg.connect(served.url, autocommit=True) as admin:
        rows = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'test_%'")
        for (name,) in rows.fetchall():
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _within(served: Served) -> str:
    return urlunsplit(urlsplit(served.url)._replace(path=f"/{served.template}"))
