"""Every test that docs/threats.md names as showing something is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")
ROW = re.compile(r"^\| (?!tries|-)(?P<tries>[^|]+)\|[^|]+\|(?P<seen>[^|]+)\|$", re.MULTILINE)


def test_every_threat_names_tests_that_are_there() -> None:
    rows = ROW.findall((ROOT / "docs" / "threats.md").read_text())
    assert len(rows) >= 25
    for tries, seen in rows:
        named = NAMED.findall(seen)
        assert named, tries
        for path, name in named:
            assert (ROOT / path).is_file(), path
            text = (ROOT / path).read_text()
            assert re.search(rf"def {name or 'test_'}", text), f"{path}::{name}"
