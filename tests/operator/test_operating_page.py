"""The commands of docs/operating.md do what the page says, in its order."""

import asyncio
import shlex
from uuid import UUID

from storecredit.postgres.servers import connect
from tests.e2e.in_process import InProcess
from tests.e2e.page_commands import Page

PAGE = Page("docs/operating.md")


async def _open(url: str) -> None:
    connection = await connect(url)
    for number, name in enumerate(("Hats & Co", "Caps & Co"), start=1):
        await connection.execute(
            "SELECT create_store($1, $2, 'a.example', 'default', 100, 'opening')",
            UUID(int=number),
            name,
        )
    await connection.execute("SELECT public.deduct_store_credits($1, 3, 'order-1001')", UUID(int=1))
    await connection.close()


def test_every_command_of_the_page_works(command: InProcess, database_url: str) -> None:
    asyncio.run(_open(database_url))
    lines = [line for block in PAGE.blocks() for line in block.splitlines()]
    done = [command(*shlex.split(line)[1:]) for line in lines]

    assert [each.status for each in done] == [0] * 12
    console, shown, by_day, by_store, removed, transferred, changed, of_ann, of_hats, *of_tokens = [
        each.output for each in done
    ]
    assert "/console/sign-in/" in console
    assert "deduction" in shown
    assert "given" in by_day
    assert by_store.startswith("store_id,store_name,sold,given,")
    assert "The balance is 77." in removed
    assert "The balances are 47 and 130." in transferred
    assert "2999-12-31" in changed
    assert of_ann == of_hats
    assert "One shop from now on" in of_ann
    assert ["sc_admin_" in each for each in of_tokens] == [True, True, False]
    for name in ("Hats & Co", "Caps & Co"):
        assert command("credits", "balance", name).status == 0
    assert command("verify").status == 0
