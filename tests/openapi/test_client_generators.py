"""Client generators take the OpenAPI document as it is: no warning, nothing left out.

Each generator is installed beside this file, from a lock file of its own.
"""

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.web.node import node

DIRECTORY = Path(__file__).parent
DOCUMENT = DIRECTORY.parents[1] / "docs" / "openapi.json"
SECONDS_MAX = 110

USE = """
import type { components, operations } from "./api.js";

type Created = operations["createGeneration"]["responses"][201]["content"]["application/json"];
export const left = (created: Created): number => created.data.balance;
export const beyond = (created: Created): "overage" | null | undefined => created.data.charged_as;
export const code: components["schemas"]["ErrorCode"] = "API_KEY_EXPIRED";
// @ts-expect-error: no code of ours
export const typo: components["schemas"]["ErrorCode"] = "API_KEY_EXPIERD";
type Body = operations["createGeneration"]["requestBody"]["content"]["application/json"];
export const body: Body = { image_urls: ["https://images.example/a.png"] };
// @ts-expect-error: no images
export const empty: Body = { prompt: "a hat" };
"""


def operation_ids() -> set[str]:
    paths: dict[str, dict[str, Any]] = json.loads(DOCUMENT.read_bytes())["paths"]
    return {operation["operationId"] for item in paths.values() for operation in item.values()}


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """All that a command says. Raises AssertionError when it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def tools() -> Path:
    """Where openapi-python-client is: in an environment of its own, made once per lock file."""
    lock = DIRECTORY / "requirements.lock"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    environment = DIRECTORY / ".venv"
    stamp = environment / ".installed-from"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == wanted):
            uv = (sys.executable, "-m", "uv", "--quiet")
            run(*uv, "venv", "--clear", environment, cwd=DIRECTORY)
            install = ("pip", "install", "--require-hashes", "--requirement", lock)
            run(*uv, *install, "--python", environment, cwd=DIRECTORY)
            stamp.write_text(wanted)
    return environment / "bin"


def test_openapi_python_client_makes_a_client_of_every_operation(
    tools: Path, tmp_path: Path
) -> None:
    said = run(
        tools / "openapi-python-client",
        *("generate", "--path", DOCUMENT, "--output-path", tmp_path / "client"),
        cwd=tmp_path,
        PATH=f"{tools}{os.pathsep}{os.environ['PATH']}",
    )
    assert not re.search("warning|error|unable", said, re.IGNORECASE), said
    [package] = (tmp_path / "client").glob("*/api")
    made = {file.stem for file in package.glob("*/*.py")} - {"__init__"}
    wanted = {re.sub("([A-Z])", r"_\1", name).lower() for name in operation_ids()}
    assert made == wanted
    run(sys.executable, "-m", "compileall", "-q", package.parent, cwd=tmp_path)


def test_openapi_typescript_makes_types_that_say_what_can_be_sent(tmp_path: Path) -> None:
    binaries = DIRECTORY / "node_modules" / ".bin"
    interpreter = node(DIRECTORY)
    types = tmp_path / "api.d.ts"
    said = run(
        interpreter, binaries / "openapi-typescript", DOCUMENT, "--output", types, cwd=tmp_path
    )
    assert not re.search("warn|error|⚠|✘", said, re.IGNORECASE), said
    assert all(f"    {name}: {{" in types.read_text() for name in operation_ids())
    (tmp_path / "use.ts").write_text(USE)
    options = ("--strict", "--noEmit", "--module", "nodenext", "--moduleResolution", "nodenext")
    # What the compiler brings itself is known to be right.
    own = "--skipDefaultLibCheck"
    run(interpreter, binaries / "tsc", *options, own, "use.ts", cwd=tmp_path)
