"""That a log line with a secret fails the test in which it was written."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEAKS = ROOT / "tests" / "planted_leaks" / "leaks.py"
NAMES = re.findall(r"def (test_\w+)", LEAKS.read_text())


def test_every_planted_leak_fails_its_test_and_no_other() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(LEAKS)]
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )

    failed = set(re.findall(r"^ERROR \S+::(\w+)", done.stdout, re.MULTILINE))
    leaking = {name for name in NAMES if name.startswith("test_leak_")}
    assert failed == leaking, done.stdout
    assert len(leaking) == 11
    assert f"{len(NAMES)} passed, {len(leaking)} errors" in done.stdout
