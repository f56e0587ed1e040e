"""What functions are told otherwise on a Citus cluster, whose tests run where there is one."""

import pytest

from storecredit import sql
from storecredit.postgres.schema.on_citus import OTHERWISE

FUNCTIONS = "\n".join(text for _, text in sql.files("functions"))


@pytest.mark.parametrize("ours", OTHERWISE)
def test_what_is_put_into_other_words_is_still_written_so(ours: str) -> None:
    assert FUNCTIONS.count(ours) == 1
