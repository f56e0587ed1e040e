"""The `storecredit` command as a call: its arguments in, its output and exit status out.

For commands that are many and quick: a process of its own for each costs a second.
"""

import io
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

from storecredit import cli
from tests.e2e.conftest import Done
from tests.log_stream import log_setup_restored


class InProcess:
    """Runs commands against one database."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    def __call__(self, *arguments: object) -> Done:
        words = ["storecredit", *map(str, arguments), "--database-url", self._database_url]
        output, errors = io.StringIO(), io.StringIO()
        status = 0
        with (
            patch("sys.argv", words),
            redirect_stdout(output),
            redirect_stderr(errors),
            log_setup_restored(),
        ):
            try:
                cli.main()
            except SystemExit as end:
                status = int(end.code or 0)
        return Done(status, output.getvalue(), errors.getvalue())
