"""`storecredit psql`: to look, and to break nothing while looking."""

import pytest

from tests.e2e.conftest import Storecredit, processes_naming


@pytest.fixture
def store_id(storecredit: Storecredit) -> str:
    made = storecredit(
        *("store", "create", "--name", "Hats", "--shop-domain", "hats.example", "--json")
    )
    return str(made.json()["store_id"])


def test_it_shows_what_is_there_and_changes_nothing(
    storecredit: Storecredit, store_id: str
) -> None:
    seen = storecredit("psql", "--tuples-only", "--no-align", "-c", "SELECT store_id FROM stores")
    assert (seen.status, seen.output) == (0, f"{store_id}\n")

    refused = storecredit("psql", "-c", "SELECT create_user(gen_random_uuid(), 5, false)")
    assert refused.status == 1
    refused = storecredit("psql", "-v", "ON_ERROR_STOP=1", "-c", "DELETE FROM pgqueuer")
    assert refused.status == 1
    assert "cannot execute DELETE in a read-only transaction" in refused.errors
    assert processes_naming(storecredit.data_dir) == [], "it started the server, and stopped it"


def test_without_the_read_only_setting_it_still_has_the_services_rights_only(
    storecredit: Storecredit, store_id: str
) -> None:
    refused = storecredit(
        "psql", "-c", "BEGIN READ WRITE", "-c", f"DELETE FROM stores WHERE store_id = '{store_id}'"
    )
    assert refused.status == 1
    assert "permission denied for table stores" in refused.errors


def test_an_admin_may_change_what_is_there_while_the_service_runs(
    storecredit: Storecredit, store_id: str
) -> None:
    serving = storecredit.serve()
    changed = storecredit(
        "psql", "--admin", "-qAt", "-c", "UPDATE stores SET name = 'Caps' RETURNING name"
    )
    assert (changed.status, changed.output) == (0, "Caps\n")
    assert serving.stop() == 0


def test_psqls_own_exit_status_is_passed_on_and_a_wrong_option_is_psqls_to_tell(
    storecredit: Storecredit,
) -> None:
    script = storecredit("psql", "-v", "ON_ERROR_STOP=1", "-f", "/dev/stdin")
    assert script.status == 0
    assert storecredit("psql", "--no-such-option").status == 1
    assert storecredit("psql", "-f", "no-such-file.sql").status == 1
