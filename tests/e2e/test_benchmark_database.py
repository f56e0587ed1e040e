"""What the benchmarks write themselves is what the service could have written: it proves right."""

from pathlib import Path

import pytest

from benchmarks.database_under_test import HOT_STORE, database_in, store_id
from benchmarks.history import HOT_SHARE, lengths, write_history
from benchmarks.results import NotMeasured
from benchmarks.textbook import open_textbook, prove_textbook, textbook_spent

ROWS = 10_000


def test_a_written_history_is_one_that_proves_right(tmp_path: Path) -> None:
    with database_in(tmp_path / "data") as database:
        keys = write_history(database, ROWS)
        assert len(keys) == 1
        assert database.prove().movements == ROWS

        open_textbook(database, HOT_STORE, 1)
        deduct = "SELECT textbook.deduct(%s, 1, 'a-request')"
        assert database.admin.execute(deduct, (store_id(HOT_STORE),)).fetchone() == (True,)
        assert textbook_spent(database) == 1
        prove_textbook(database)
        assert database.prove().movements == ROWS, "the textbook's tables are its own"
        database.admin.execute(
            "UPDATE textbook.store_credits SET balance = balance + 1, total_spent = total_spent - 1"
        )
        with pytest.raises(NotMeasured):
            prove_textbook(database)

        (hot,) = database.account_ids(HOT_STORE, 1)
        database.admin.execute(
            "UPDATE movements SET balance_after = balance_after + 1 WHERE account_id = %s", (hot,)
        )
        with pytest.raises(NotMeasured):
            database.prove()


@pytest.mark.parametrize("rows", [1, 10_000, 100_000, 10_000_000])
def test_a_history_is_as_long_as_it_is_said_to_be(rows: int) -> None:
    assert sum(lengths(rows)) == rows


def test_a_tenth_of_a_long_history_is_one_stores() -> None:
    assert lengths(10_000_000)[0] * HOT_SHARE == 10_000_000
