"""No answer, however odd, breaks the reading of it; and the page shows what is read."""

import asyncio
import re
from base64 import b64encode
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storecredit.generation.generators import AttemptFailed, GeneratedImage
from storecredit.generation.generators.result_images import ResultReader
from storecredit.settings import Settings
from tests.image_files import data_url, noise, picture

PNG = noise((50, 50))
PAGE = Path(__file__).parents[2] / "docs" / "images.md"
NAMES = [
    *("image_base64", "image_url", "data", "images", "output", "result", "candidates", "content"),
    *("inlineData", "choices", "message", "url", "thought", "prompt", ""),
]
TEXTS = ["", " ", "sorry", "%%%", "/9j/", "data:", "data:,", "ftp://a/b", "http://10.0.0.1/a", "\0"]
TEXTS += [data_url(picture()), b64encode(picture()).decode()[:60], "![a](data:image/png;base64,A)"]
ANSWERS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(TEXTS), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=20,
)


def read(body: bytes) -> GeneratedImage | AttemptFailed:
    async def reading() -> GeneratedImage | AttemptFailed:
        reader = ResultReader(
            Settings(generator_backoff_seconds=0),
            "The generator",
            "http://generator.example/make",
            "generator.example",
        )
        try:
            return await reader.read(body)
        except AttemptFailed as failed:
            return failed
        finally:
            await reader.aclose()

    return asyncio.run(reading())


@settings(deadline=None, max_examples=50)
@given(st.one_of(ANSWERS.map(msgspec.json.encode), st.binary(max_size=40)))
def test_an_answer_is_an_image_or_a_sentence(body: bytes) -> None:
    outcome = read(body)

    if isinstance(outcome, AttemptFailed):
        assert str(outcome).startswith(("The generator's answer ", "The generator's image "))


@pytest.mark.parametrize("parameters, is_read", [(";a=1" * 22, True), (";a=1" * 23, False)])
def test_the_head_of_an_image_in_prose_has_a_maximum(parameters: str, *, is_read: bool) -> None:
    """Else a text of many heads is read for each of them to its end."""
    url = data_url(PNG).replace("image/png", f"image/png{parameters}")

    outcome = read(msgspec.json.encode({"content": f"Here it is: ![A room]({url})"}))

    assert isinstance(outcome, GeneratedImage) == is_read


def shown() -> list[str]:
    """The answers that the page shows, in its second table."""
    table = PAGE.read_text(encoding="utf-8").partition("## Images that come back")[2]
    return re.findall(r"`(\{.*?\})`", table)


@pytest.mark.parametrize("answer", shown())
def test_each_answer_that_the_page_shows_is_read(answer: str) -> None:
    body = answer.replace('"https://…"', '"…"').replace("…", data_url(PNG))

    outcome = read(body.encode())

    assert isinstance(outcome, GeneratedImage), outcome
    assert outcome.content == PNG


def test_the_page_shows_some() -> None:
    assert len(shown()) > 15
