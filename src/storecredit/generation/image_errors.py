"""What can be wrong with an image that somebody else made.

    ImageRefused        permanent: this image will never do
      ImageUnreadable   its bytes are here, and they will not do
    ImageUnavailable    temporary: worth another attempt

The text of each is a predicate to put after the image's name ("is larger than 10 bytes."). None
contains a URL or a word of the image's own.
"""


class ImageRefused(Exception):
    """The image can never be used; the message is a predicate, safe to show."""


class ImageUnreadable(ImageRefused):
    """The image is here, and is none that can be used; the message is a predicate, safe to show."""


class ImageUnavailable(Exception):
    """The image could not be had this time; the message is a predicate, safe to show."""


def too_large(max_bytes: int) -> ImageUnreadable:
    """The refusal of an image of more than `max_bytes`."""
    return ImageUnreadable(f"is larger than {max_bytes:,} bytes.")
