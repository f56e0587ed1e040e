"""The package for TypeScript: made of today's document, compiled, run against the real service."""

import asyncio
import json
import re
import subprocess
from pathlib import Path

import pytest

from clients.generate import (
    CLIENTS,
    DOCUMENT,
    TYPE_GENERATOR,
    TYPES,
    stores_document,
    types,
)
from tests.clients.conftest import ServedStore
from tests.clients.selling import subscriber
from tests.e2e.page_commands import Page
from tests.web.doors import IMAGE
from tests.web.node import node

PACKAGE = CLIENTS / "typescript"
README = Page("clients/typescript/README.md")
SECONDS_MAX = 60


def run(*command: str) -> str:
    """What a command says in the package's directory. Raises AssertionError if it fails."""
    done = subprocess.run(
        command, cwd=PACKAGE, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def interpreter() -> str:
    """Node.js, with what the package needs."""
    return node(PACKAGE)


def test_the_types_are_those_of_the_document() -> None:
    node(TYPE_GENERATOR.parents[2])
    document = stores_document(json.loads(DOCUMENT.read_bytes()))
    assert TYPES.read_text(encoding="utf-8") == types(document), "run `make clients`"


@pytest.fixture(scope="module")
def built(interpreter: str) -> str:
    """Node.js, once the package is compiled as it is published."""
    run(interpreter, "node_modules/.bin/tsc")
    return interpreter


@pytest.mark.asyncio(loop_scope="module")
async def test_an_app_compiles_and_does_what_the_readme_and_the_scenario_say(
    built: str, served: ServedStore
) -> None:
    made = PACKAGE / "tests" / "made"
    made.mkdir(exist_ok=True)
    for number, block in enumerate(README.blocks("ts"), start=1):
        text = block.replace("http://127.0.0.1:8080", served.url)
        text = text.replace("sc_live_…", served.key)
        text = text.replace("https://images.example/hat.png", IMAGE)
        (made / f"readme-{number}.ts").write_text(text, encoding="utf-8")

    def compile_and_run() -> str:
        run(built, "node_modules/.bin/tsc", "-p", "tests")
        return run(
            built, "--test-reporter=tap", "tests/scenario.mjs", served.relay.url, served.key, IMAGE
        )

    said = await asyncio.to_thread(compile_and_run)
    passed, told = (
        int(re.findall(rf"^# {name} (\d+)$", said, re.MULTILINE)[0]) for name in ("pass", "tests")
    )
    assert passed == told > 10, said


@pytest.mark.asyncio(loop_scope="module")
async def test_credits_are_bought_by_themselves(
    built: str, database_url: str, data_dir: Path
) -> None:
    async with subscriber(database_url, data_dir) as (seller, store, _):
        script = ("tests/topping_up.mjs", seller.url, store.api_key)
        await asyncio.to_thread(run, built, *script)
        assert len(seller.paddle.sent("POST", "/charge")) == 1


def test_what_is_published_has_types_and_licence_and_nothing_else(built: str) -> None:
    packed = json.loads(run("npm", "pack", "--dry-run", "--json", "--ignore-scripts"))
    files = {Path(file["path"]) for file in packed[0]["files"]}
    assert {file.name for file in files if file.parent == Path()} == {
        "LICENSE",
        "README.md",
        "package.json",
    }
    sources = {source.stem for source in (PACKAGE / "src").glob("*.ts")}
    wanted = {Path("dist", stem + end) for stem in sources for end in (".js", ".d.ts")}
    assert {file for file in files if file.parent == Path("dist")} == wanted
    assert (PACKAGE / "LICENSE").read_bytes() == (CLIENTS.parent / "LICENSE").read_bytes()
    assert built


def test_the_lock_names_no_registry_and_has_a_hash_for_each_package() -> None:
    locked = json.loads((PACKAGE / "package-lock.json").read_bytes())["packages"]
    others = {name: package for name, package in locked.items() if name}
    assert [name for name, package in others.items() if "integrity" not in package] == []
    assert [name for name, package in others.items() if "resolved" in package] == []
