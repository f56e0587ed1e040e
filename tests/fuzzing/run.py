"""Runs targets under libFuzzer: `python -m tests.fuzzing.run PLACE TARGET,… OPTION…`.

Atheris instruments the product's code, and Pillow's, as it is imported, so that libFuzzer keeps
what leads to code that nothing led to before. Each target is a fork of one process that has
imported it, with room for some memory more: an input that takes it is one that breaks.

In PLACE lie the corpus of each target (a directory of its name, begun with its seeds), its log,
and the input that broke a promise, if one did. Options are libFuzzer's.
"""

import os
import resource
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["storecredit", "PIL", "tests"]):
    from tests.fuzzing.planted import PLANTED
    from tests.fuzzing.targets import TARGETS, Target, silence

MEMORY_ROOM_BYTES = 256 * 2**20


def main(place: Path, names: list[str], options: list[str]) -> int:
    """How many targets broke a promise."""
    known = TARGETS | PLANTED
    return sum(_fuzzed(place, name, known[name], options) != 0 for name in names)


def _fuzzed(place: Path, name: str, target: Target, options: list[str]) -> int:
    corpus = place / name
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    process = os.fork()
    if process == 0:
        log = os.open(place / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        silence()
        _bound_memory()
        where = f"-artifact_prefix={place}/{name}-broken-"
        atheris.Setup([name, *options, where, str(corpus)], target.run)
        atheris.Fuzz()  # ends the process
        os._exit(1)
    return os.waitpid(process, 0)[1]


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]))
