"""The command tries mutants on tests that pass without them, and tells who notices which."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.generating import of_functions, of_python
from tests.mutants.mutant import told_apart
from tests.mutants.reached import ROOT
from tests.mutants.verdicts import HARMLESS, State, Verdicts

TESTS = "tests/sql/test_deductions.py"


def mutants(*arguments: str, places: tuple[Path, Path]) -> subprocess.CompletedProcess[str]:
    reached, verdicts = places
    return subprocess.run(
        [sys.executable, "-m", "tests.mutants", *arguments, "--processes", "1",
         "--reached", str(reached), "--verdicts", str(verdicts)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


# Three runs of pytest, one after the other.
@pytest.mark.timeout(600)
def test_a_mutant_of_sql_is_tried_on_the_tests_that_call_its_function(tmp_path: Path) -> None:
    places = tmp_path / "reached.json", tmp_path / "verdicts.tsv"

    recorded = mutants("--reach", TESTS, places=places)
    # With nothing planted they pass, or they would not be written down.
    assert json.loads(places[0].read_text()).keys() == {TESTS}, recorded
    tried = mutants("--only", ":charge_accounts", "--sorts", "bound", places=places)

    known = Verdicts(places[1], HARMLESS).known().values()
    found = {(one.was, one.is_now, one.state, one.by.partition("::")[0]) for one in known}
    assert found == {
        # What takes the whole balance is not paid for any more.
        ("<=", "<", State.KILLED, TESTS),
        # What takes all that may be used beyond it: these tests do not go beyond it.
        ("<=", "<", State.SURVIVED, "54 tests"),
    }, tried
    # Of the one that lives nobody says here why.
    assert tried.returncode == 1


def test_names_of_mutants_are_their_own_and_what_is_harmless_is_among_them(tmp_path: Path) -> None:
    names = [
        mutant.name
        for generated in (of_functions(), of_python())
        for mutant in told_apart(generated)
    ]

    assert len(set(names)) == len(names)
    assert Verdicts(tmp_path / "none", HARMLESS).reasons().keys() <= set(names)
