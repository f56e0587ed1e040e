"""The operator's own colours: whatever they are, what stands on them can be read."""

import itertools

import pytest

from storecredit.web.pages.colours import BLACK, WHITE, contrast, on, readable, schemes
from storecredit.web.portal.colours import style

STEPS = ("00", "55", "80", "aa", "ff")
CUBE = ["#" + "".join(each) for each in itertools.product(STEPS, repeat=3)]
GROUNDS = ("page", "surface", "sunken")
READ = ("text", "quiet", "link", "good", "bad", "warn")


def shown(css: str, *, is_dark: bool) -> dict[str, str]:
    """The colours of the pages with this style over theirs, as a viewer has them."""
    usual = schemes().dark if is_dark else schemes().light
    changed = {}
    for line in css.splitlines()[1:-1]:
        name, _, value = line.strip().removeprefix("--").removesuffix(";").partition(": ")
        pair = value.removeprefix("light-dark(").removesuffix(")").split(", ")
        changed[name] = pair[-1 if is_dark else 0]
    return usual | changed


def assert_readable(colours: dict[str, str]) -> None:
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
    for name, ground in itertools.product(READ, GROUNDS):
        assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in ("good", "bad", "warn"):
        assert contrast(colours[name], colours[f"{name}-surface"]) >= 4.5
    for ground in GROUNDS:
        assert contrast(colours["edge-strong"], colours[ground]) >= 3
    assert contrast(colours["chart-blue"], colours["surface"]) >= 3


def test_contrast_is_that_of_the_rules() -> None:
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast("#777777", WHITE) == pytest.approx(4.48, abs=0.005)
    assert contrast(WHITE, "#767676") == pytest.approx(4.54, abs=0.005)
    assert (on("#ffe600"), on("#0a3d2a")) == (BLACK, WHITE)


def test_what_can_be_read_stays_as_it_is_and_anything_else_is_changed_as_little() -> None:
    assert readable("#0b5f8a", [WHITE], 4.5) == "#0b5f8a"
    changed = readable("#ffe600", [WHITE], 4.5)
    assert contrast(changed, WHITE) == pytest.approx(4.5, abs=0.2)
    assert readable("#808080", [BLACK, WHITE], 21) in {BLACK, WHITE}


@pytest.mark.parametrize("is_dark", [False, True])
def test_what_is_ours_can_be_read(is_dark: bool) -> None:
    assert style(None, None) == ""
    assert_readable(shown("", is_dark=is_dark))


@pytest.mark.parametrize("is_dark", [False, True])
def test_with_any_accent_everything_can_be_read(is_dark: bool) -> None:
    for accent in CUBE:
        colours = shown(style(accent, None), is_dark=is_dark)
        assert colours["accent"] == accent
        assert_readable(colours)


@pytest.mark.parametrize("accent", [None, "#ffe600", "#7a00cc"])
def test_on_any_background_everything_can_be_read_and_the_pages_are_dark_or_light_as_it_is(
    accent: str | None,
) -> None:
    for background in CUBE:
        css = style(accent, background)
        is_dark = "color-scheme: dark;" in css
        assert is_dark is (on(background) == WHITE)
        assert is_dark is not ("color-scheme: light;" in css)
        colours = shown(css, is_dark=is_dark)
        assert colours["page"] == background
        assert_readable(colours)


def test_how_a_colour_is_spelt_makes_no_difference() -> None:
    assert style("#AABBCC", "#FFFFFF") == style("#aabbcc", "#ffffff")
