"""A mutant of Python takes the place of a function that everybody has imported by now."""

from pathlib import Path

import pytest

from storecredit.generation.generators import retry_after
from tests.mutants.generating import SOURCE, of_python
from tests.mutants.mutant import told_apart
from tests.mutants.replacing import Sources

PATH = "generation/generators/retry_after.py"


def test_each_function_is_exchanged_where_it_is_and_in_a_copy_of_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = Sources(tmp_path / "src")
    mutants = [mutant for mutant in told_apart(of_python()) if mutant.path == PATH]
    functions = {
        name: found for name, found in vars(retry_after).items() if hasattr(found, "__code__")
    }
    monkeypatch.setenv("PYTHONPATH", "")

    for mutant in mutants:
        function = functions[mutant.function]
        was = function.__code__
        exchange = sources.replaced(mutant)
        assert function.__code__ is was, "it is for the fork to exchange it"
        exchange()
        assert function.__code__ != was
        assert (tmp_path / "src" / SOURCE.name / PATH).read_text() == mutant.planted
        function.__code__ = was
    assert mutants
