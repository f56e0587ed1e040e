"""No bytes from outside break what reads them: they are read, or refused as is documented.

Inputs are looked for by what code they lead to (libFuzzer, through Atheris), each within limits of
memory and time; `make torture` looks for `STORECREDIT_FUZZ_SECONDS` (300) in each target and keeps
what it finds in `STORECREDIT_FUZZ_CORPUS`, from where it goes on. Where there is no Atheris,
hypothesis alone changes the seeds.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing.planted import PLANTED
from tests.fuzzing.targets import TARGETS

ROOT = Path(__file__).parents[2]
RUNS = 1500
PLANTED_RUNS = 200_000
INPUT_MAX_BYTES = 2048
INPUT_MAX_SECONDS = 60
"""What a hang is: inputs take some milliseconds."""
LIMITS = (f"-max_len={INPUT_MAX_BYTES}", f"-timeout={INPUT_MAX_SECONDS}", "-rss_limit_mb=0")

needs_atheris = pytest.mark.skipif(
    find_spec("atheris") is None, reason="Atheris has no wheel for this machine"
)


def fuzzed(place: Path, names: Sequence[str], *options: str) -> int:
    """How many of the targets broke a promise."""
    command = [sys.executable, "-m", "tests.fuzzing.run", str(place), ",".join(names)]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("STORECREDIT_")
    }
    with (place / "run.log").open("wb") as log:
        return subprocess.run(
            [*command, *LIMITS, *options], cwd=ROOT, env=environment, stderr=log, check=False
        ).returncode


def told(place: Path) -> str:
    """What broke what: the ends of the logs of targets that found something."""
    return "\n\n".join(_findings(place)) or (place / "run.log").read_text()[-3000:]


def _findings(place: Path) -> Iterator[str]:
    for found in sorted(place.glob("*-broken-*")):
        name = found.name.partition("-broken-")[0]
        log = (place / f"{name}.log").read_text(errors="replace")
        yield f"{name}: {found.read_bytes()!r}\n{log[-3000:]}"


@needs_atheris
def test_nothing_that_reads_bytes_from_outside_breaks(tmp_path: Path) -> None:
    broken = fuzzed(tmp_path, list(TARGETS), f"-runs={RUNS}", "-seed=20")
    assert broken == 0, told(tmp_path)
    for name in TARGETS:
        assert "DONE" in (tmp_path / f"{name}.log").read_text(), name


@needs_atheris
def test_it_would_be_found(tmp_path: Path) -> None:
    assert fuzzed(tmp_path, list(PLANTED), f"-runs={PLANTED_RUNS}", "-seed=20") == len(PLANTED)
    assert "LookupError: planted" in (tmp_path / "wrong_exception.log").read_text()
    assert "MemoryError" in (tmp_path / "too_much_memory.log").read_text()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read_and_changed_ones_read_or_refused(name: str) -> None:
    target = TARGETS[name]
    seeds = st.sampled_from(target.seeds())
    places = st.integers(0, INPUT_MAX_BYTES)

    @settings(database=None, derandomize=True, max_examples=50)
    @given(seeds, places, places, st.binary(max_size=20))
    def change(seed: bytes, begin: int, end: int, by: bytes) -> None:
        target.run(seed[:begin] + by + seed[end:])

    for seed in target.seeds():
        target.run(seed)
    change()


@needs_atheris
@pytest.mark.torture
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", TARGETS)
def test_nor_in_minutes(name: str, tmp_path: Path) -> None:
    place = Path(os.environ.get("STORECREDIT_FUZZ_CORPUS", tmp_path))
    seconds = int(os.environ.get("STORECREDIT_FUZZ_SECONDS", "300"))
    assert fuzzed(place, [name], f"-max_total_time={seconds}", "-print_final_stats=1") == 0, told(
        place
    )
