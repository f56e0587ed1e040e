"""The pages of docs/ that are made from the code are those that are checked in."""

import re
from pathlib import Path

import pytest

from docs.events_page import events_page
from docs.write import DOCS, b2c_page, settings_page
from storecredit.generation.sessions import FailureCode
from storecredit.ledger.discrepancies import DiscrepancyKind
from storecredit.operator.settings_in_force import descriptions
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from storecredit.web.trpc.router_types import module
from storecredit.webhooks.event_schemas import events_document
from tests.web.scrapes import DATABASE_GAUGES

ROOT = DOCS.parent
PAGES = sorted(
    str(page.relative_to(ROOT))
    for pages in ("*.md", "docs/*.md", "tests/*.md", "benchmarks/*.md", "clients/*/*.md")
    for page in ROOT.glob(pages)
)


def addresses_in_titles(page: Path) -> set[str]:
    """What a link may name after `#`: the headings of a page, as GitHub makes addresses of them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if re.match(r"\w+:", link):
            continue
        path, _, title = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not title or title in addresses_in_titles(target), link


def test_the_settings_page_is_not_stale() -> None:
    kept = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert kept == settings_page(), "run `make docs`"


def test_the_types_for_the_app_are_not_stale() -> None:
    assert (DOCS / "trpc.d.ts").read_text(encoding="utf-8") == module(), "run `make docs`"


def test_what_is_said_of_the_procedures_is_not_stale() -> None:
    kept = (DOCS / "b2c.md").read_text(encoding="utf-8")
    assert kept == b2c_page(kept), "run `make docs`"


def test_what_is_said_of_events_is_not_stale() -> None:
    assert (DOCS / "events.md").read_text(encoding="utf-8") == events_page(), "run `make docs`"
    assert (DOCS / "events.schema.json").read_bytes() == events_document(), "run `make docs`"


def test_every_setting_says_what_it_does() -> None:
    assert Settings.model_fields.keys() == descriptions().keys()
    assert all(descriptions().values())


def test_the_page_on_generators_has_every_code_of_a_failure_and_no_other() -> None:
    page = (DOCS / "generators.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE) == list(FailureCode)
    for variable in re.findall(r"STORECREDIT_(\w+)", page):
        assert variable.lower() in Settings.model_fields


def test_the_page_on_verify_has_every_kind_of_discrepancy_and_no_other() -> None:
    page = (DOCS / "verify.md").read_text(encoding="utf-8")
    named = [
        kind
        for kinds in re.findall(r"^\| (`[a-z_`, ]+`) \|", page, re.MULTILINE)
        for kind in re.findall(r"\w+", kinds)
    ]
    assert sorted(named) == sorted(DiscrepancyKind)


def test_the_metrics_page_has_every_metric_and_no_other() -> None:
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| `(storecredit_\w+)` \| ([\w, ]*)\|", page, re.MULTILINE))
    counted = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in Metrics().registry.collect()
    }
    assert set(shown) == counted | DATABASE_GAUGES
    # Of a histogram a query asks how often it was observed.
    named = {name.removesuffix("_count") for name in re.findall(r"storecredit_\w+", page)}
    for name in named - set(shown):
        raise AssertionError(f"there is no {name}")
