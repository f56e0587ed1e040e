"""Puts a mutant of Python into a process that has imported the sound module already.

The code of each of its functions is exchanged for the changed one, wherever that function has got
to by now; and a copy of the sources has the changed file, for processes that are started anew.
"""

import gc
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

from tests.mutants.generating import SOURCE
from tests.mutants.mutant import Mutant
from tests.mutants.planting import NoMutant


class Sources:
    """All functions of the service that are there, by file and name, and a copy of its files."""

    def __init__(self, copied: Path) -> None:
        self._copied = copied
        shutil.copytree(SOURCE.parent, copied, ignore=shutil.ignore_patterns("*.egg-info"))
        self._changed: Path | None = None
        self._functions: dict[tuple[str, str], list[FunctionType]] = defaultdict(list)
        gc.unfreeze()
        for each in gc.get_objects():
            if isinstance(each, FunctionType) and each.__code__.co_filename.startswith(str(SOURCE)):
                code = each.__code__
                self._functions[code.co_filename, code.co_qualname].append(each)
        gc.freeze()

    def replaced(self, mutant: Mutant) -> Callable[[], None]:
        """Change the copy; what is given back changes the process that calls it.

        Raises NoMutant if it cannot be compiled.
        """
        path = SOURCE / mutant.path
        try:
            codes = list(_codes(compile(mutant.planted, str(path), "exec")))
        except SyntaxError as error:
            raise NoMutant(str(error)) from error
        self._write(mutant)

        def exchange() -> None:
            os.environ["PYTHONPATH"] = str(self._copied)
            for code in codes:
                for function in self._functions[code.co_filename, code.co_qualname]:
                    if function.__code__.co_firstlineno == code.co_firstlineno:
                        function.__code__ = code

        return exchange

    def _write(self, mutant: Mutant) -> None:
        if self._changed is not None:
            shutil.copyfile(SOURCE / self._changed, self._copied / SOURCE.name / self._changed)
        self._changed = Path(mutant.path)
        written = self._copied / SOURCE.name / mutant.path
        written.write_text(mutant.planted)
        # The compiled file may be of the same second and size.
        for compiled in (written.parent / "__pycache__").glob(f"{written.stem}.*"):
            compiled.unlink()


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)
