"""`storecredit report`: as text, JSON and CSV."""

import asyncio
import json
from pathlib import Path
from uuid import UUID

from storecredit.postgres.servers import connect
from tests.e2e.in_process import InProcess

API = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_bytes())
STORE = UUID(int=1)


async def _spend(url: str) -> None:
    connection = await connect(url)
    await connection.execute(
        "SELECT create_store($1, 'Hats', 'a.example', 'growth', 10, 'opening')", STORE
    )
    await connection.execute("SELECT ensure_user($1, 5)", STORE)
    await connection.execute("SELECT public.deduct_store_credits($1, 3, 'order-7')", STORE)
    await connection.execute("SELECT public.refund_store_credits($1, 2, 'order-7')", STORE)
    await connection.close()


def test_a_report_is_printed_as_it_is_wanted(command: InProcess, database_url: str) -> None:
    asyncio.run(_spend(database_url))

    made = command("report", "--since", "7d", "--by", "plan", "--json").json()
    assert set(made) == set(API["components"]["schemas"]["Report"]["properties"])
    assert set(made["rows"][0]) == set(API["components"]["schemas"]["ReportRow"]["properties"])
    assert (made["total"]["given"], made["total"]["spent"], made["total"]["refunded"]) == (15, 3, 2)
    assert [row["plan"] for row in made["rows"]] == ["growth", None]

    text = command("report", "--by", "store")
    (row,) = [line for line in text.output.splitlines() if str(STORE) in line]
    assert row.split()[1:] == ["Hats", "10", "3", "2", "9"]
    assert "expired" not in text.output.splitlines()[0], "a column of noughts is left out"
    assert "end users" in text.output

    csv = command("report", "--by", "store", "--csv").output
    assert f"{STORE},Hats,0,10,3,2,0,0,0,0,0,0,0,9" in csv.splitlines()
    assert len(command("report", "--csv").output.splitlines()) == 2

    for wrong in (("--since", "never"), ("--since", "2999-01-01"), ("--csv", "--json")):
        command("report", *wrong).sentence(2)
