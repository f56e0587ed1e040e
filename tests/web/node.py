"""Node.js with what others wrote for it: the real tRPC, a client generator.

Without Node 20 or later such tests are skipped, and say so; with STORECREDIT_TEST_NODE=required,
as in .ci/run, they fail instead.
"""

import asyncio
import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
import pytest

from storecredit.service import Service
from storecredit.web.http.server import http_server
from storecredit.web.trpc.superjson import serialize
from tests.web.frameworks import application

ROOT: Final = Path(__file__).resolve().parents[2]
DIRECTORY: Final = ROOT / "tests" / "trpc"
OLDEST: Final = 20
INSTALL_SECONDS_MAX: Final = 100
ANSWER_SECONDS_MAX: Final = 60.0


@cache
def node(directory: Path = DIRECTORY) -> str:
    """The Node.js to run, with what the package in a directory asks for installed there."""
    found = shutil.which("node")
    version = _run([found, "--version"]).stdout.strip() if found else "none"
    if not found or int(version.removeprefix("v").partition(".")[0]) < OLDEST:
        _cannot(f"Node.js {OLDEST} or later is not here (found: {version})")
    _install(directory)
    return found


def _install(directory: Path) -> None:
    """`npm ci`, where that was not done since the lock file changed, by us or by anybody."""
    with directory.joinpath("package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_installed(directory):
            return
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            installed = _run(npm, directory)
        except (OSError, subprocess.TimeoutExpired) as error:
            _cannot(f"npm cannot install what {directory.relative_to(ROOT)} asks for: {error}")
        if installed.returncode:
            _cannot(
                f"npm cannot install what {directory.relative_to(ROOT)} asks for: "
                f"{installed.stderr.strip()}"
            )


def _is_installed(directory: Path) -> bool:
    """Whether all is there that the lock file asks for, by npm's own record of what it installed.

    It writes that last ("Hidden Lockfiles" in its page on package-lock.json). What is missing
    there is for other machines.
    """
    record = directory / "node_modules" / ".package-lock.json"
    if not record.exists():
        return False
    wanted, installed = (
        msgspec.json.decode(path.read_bytes())["packages"]
        for path in (directory / "package-lock.json", record)
    )
    missing = wanted.keys() - installed.keys() - {""}
    return all(wanted.get(name) == package for name, package in installed.items()) and all(
        wanted[name].get("optional") for name in missing
    )


def _run(command: list[str], directory: Path = DIRECTORY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS_MAX,
        check=False,
    )


def _cannot(reason: str) -> NoReturn:
    if os.environ.get("STORECREDIT_TEST_NODE") == "required":
        pytest.fail(reason)
    pytest.skip(f"NOT HELD AGAINST WHAT OTHERS WROTE: {reason}")


@asynccontextmanager
async def served(service: Service) -> AsyncIterator[int]:
    """The service on a real socket; the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening, application(service.parts) as app:
        server = http_server(app)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def reference(data: dict[str, Any]) -> AsyncIterator[int]:
    """A real @trpc/server over this data (tests/trpc/reference.mjs); the port."""
    process = await asyncio.create_subprocess_exec(
        node(),
        "reference.mjs",
        cwd=DIRECTORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode(serialize(data)) + b"\n")
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            port = await process.stdout.readline()
        yield int(port)
    finally:
        process.stdin.close()  # it ends with its input
        await process.wait()


async def run_app(*arguments: str) -> None:
    """Run the scenario of tests/trpc/app.mjs; raises AssertionError with what it says."""
    await run_script("app.mjs", *arguments)


async def run_script(script: str, *arguments: str) -> str:
    """What a script of tests/trpc prints; raises AssertionError with it, if it fails."""
    process = await asyncio.create_subprocess_exec(
        node(),
        script,
        *arguments,
        cwd=DIRECTORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    return said.decode()


def compiled(directory: Path, **options: object) -> str:
    """Compile the TypeScript in a directory against the real client; what the compiler says.

    As strictly as it can: also what the packages declare is looked at. Nothing, if it finds no
    mistake; then there is JavaScript beside it.
    """
    compile_ = [node(), "node_modules/.bin/tsc", "-p", str(directory)]
    modules = directory / "node_modules"
    if not modules.exists():
        modules.symlink_to(DIRECTORY / "node_modules")
    (directory / "package.json").write_text('{"type": "module"}')
    settings = {
        "compilerOptions": {
            "strict": True,
            "skipLibCheck": False,
            # What the compiler brings itself is most of it, and known to be right.
            "skipDefaultLibCheck": True,
            "exactOptionalPropertyTypes": True,
            "noUncheckedIndexedAccess": True,
            "target": "es2022",
            # What @trpc/server itself declares needs the last of them.
            "lib": ["es2023", "dom", "dom.iterable", "esnext.disposable"],
            "types": [],
            "module": "preserve",
            "moduleResolution": "bundler",
        }
        | options,
        "include": ["*.ts"],
    }
    (directory / "tsconfig.json").write_bytes(msgspec.json.encode(settings))
    return _run(compile_).stdout
