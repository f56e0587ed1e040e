"""Choosing a generator, and the collage generator."""

import asyncio
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from stand_ins.http_server import Answer, Received, stand_in
from storecredit.generation.generators import (
    GenerationFailed,
    GeneratorNotConfigured,
    GeneratorUnavailable,
    ModerationBlocked,
    load_generator,
)
from storecredit.generation.generators.collage import BACKGROUND, BOARD_SIZE, MARGIN, cells
from storecredit.generation.image_forms import READABLE
from storecredit.generation.sessions import FailureCode
from storecredit.settings import Settings
from tests.image_files import data_url, noise, picture
from tests.worker.generators import a_request, generator

PNG = picture()
OPENAI = {"generator": "openai", "openai_api_key": "sk-not-a-real-key"}


# Choosing one


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        GeneratorNotConfigured,
        match=r"^No generator is named 'x': set STORECREDIT_GENERATOR to one of collage, http, ",
    ):
        load_generator(Settings(generator="x"))


@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"generator": "http"}, "set STORECREDIT_GENERATOR_URL"),
        ({"generator": "http", "generator_url": "localhost:1"}, "is no http or https URL"),
        ({"generator": "http", "generator_url": "http://[::1"}, "is no http or https URL"),
        (OPENAI | {"openai_base_url": "localhost/v1"}, "is no http or https URL"),
        (OPENAI | {"openai_base_url": "http://[::1"}, "is no http or https URL"),
        ({"generator": "openai"}, "set STORECREDIT_OPENAI_API_KEY"),
        ({"generator": "openai", "openai_api_key": ""}, "set STORECREDIT_OPENAI_API_KEY"),
    ],
)
def test_a_missing_setting_is_named(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(GeneratorNotConfigured, match=sentence):
        load_generator(Settings.model_validate(settings))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path that offers two generators, one of which does not import."""
    (tmp_path / "shop_generator.py").write_text(
        "from storecredit.generation.generators import GeneratedImage\n"
        "class Echo:\n"
        "    def __init__(self, settings):\n"
        "        self.word = settings.openai_model\n"
        "    async def generate(self, request):\n"
        "        return GeneratedImage(self.word.encode(), 'image/png')\n"
        "    async def aclose(self):\n"
        "        pass\n"
    )
    described = tmp_path / "shop_generator-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-generator\nVersion: 1\n")
    (described / "entry_points.txt").write_text(
        "[storecredit.generators]\necho = shop_generator:Echo\nbroken = shop_generator:Nothing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("installed")
async def test_an_installed_entry_point_is_a_generator() -> None:
    async with generator(generator="echo", openai_model="hello") as echo:
        assert (await echo.generate(a_request())).content == b"hello"


@pytest.mark.usefixtures("installed")
def test_an_entry_point_that_does_not_import_is_named() -> None:
    with pytest.raises(GeneratorNotConfigured, match="'broken' is installed but does not import"):
        load_generator(Settings(generator="broken"))


def test_only_the_chosen_generator_is_imported() -> None:
    program = (
        "import sys; from storecredit.settings import Settings;"
        "from storecredit.generation.generators import load_generator;"
        "load_generator(Settings());"
        "print([name for name in ('PIL', 'openai', 'httpx') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "['PIL']"


# collage


def opened(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


def colour_at(board: Image.Image, x: float, y: float) -> tuple[int, ...]:
    colour = board.getpixel((int(x), int(y)))
    assert isinstance(colour, tuple)
    return colour


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> str:
    file = BytesIO()
    image.save(file, kind, **options)
    return data_url(file.getvalue(), kind.lower())


@pytest.mark.parametrize("count", range(1, 11))
async def test_a_board_is_a_three_to_four_png_that_shows_every_image(count: int) -> None:
    shades = [(20 * place + 20, 0, 200 - 20 * place) for place in range(count)]
    urls = [encoded(Image.new("RGB", (50, 50), shade)) for shade in shades]
    async with generator() as collage:
        image = await collage.generate(a_request(*urls))

    board = opened(image.content)
    assert image.media_type == "image/png"
    assert (board.format, board.size) == ("PNG", BOARD_SIZE)
    assert board.width * 4 == board.height * 3
    for shade, (left, top, width, height) in zip(shades, cells(count), strict=True):
        assert colour_at(board, left + width / 2, top + height / 2) == shade
    assert colour_at(board, 0, 0) == BACKGROUND


@pytest.mark.parametrize("size", [(256, 256), (4096, 256), (256, 4096), (1536, 1024)])
@pytest.mark.parametrize("count", [1, 2, 10])
async def test_a_board_is_of_the_size_that_is_asked_for(size: tuple[int, int], count: int) -> None:
    shade = (20, 0, 200)
    urls = [encoded(Image.new("RGB", (50, 50), shade))] * count
    async with generator() as collage:
        image = await collage.generate(a_request(*urls, size=f"{size[0]}x{size[1]}"))

    board = opened(image.content)
    assert board.size == size
    for left, top, width, height in cells(count, size):
        assert colour_at(board, left + width / 2, top + height / 2) == shade


@pytest.mark.parametrize(
    "size", ["", "large", "1024", "1024x", "0x0", "255x1024", "1024x4097", "+900x900", "99999x900"]
)
async def test_a_size_that_no_board_has_is_rejected(size: str) -> None:
    async with generator() as collage:
        with pytest.raises(GenerationFailed, match="makes no such size") as rejected:
            await collage.generate(a_request(size=size))
    assert rejected.value.code is FailureCode.GENERATOR_REJECTED


@pytest.mark.parametrize("count", range(1, 11))
def test_cells_keep_the_margin_to_each_other_and_to_the_edge(count: int) -> None:
    boxes = cells(count)
    width, height = BOARD_SIZE

    for box in boxes:
        assert box[0] >= MARGIN
        assert box[1] >= MARGIN
        assert box[0] + box[2] <= width - MARGIN
        assert box[1] + box[3] <= height - MARGIN
    for place, one in enumerate(boxes):
        for other in boxes[place + 1 :]:
            beside = one[0] + one[2] + MARGIN <= other[0] or other[0] + other[2] + MARGIN <= one[0]
            below = one[1] + one[3] + MARGIN <= other[1]
            assert beside or below


@pytest.mark.parametrize("size", [(400, 100), (100, 400), (9000, 1), (1, 9000), (4000, 2000)])
async def test_an_image_is_fitted_and_never_stretched(size: tuple[int, int]) -> None:
    async with generator() as collage:
        image = await collage.generate(a_request(encoded(Image.new("RGB", size, "black"))))

    covered = opened(image.content).convert("L").point([255] * 128 + [0] * 128)
    left, top, right, bottom = covered.getbbox() or (0, 0, 0, 0)
    room = (BOARD_SIZE[0] - 2 * MARGIN, BOARD_SIZE[1] - 2 * MARGIN)
    scale = min(room[0] / size[0], room[1] / size[1])
    assert right - left == pytest.approx(max(1, size[0] * scale), abs=1)
    assert bottom - top == pytest.approx(max(1, size[1] * scale), abs=1)
    assert left + right == pytest.approx(BOARD_SIZE[0], abs=1)
    assert top + bottom == pytest.approx(BOARD_SIZE[1], abs=1)


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_an_image_stands_upright_as_its_camera_noted(orientation: int) -> None:
    upright = Image.new("RGB", (640, 480), "blue")
    upright.paste("red", (0, 0, 320, 240))
    as_stored = Image.Exif()
    as_stored[0x0112] = orientation
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    undo |= {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180}
    undo |= {4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE}
    undo |= {7: Image.Transpose.TRANSVERSE}
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    async with generator() as collage:
        image = await collage.generate(a_request(encoded(stored, "JPEG", exif=as_stored)))

    board = opened(image.content)
    assert colour_at(board, 250, 450)[0] > 200  # top left is red
    for x, y in ((650, 450), (250, 750), (650, 750)):
        assert colour_at(board, x, y)[2] > 200


@pytest.mark.parametrize(
    "mode, colour, shown",
    [
        ("1", 1, (255, 255, 255)),
        ("L", 100, (100, 100, 100)),
        ("LA", (100, 255), (100, 100, 100)),
        ("P", 0, (0, 0, 0)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), BACKGROUND),
        ("I;16", 100 * 256, (100, 100, 100)),
    ],
)
async def test_every_kind_of_png_shows_its_colours(
    mode: str, colour: int | tuple[int, ...], shown: tuple[int, ...]
) -> None:
    async with generator() as collage:
        image = await collage.generate(a_request(encoded(Image.new(mode, (30, 30), colour))))

    assert colour_at(opened(image.content), 450, 600) == shown


async def test_a_cmyk_jpeg_and_a_webp_are_shown_too() -> None:
    urls = [
        encoded(Image.new("CMYK", (30, 30), (0, 0, 0, 0)), "JPEG"),
        encoded(Image.new("RGB", (30, 30), "black"), "WEBP"),
    ]
    async with generator() as collage:
        board = opened((await collage.generate(a_request(*urls))).content)

    for expected, (left, top, width, height) in zip((255, 0), cells(2), strict=True):
        shown = colour_at(board, left + width / 2, top + height / 2)
        assert shown == pytest.approx((expected,) * 3, abs=3)


@pytest.mark.parametrize(
    "prompt",
    [
        "nude",
        "A NUDE, please",
        "(nude)",
        "some\n very   explicit  content",
        "\uff4eude",
        "Stra\u00dfe nach Norden",
        "ends with c++",
    ],
)
async def test_a_blocked_term_in_the_prompt_is_moderation(prompt: str) -> None:
    terms = "Nude, very explicit content, STRASSE, c++"
    async with generator(blocked_terms=terms) as collage:
        with pytest.raises(ModerationBlocked) as blocked:
            await collage.generate(a_request(prompt=prompt))

    assert str(blocked.value) == "The prompt contains a blocked term."


@pytest.mark.parametrize(
    "prompt", [None, "", "nudes", "seminude", "very explicit", "a c+ b", "c++n"]
)
async def test_a_blocked_term_is_a_whole_word_or_phrase(prompt: str | None) -> None:
    async with generator(blocked_terms="nude, very explicit content, c++") as collage:
        assert (await collage.generate(a_request(prompt=prompt))).content


@pytest.mark.parametrize("terms", ["", " , ,", "()[", "*"])
async def test_an_ordinary_prompt_passes_whatever_the_terms_look_like(terms: str) -> None:
    async with generator(blocked_terms=terms) as collage:
        assert (await collage.generate(a_request(prompt="A quiet living room"))).content


async def test_images_are_fetched_in_order_a_few_at_a_time() -> None:
    under_way, most = 0, 0
    a_few = asyncio.Event()

    async def answer(request: Received) -> Answer:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most == 4:
            a_few.set()
        await a_few.wait()
        await asyncio.sleep(0.02)
        under_way -= 1
        return Answer(body=picture(colour="red" if request.path == "/0" else "blue"))

    async with stand_in(answer) as server, generator(allow_private_hosts=True) as collage:
        urls = [server.url(f"/{place}") for place in range(10)]
        board = opened((await collage.generate(a_request(*urls))).content)

    assert most == 4
    shown = [colour_at(board, left + 100, top + 100) for left, top, *_ in cells(10)]
    assert shown == [(255, 0, 0)] + [(0, 0, 255)] * 9


async def test_an_image_that_will_never_do_outweighs_one_in_passing_trouble() -> None:
    statuses = {"/busy": 503, "/gone": 404}

    def answer(request: Received) -> Answer:
        return Answer(statuses[request.path])

    async with stand_in(answer) as server, generator(allow_private_hosts=True) as collage:
        with pytest.raises(GeneratorUnavailable) as unavailable:
            await collage.generate(a_request(data_url(PNG), server.url("/busy")))
        with pytest.raises(GenerationFailed) as failed:
            await collage.generate(a_request(server.url("/busy"), server.url("/gone")))

    assert str(unavailable.value) == (
        "Image 2 could not be had: its server answered with status 503."
    )
    assert str(failed.value) == "Image 2 could not be had: its server answered with status 404."
    assert unavailable.value.code == failed.value.code == "IMAGE_UNREACHABLE"


async def test_an_image_on_a_private_host_fails_unless_allowed() -> None:
    async with stand_in(Answer(body=PNG)) as server, generator() as collage:
        with pytest.raises(
            GenerationFailed, match="Image 1 points to a private or local address"
        ) as failed:
            await collage.generate(a_request(server.url()))

    assert failed.value.code == "IMAGE_UNREACHABLE"
    assert server.received == []


async def test_an_image_that_does_not_decode_fails_by_its_place() -> None:
    broken = data_url(noise((50, 50))[:60])
    async with generator() as collage:
        with pytest.raises(
            GenerationFailed, match=r"^Image 2 is damaged and cannot be read\.$"
        ) as failed:
            await collage.generate(a_request(data_url(PNG), broken))

    assert failed.value.code == "IMAGE_UNREADABLE"


@pytest.mark.parametrize(
    "body, sentence",
    [
        (b"x", f"Image 1 is no {READABLE} image."),
        (b"x" * 10_001, "Image 1 is larger than 10,000 bytes."),
    ],
)
async def test_what_was_fetched_and_is_no_image_is_unreadable(body: bytes, sentence: str) -> None:
    async with (
        stand_in(Answer(body=body)) as server,
        generator(allow_private_hosts=True, image_max_bytes=10_000) as collage,
    ):
        with pytest.raises(GenerationFailed) as failed:
            await collage.generate(a_request(server.url()))

    assert (str(failed.value), failed.value.code) == (sentence, "IMAGE_UNREADABLE")
