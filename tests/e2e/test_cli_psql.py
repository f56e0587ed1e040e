"""`storecredit psql`: to look, and to break nothing while looking."""

from tests.e2e.conftest import Storecredit, processes_naming


def test_it_shows_what_is_there_and_changes_nothing(storecredit: Storecredit) -> None:
    make = ("store", "create", "--name", "Hats", "--shop-domain", "hats.example", "--json")
    store_id = storecredit(*make).json()["store_id"]

    seen = storecredit("psql", "--tuples-only", "--no-align", "-c", "SELECT store_id FROM stores")
    assert (seen.status, seen.output) == (0, f"{store_id}\n")

    script = storecredit.directory / "script.sql"
    script.write_text(
        "DELETE FROM pgqueuer;\n"
        "BEGIN READ WRITE;\nDELETE FROM stores;\nROLLBACK;\n"
        "SET ROLE postgres;\n"
    )
    refused = storecredit("psql", "--no-psqlrc", "-f", script.name)
    reasons = [line.partition("ERROR:  ")[2] for line in refused.errors.splitlines()]
    assert reasons == [
        "cannot execute DELETE in a read-only transaction",
        "permission denied for table stores",
        'permission denied to set role "postgres"',
    ]
    # Psql's own exit status is passed on; 3: a statement failed, and it was to stop there.
    stopped = storecredit("psql", "--set=ON_ERROR_STOP=1", "-f", script.name)
    assert stopped.status == 3
    assert processes_naming(storecredit.data_dir) == [], "it started the server, and stopped it"


def test_an_admin_may_change_what_is_there(storecredit: Storecredit) -> None:
    changed = storecredit(
        "psql", "--admin", "-qAt", "-c", "CREATE TABLE mine (a int); SELECT current_user"
    )
    assert (changed.status, changed.output) == (0, "postgres\n")
