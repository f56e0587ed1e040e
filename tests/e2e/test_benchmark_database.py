"""What the benchmarks write themselves is what the service could have written: it proves right."""

from pathlib import Path

import pytest

from benchmarks.database_under_test import HOT_STORE, database_in, store_id
from benchmarks.figures.ledger import BASELINE
from benchmarks.history import HOT_SHARE, lengths, write_history
from benchmarks.results import NotMeasured

ROWS = 10_000


def test_a_written_history_and_the_textbooks_rows_agree_with_the_balances(tmp_path: Path) -> None:
    with database_in(tmp_path / "data") as database:
        keys = write_history(database, ROWS)
        assert len(keys) == 1
        assert database.prove().movements == ROWS

        database.admin.execute(BASELINE.read_bytes())
        deduct = "SELECT textbook_deduct(%s, 1, 'a-request')"
        assert database.admin.execute(deduct, (store_id(HOT_STORE),)).fetchone() == (True,)
        assert database.prove().movements == ROWS + 1

        database.admin.execute(
            "UPDATE store_credits SET balance = balance + 1, total_purchased = total_purchased + 1"
            " WHERE store_id = %s",
            (store_id(HOT_STORE),),
        )
        with pytest.raises(NotMeasured):
            database.prove()


@pytest.mark.parametrize("rows", [1, 10_000, 100_000, 10_000_000])
def test_a_history_is_as_long_as_it_is_said_to_be(rows: int) -> None:
    assert sum(lengths(rows)) == rows


def test_a_tenth_of_a_long_history_is_one_stores() -> None:
    assert lengths(10_000_000)[0] * HOT_SHARE == 10_000_000
