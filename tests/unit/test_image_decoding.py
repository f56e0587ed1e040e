"""Decoding: whatever browsers show, within limits."""

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from storecredit.generation import image_decoding
from storecredit.generation.image_decoding import (
    LARGE_PIXELS,
    PIXELS_MAX,
    as_png,
    fitted_image,
    is_large,
    verify_image,
)
from storecredit.generation.image_errors import ImageUnreadable
from storecredit.generation.image_forms import READABLE
from tests.image_files import (
    KINDS,
    bmp_that_declares,
    gif_that_declares,
    halves,
    interlaced_png,
    jpeg_segment,
    jpeg_with,
    png_chunk,
    png_chunks,
    png_that_declares,
    png_with,
    saved,
    webp_that_declares,
)

ROOM = (24, 24)
BROKEN_EXIF = b"Exif\0\0II*\0\xff\xff\xff\xff"
EXIF_OF_NONSENSE = b"Exif\0\0" + b"MM\0*\0\0\0\x08\x40\0" + b"\x01\x12\xff\xff\xff\xff\xff\xff" * 9
UPSIDE_DOWN = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"


def colour_at(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    colour = image.getpixel((x, y))
    assert isinstance(colour, tuple)
    return colour


def grey_at(image: Image.Image, y: int) -> int:
    return colour_at(image.convert("RGB"), 12, y)[0]


def assert_halves(content: bytes, *, upside_down: bool = False) -> None:
    """The file shows `halves`, as an input image and as a result."""
    shown = fitted_image(content, ROOM)

    black, white = (20, 3) if upside_down else (3, 20)
    assert grey_at(shown, black) == pytest.approx(0, abs=4)
    assert grey_at(shown, white) == pytest.approx(255, abs=4)
    assert verify_image(content).startswith("image/")


# What stands beside the pixels


BOMB = zlib.compress(b"x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1))
"""More than Pillow reads; Photoshop's history and ComfyUI's workflows come to megabytes."""
BESIDE_PNG = {
    "a large zTXt": png_chunk(b"zTXt", b"Comment\0\0" + BOMB),
    "a large iTXt": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
    "much tEXt": png_chunk(b"tEXt", b"a\0" + b"x" * 2_000_000) * 40,
    "a large colour profile": png_chunk(b"iCCP", b"icc\0\0" + BOMB),
    "a colour profile that is none": png_chunk(b"iCCP", b"icc\0\0no zlib"),
    "a colour profile compressed by an unknown method": png_chunk(b"iCCP", b"icc\0\x07" + BOMB),
    "text with a wrong checksum": png_chunk(b"tEXt", b"Author\0me", checksum_off_by=1),
    "a time that is none": png_chunk(b"tIME", b""),
    "a density with a wrong checksum": png_chunk(b"pHYs", b"\0" * 9, checksum_off_by=1),
    "a chunk nobody knows": png_chunk(b"vpAg", b"\0" * 9),
    "broken Exif": png_chunk(b"eXIf", BROKEN_EXIF[6:]),
    "Exif with a wrong checksum": png_chunk(b"eXIf", UPSIDE_DOWN[6:], checksum_off_by=1),
    "a chunk of animation that is none": png_chunk(b"acTL", b"\0"),
}


@pytest.mark.parametrize("beside", BESIDE_PNG)
def test_what_is_wrong_beside_the_pixels_of_a_png_is_nobodys_concern(beside: str) -> None:
    assert_halves(png_with(BESIDE_PNG[beside]))


BESIDE_JPEG = {
    "broken Exif": jpeg_segment(0xE1, BROKEN_EXIF),
    "Exif of nonsense": jpeg_segment(0xE1, EXIF_OF_NONSENSE),
    "a colour profile in parts that do not fit": jpeg_segment(0xE2, b"ICC_PROFILE\0\x03\x07x") * 2,
    "an index of pictures that is none": jpeg_segment(0xE2, b"MPF\0nonsense"),
    "a Photoshop segment cut short": jpeg_segment(0xED, b"Photoshop 3.0\x008BIM\x04"),
    "an empty comment": jpeg_segment(0xFE, b""),
    "fill bytes": b"\xff" * 5,
    "bytes between the segments": b"\0\0 who knows \0",
}


@pytest.mark.parametrize("beside", BESIDE_JPEG)
def test_nor_is_what_is_wrong_beside_those_of_a_jpeg(beside: str) -> None:
    assert_halves(jpeg_with(BESIDE_JPEG[beside]))


@pytest.mark.parametrize("exif", [BROKEN_EXIF, EXIF_OF_NONSENSE, b"", b"x" * 70_000])
def test_nor_is_broken_exif_in_a_webp(exif: bytes) -> None:
    assert_halves(saved(halves(), "WEBP", exif=exif, lossless=True))
    assert_halves(saved(halves(), "WEBP", icc_profile=exif, lossless=True))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_sound_exif_says_which_side_is_up(kind: str) -> None:
    content = saved(halves(), kind, exif=UPSIDE_DOWN, quality=95)

    assert_halves(content, upside_down=True)
    assert grey_at(fitted_image(as_png(content), ROOM), 3) == pytest.approx(255, abs=4)


def profile_of_swapped_colours() -> bytes:
    """A colour profile by which red is blue, and blue is red."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"sXYZ").replace(b"bXYZ", b"rXYZ").replace(b"sXYZ", b"bXYZ")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_what_the_profile_says(kind: str, mode: str) -> None:
    image = Image.new("RGB", (48, 48), "red").convert("RGB" if kind == "JPEG" else mode)
    profile = profile_of_swapped_colours()
    content = saved(image, kind, icc_profile=profile, quality=95)

    for shown in (fitted_image(content, ROOM), fitted_image(as_png(content), ROOM)):
        assert colour_at(shown, 12, 12)[:3] == pytest.approx((0, 0, 255), abs=16)


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_a_profile_of_another_colour_space_says_nothing(mode: str) -> None:
    image = halves(mode=mode)
    assert_halves(saved(image, "JPEG", icc_profile=profile_of_swapped_colours(), quality=95))


def test_of_two_exif_the_first_counts() -> None:
    both = jpeg_segment(0xE1, UPSIDE_DOWN) + jpeg_segment(0xE1, BROKEN_EXIF)

    assert_halves(jpeg_with(both), upside_down=True)


# Kinds of pictures


@pytest.mark.parametrize("kind", KINDS)
def test_each_form_is_shown(kind: str) -> None:
    assert_halves(saved(halves(), kind, quality=95))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_of_a_picture_that_moves_the_first_is_shown(kind: str) -> None:
    frames = [halves(), halves().rotate(180)]
    assert_halves(
        saved(frames[0], kind, save_all=True, append_images=frames[1:], quality=95, duration=80)
    )


def test_of_several_pictures_of_a_phone_the_first_is_shown() -> None:
    second = halves().rotate(180)
    assert_halves(saved(halves(), "MPO", save_all=True, append_images=[second], quality=95))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_a_png_of_every_mode_is_shown(mode: str) -> None:
    grey = Image.new("I;16", (48, 48), 0)
    grey.paste(0xFFFF, (0, 24, 48, 48))
    assert_halves(saved(grey if mode == "I;16" else halves(mode=mode)))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_of_every_mode_is_shown(mode: str, progressive: bool) -> None:
    assert_halves(saved(halves(mode=mode), "JPEG", quality=95, progressive=progressive))


def test_an_interlaced_png_is_shown() -> None:
    assert_halves(interlaced_png(halves(mode="L")))


def test_a_png_of_sixteen_bits_a_colour_is_shown() -> None:
    rows = b"".join(b"\0" + shade * 48 * 3 for shade in [b"\0\0"] * 24 + [b"\xff\xff"] * 24)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 48, 16, 2, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(rows))
    assert_halves(saved(halves())[:8] + header + pixels + png_chunk(b"IEND", b""))


def test_a_colour_that_means_transparent_stays_so() -> None:
    palette = halves().quantize(2)
    for image in (palette, halves()):
        black = palette.getpixel((0, 0)) if image is palette else (0, 0, 0)
        shown = fitted_image(saved(image, transparency=black), (48, 48))
        assert shown.mode == "RGBA"
        assert (colour_at(shown, 5, 5)[3], colour_at(shown, 5, 40)[3]) == (0, 255)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_an_image_made_smaller_in_bands_shows_no_seams(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slope = Image.linear_gradient("L").resize((311, 513)).convert("RGB").convert(mode)
    content = saved(slope)
    whole = fitted_image(content, (30, 30))
    monkeypatch.setattr(image_decoding, "BAND_PIXELS", 2_000)

    assert fitted_image(content, (30, 30)).tobytes() == whole.tobytes()


# Cut short


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_marker_is_whole(missing: int, progressive: bool) -> None:
    assert_halves(saved(halves(), "JPEG", quality=95, progressive=progressive)[:-missing])


def test_a_png_without_its_end_is_whole() -> None:
    content = saved(halves())
    for missing in (4, 12):
        assert_halves(content[:-missing])
    assert_halves(content + b"and something after its end")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_of_an_input_image_cut_short_there_is_shown_what_is_there(kind: str) -> None:
    image = Image.effect_noise((300, 300), 60).convert("RGB")
    image.paste("red", (0, 0, 300, 60))
    content = saved(image, kind)

    shown = fitted_image(content[: len(content) // 2], (300, 300))

    assert shown.size == (300, 300)
    assert colour_at(shown, 150, 30)[:3] == pytest.approx((255, 0, 0), abs=4)
    with pytest.raises(ImageUnreadable, match=r"^is (damaged and cannot be read|cut short)\.$"):
        verify_image(content[: len(content) // 2])


def test_below_what_is_there_of_a_png_it_is_transparent() -> None:
    content = saved(Image.effect_noise((300, 300), 60).convert("RGB"))

    shown = fitted_image(content[: len(content) // 2], (300, 300))

    assert (shown.mode, colour_at(shown, 150, 20)[3]) == ("RGBA", 255)
    assert colour_at(shown, 150, 290)[3] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_which_only_the_head_is_there_is_refused(kind: str) -> None:
    head = saved(Image.effect_noise((300, 300), 60).convert("RGB"), kind)[:60]
    with pytest.raises(ImageUnreadable, match=r"^is damaged and cannot be read\.$"):
        fitted_image(head, ROOM)


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_cut_short_is_refused(kind: str) -> None:
    whole = saved(Image.effect_noise((300, 300), 60).convert("RGB"), kind)
    with pytest.raises(ImageUnreadable, match=r"^is (damaged and cannot be read|cut short)\.$"):
        verify_image(whole[: len(whole) * 2 // 3])


# Damaged and too large


def test_a_result_whose_pixels_have_a_wrong_checksum_is_refused() -> None:
    whole = saved(halves())
    chunks = [
        chunk[:-1] + bytes([chunk[-1] ^ 1]) if kind == b"IDAT" else chunk
        for kind, chunk in png_chunks(whole)
    ]
    with pytest.raises(ImageUnreadable, match="is damaged"):
        verify_image(whole[:8] + b"".join(chunks))


def test_what_only_begins_like_an_image_is_refused() -> None:
    with pytest.raises(ImageUnreadable, match="is damaged"):
        verify_image(saved(halves())[:8] + b"no more of a picture")
    with pytest.raises(ImageUnreadable, match=f"is no {READABLE} image"):
        verify_image(b"a text")


@pytest.mark.parametrize(
    "declares", [png_that_declares, webp_that_declares, gif_that_declares, bmp_that_declares]
)
@pytest.mark.parametrize("size", [(16_000, 16_000), (PIXELS_MAX // 10_000 + 1, 10_000)])
def test_a_decompression_bomb_is_refused_from_its_header(
    declares: object, size: tuple[int, int]
) -> None:
    assert callable(declares)
    for use in (verify_image, as_png, is_large, lambda bomb: fitted_image(bomb, ROOM)):
        with pytest.raises(ImageUnreadable, match=r"^has more than 80,000,000 pixels\.$"):
            use(declares(size))


def test_a_picture_of_a_phone_of_48_megapixels_is_large_and_no_bomb() -> None:
    phone = (8064, 6048)

    assert phone[0] * phone[1] * 3 // 2 < PIXELS_MAX
    assert is_large(png_that_declares(phone))
    assert not is_large(png_that_declares((LARGE_PIXELS // 1000, 1000)))


@settings(deadline=None)  # damage may make a header declare millions of pixels
@given(st.sampled_from(sorted(KINDS)), st.integers(12, 400), st.binary(min_size=1, max_size=8))
def test_no_damage_whatever_breaks_decoding(kind: str, at: int, damage: bytes) -> None:
    content = bytearray(saved(halves(), kind))
    content[at : at + len(damage)] = damage

    for use in (verify_image, as_png, lambda damaged: fitted_image(damaged, ROOM)):
        with suppress(ImageUnreadable):
            use(bytes(content))
