"""A database with stores, made by one build: a script, run by that build's own Python.

`python prepared.py DIRECTORY COUNT` leaves a cluster and the keys of its stores in the directory,
and says as JSON how its PostgreSQL is started: `command`, and the URLs once it has been.
"""

import json
import os
import sys
from pathlib import Path

from benchmarks.database_under_test import database_in, keys_file
from storecredit import telemetry
from storecredit.postgres.embedded.cluster import POSTGRES_BIN, SERVER_SETTINGS
from storecredit.settings import Settings

SOCKET_LINE = 4
"""Of `postmaster.pid`."""
# What comes by a clock would come at another moment in each run.
CALM = {"autovacuum": "off", "checkpoint_timeout": "1d"}
SELDOM_SECONDS = 86_400
LOOPS = ("sweep", "sums", "checkpoint", "archive", "billing", "top_up")
"""What the service does by itself, each at an interval of its own; not every build has all."""
PATIENCE = "commit_deadline_seconds"
"""Under valgrind a batch may take longer than anybody waits for one."""


def main() -> None:
    """The script."""
    directory, count = Path(sys.argv[1]), int(sys.argv[2])
    for name in [name for name in os.environ if name.startswith("STORECREDIT_")]:
        del os.environ[name]
    telemetry.configure("auto", "error")
    with database_in(directory / "data") as database:
        keys_file(directory / "keys", database.add_stores(count))
        database.admin.execute("VACUUM ANALYZE")
        cluster = database.data_dir / "postgres"
        socket = (cluster / "postmaster.pid").read_text().splitlines()[SOCKET_LINE]
        settings = SERVER_SETTINGS | CALM | {"unix_socket_directories": socket}
        options = [part for item in settings.items() for part in ("-c", "=".join(item))]
        told = {
            "command": [str(POSTGRES_BIN / "postgres"), "-D", str(cluster), *options],
            "environment": {f"STORECREDIT_{name}": str(SELDOM_SECONDS) for name in seldom()},
            "admin_url": database.admin_url,
            "app_url": database.app_url,
        }
    sys.stdout.write(json.dumps(told))


def seldom() -> list[str]:
    """The settings that keep the service from doing things by a clock."""
    names = [f"{loop}_interval_seconds" for loop in LOOPS]
    return [name.upper() for name in (*names, PATIENCE) if name in Settings.model_fields]


if __name__ == "__main__":
    main()
