"""docs/high-availability.md: its statements and its URL, on servers without Patroni.

With Patroni they are run by tests/crash/test_patroni.py, and so are its other commands.
"""

import os
import re
from pathlib import Path

import asyncpg

from tests.e2e.page_commands import BIN, Page, run
from tests.free_ports import free_port
from tests.postgres.replication.nodes import DATABASE, USER, Pair

PAGE = Page("docs/high-availability.md")


async def test_what_the_page_makes_is_migrated_by_the_page_s_url(
    pair: Pair, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(f"postgresql://{USER}@{pair.primary.address}/postgres")
    for nobody_s in (f"DATABASE {DATABASE}", "ROLE storecredit_app", "ROLE storecredit_writer"):
        await connection.execute(f"DROP {nobody_s}")
    (statements,) = PAGE.blocks("sql")
    for statement in filter(str.strip, statements.split(";")):
        await connection.execute(statement)
    await connection.close()
    commands = PAGE.block("export STORECREDIT_DATABASE_URL").replace("storecredit serve\n", "")
    # One of the three servers is away, and one is a standby.
    here = f"127.0.0.1:{free_port()},{pair.standby.address},{pair.primary.address}"
    commands, count = re.subn(r"10\.0\.0\.1:5432,\S+?:5432(?=/)", here, commands)
    environment = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    assert count == 1
    assert run(commands, environment, tmp_path).startswith("Applied 0001_ledger")


def test_every_block_of_commands_is_run_by_this_test_or_the_one_with_patroni() -> None:
    assert [text.split()[0:2] for text in PAGE.blocks()] == [
        ["export", PAGE.blocks()[0].split()[1]],
        ["patronictl", "-c"],
    ]
    assert set(re.findall(r"^```(\w+)", PAGE.text, re.MULTILINE)) == {"yaml", "sql", "sh"}
