"""Templates that were compiled are kept, and nothing is run that this service has not compiled."""

import marshal
import os
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any, Final

import jinja2
import pytest

from storecredit.web.pages import compiled_templates
from storecredit.web.pages.compiled_templates import FOLDER, CompiledTemplates

KEY: Final = b"sixteen bytes or more"
NAME: Final = "page.html"


class Compiling(jinja2.Environment):
    """Counts the templates that it compiles."""

    compiled = 0

    def compile(self, *args: Any, **kwargs: Any) -> CodeType:  # type: ignore[override]  # it has overloads
        self.compiled += 1
        code: CodeType = super().compile(*args, **kwargs)
        return code


class Site:
    """A place with templates and a data directory, where services come and go."""

    def __init__(self, root: Path) -> None:
        self.templates, self.data_dir, self.code = root / "templates", root / "data", root / "code"
        for folder in (self.templates, self.data_dir, self.code):
            folder.mkdir()
        (self.code / "filters.py").write_text("")
        self.write("Hello {{ name }}")

    def write(self, text: str) -> None:
        (self.templates / NAME).write_text(text)

    def page(self, *, key: bytes = KEY) -> tuple[str, int]:
        """What a service that has just been started shows, and how much it compiled for it."""
        environment = Compiling(
            loader=jinja2.FileSystemLoader(self.templates),
            autoescape=True,
            bytecode_cache=CompiledTemplates(self.data_dir, key, self.code),
        )
        return environment.get_template(NAME).render(name="<you>"), environment.compiled

    @property
    def kept(self) -> Path:
        [file] = (self.data_dir / FOLDER).iterdir()
        return file


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_template_is_compiled_once_and_not_by_the_next_service(site: Site) -> None:
    assert site.page() == ("Hello &lt;you&gt;", 1)
    assert site.page() == ("Hello &lt;you&gt;", 0)
    assert (site.data_dir / FOLDER).stat().st_mode & 0o777 == 0o700


def _cut(site: Site) -> None:
    site.kept.write_bytes(site.kept.read_bytes()[:-5])


def _emptied(site: Site) -> None:
    site.kept.write_bytes(b"")


def _changed(site: Site) -> None:
    kept = bytearray(site.kept.read_bytes())
    kept[-1] ^= 1
    site.kept.write_bytes(kept)


def _replaced(site: Site) -> None:
    """By code that would be noticed if it ran."""
    code = compile(f"open({str(site.data_dir / 'run')!r}, 'w')", "elsewhere", "exec")
    site.kept.write_bytes(site.kept.read_bytes()[:32] + marshal.dumps(code))


def _code_changed(site: Site) -> None:
    os.utime(site.code / "filters.py", ns=(1, 1))


def _a_directory(site: Site) -> None:
    kept = site.kept
    kept.unlink()
    kept.mkdir()


@pytest.mark.parametrize(
    "happened, kept_again",
    [
        (_cut, True),
        (_emptied, True),
        (_changed, True),
        (_replaced, True),
        (_code_changed, True),
        (_a_directory, False),
    ],
)
def test_what_is_not_ours_is_not_run_but_compiled_anew(
    site: Site,
    happened: Callable[[Site], None],
    kept_again: bool,
) -> None:
    site.page()
    happened(site)
    assert site.page() == ("Hello &lt;you&gt;", 1)
    assert site.page() == ("Hello &lt;you&gt;", 0 if kept_again else 1)
    assert not (site.data_dir / "run").exists()
    assert len(list((site.data_dir / FOLDER).iterdir())) == 1, "no drafts are left"


def test_a_changed_template_another_key_and_another_version_are_compiled_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.page()
    site.write("Good day {{ name }}")
    assert site.page() == ("Good day &lt;you&gt;", 1)
    assert site.page() == ("Good day &lt;you&gt;", 0)
    assert site.page(key=b"another key, as long") == ("Good day &lt;you&gt;", 1)
    assert site.page() == ("Good day &lt;you&gt;", 1)
    monkeypatch.setattr(compiled_templates, "__version__", "99.0")
    assert site.page() == ("Good day &lt;you&gt;", 1)


def test_where_nothing_can_be_kept_pages_are_shown_all_the_same(site: Site) -> None:
    site.data_dir.rmdir()
    site.data_dir.write_text("a file")
    assert site.page() == ("Hello &lt;you&gt;", 1)
    assert site.page() == ("Hello &lt;you&gt;", 1)
