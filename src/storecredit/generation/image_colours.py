"""The colours of an image as a screen shows them: sRGB, from what its file means by its numbers.

Hides modes, transparency and colour profiles. A profile that cannot be used says nothing: the
numbers are then taken for sRGB, as browsers take them.
"""

from io import BytesIO

from PIL import Image, ImageCms

_PROFILED = {"RGB": ("RGB", "RGB"), "RGBA": ("RGB", "RGBA"), "CMYK": ("CMYK", "RGB")}
"""By an image's mode: the colour space that its profile must be of, and the mode in sRGB."""


def plain_mode(image: Image.Image) -> Image.Image:
    """The image as RGB, as RGBA if parts of it are transparent, or as CMYK: as it can be scaled."""
    if image.mode == "CMYK":
        return image
    if image.mode.startswith("I"):
        # 16-bit greys: converted at once, Pillow clips them to 8 bits instead of scaling.
        image = image.convert("I").point(lambda grey: grey / 256).convert("L")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def in_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """An image that `plain_mode` made, as RGB or RGBA in sRGB; `icc` is its profile, or empty."""
    space, mode = _PROFILED[image.mode]
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(BytesIO(icc))
            if profile.profile.xcolor_space.strip() == space:
                srgb = ImageCms.createProfile("sRGB")
                transform = ImageCms.buildTransform(profile, srgb, image.mode, mode)
                return ImageCms.applyTransform(image, transform) or image
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # it says nothing
    return image if image.mode == mode else image.convert(mode)
