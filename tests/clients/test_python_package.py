"""The package for Python is made of today's document, has all that is in it, and is complete."""

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from clients.generate import CLIENTS, DOCUMENT, MODELS, models, stores_document
from storecredit_client import (
    AsyncClient,
    Client,
    SpendItem,
    __version__,
    calls,
    webhook_calls,
)
from storecredit_client.calling import Call
from tests.unit.test_repository import imported_names
from tests.web.doors import IMAGE

PACKAGE = CLIENTS / "python"
BUILD_SECONDS_MAX = 60

STORES: dict[str, Any] = stores_document(json.loads(DOCUMENT.read_bytes()))
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, item in STORES["paths"].items()
    for method, operation in item.items()
}
VALUES: dict[str, Any] = {
    "image_urls": [IMAGE],
    "items": [SpendItem(request_id="a", amount=1)],
    "options": {"size": "large"},
    "metadata": {"order": "1"},
    **dict.fromkeys(("amount", "credits", "expires_in_seconds", "limit", "threshold", "wait"), 1),
}
"""An argument of each name; of any other it is a text."""


def named_in_python(operation_id: str) -> str:
    return re.sub("([A-Z])", r"_\1", operation_id).lower()


def made(operation_id: str) -> Call[Any]:
    """The call for an operation with all that it takes."""
    where = webhook_calls if "Webhook" in operation_id else calls
    make = getattr(where, named_in_python(operation_id))
    names = inspect.signature(make).parameters
    call: Call[Any] = make(**{name: VALUES.get(name, "a") for name in names})
    return call


def documented(operation: dict[str, Any], where: str) -> set[str]:
    return {each["name"] for each in operation["parameters"] if each["in"] == where}


def fields(schema: dict[str, Any]) -> set[str]:
    name = schema["$ref"].rpartition("/")[2]
    return set(STORES["components"]["schemas"][name]["properties"])


def test_the_models_are_those_of_the_document() -> None:
    assert MODELS.read_text(encoding="utf-8") == models(STORES), "run `make clients`"


def test_only_what_stores_use_is_taken_from_the_document() -> None:
    assert "createGeneration" in OPERATIONS
    assert "createStore" not in OPERATIONS
    assert "ErrorCode" in STORES["components"]["schemas"]
    assert "StoreMade" not in STORES["components"]["schemas"]


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_every_operation_has_a_method_that_takes_all_that_it_takes(operation_id: str) -> None:
    method, path, operation = OPERATIONS[operation_id]
    call = made(operation_id)
    assert (call.operation, call.method) == (operation_id, method)
    assert call.path == re.sub(r"{\w+}", "a", path)
    assert set(call.query) == documented(operation, "query")
    body = operation.get("requestBody", {"content": {}})["content"].get("application/json")
    assert set(call.body or ()) == (fields(body["schema"]) if body else set())
    key = {"Idempotency-Key"} if call.idempotency_key is not None else set()
    assert {*call.headers, *key, "X-Request-Id"} == documented(operation, "header")
    success = next(answer for status, answer in operation["responses"].items() if status < "3")
    envelope = success["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    data = STORES["components"]["schemas"][envelope]["properties"]["data"]
    assert data == {"$ref": f"#/components/schemas/{call.result.__name__}"}


def test_both_clients_have_the_same_methods_and_no_others() -> None:
    wanted = {named_in_python(operation_id) for operation_id in OPERATIONS}
    for client, close in ((Client, "close"), (AsyncClient, "aclose")):
        methods = {name for name in vars(client) if not name.startswith("_")}
        assert methods == wanted | {"wait_for_generation", "send", "items", close}
    for name in wanted:
        signatures = [inspect.signature(getattr(each, name)) for each in (Client, AsyncClient)]
        assert signatures[0] == signatures[1]


def test_nothing_is_imported_but_what_is_asked_for() -> None:
    files = sorted((PACKAGE / "src/storecredit_client").glob("*.py"))
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    imported = {
        name.partition(".")[0]
        for tree in trees
        for node in ast.walk(tree)
        for name in imported_names(node)
    }
    about = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = about["dependencies"] + about["optional-dependencies"]["webhooks"]
    names = {Requirement(line).name for line in asked}
    assert imported - sys.stdlib_module_names == names | {"storecredit_client"}


def test_the_wheel_has_types_and_licence(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "python")
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('..'))"
    done = subprocess.run(
        [sys.executable, "-c", build],
        cwd=tmp_path / "python",
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=True,
    )
    name = done.stdout.splitlines()[-1]
    assert name == f"storecredit_client-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / name) as wheel:
        held = set(wheel.namelist())
        about = f"storecredit_client-{__version__}.dist-info"
        metadata = wheel.read(f"{about}/METADATA").decode()
        assert wheel.read(f"{about}/licenses/LICENSE") == (CLIENTS.parent / "LICENSE").read_bytes()
    sources = {path.name for path in (PACKAGE / "src/storecredit_client").glob("*.*")}
    assert "py.typed" in sources
    assert {f"storecredit_client/{source}" for source in sources} <= held
    assert "License-Expression: Apache-2.0" in metadata
    assert "Classifier: Typing :: Typed" in metadata
