"""The pictures that the service has for a first generation."""

from io import BytesIO

import httpx
import pytest
from PIL import Image

PICTURE_BYTES_MAX = 16_000
"""What a `data:` URL in a request is still light with."""


@pytest.mark.parametrize("name", ["day", "night"])
async def test_a_sample_picture_is_served_as_a_generation_takes_it(
    api: httpx.AsyncClient, name: str
) -> None:
    answer = await api.get(f"/api/docs/{name}.webp")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["content-disposition"].startswith("inline")
    assert len(answer.content) < PICTURE_BYTES_MAX
    with Image.open(BytesIO(answer.content)) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("WEBP", (840, 555))
