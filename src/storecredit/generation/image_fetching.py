"""Fetches input images: what a generator calls.

Promises that nothing is ever fetched from a private, loopback or link-local address unless the
operator allows it, and that no message here contains the URL it speaks of. A `data:` URL is
decoded, anything else downloaded (`image_download.py`). What it raises is in `image_errors.py`.
"""

from typing import TYPE_CHECKING

from storecredit.generation.image_forms import (
    InputImage,
    decode_data_url,
    is_data_url,
    read_image,
)
from storecredit.generation.image_sources import REDIRECTS_MAX, FetchLimits
from storecredit.outbound.addresses import Resolver
from storecredit.outbound.name_lookups import NameLookups

if TYPE_CHECKING:
    from storecredit.generation.image_download import ImageDownload


class ImageFetcher:
    """Fetches images within limits: see `FetchLimits`. Close it with `aclose`."""

    def __init__(
        self,
        *,
        max_bytes: int,
        timeout_seconds: float,
        allow_private_hosts: bool,
        max_redirects: int = REDIRECTS_MAX,
        trusted_host: str | None = None,
        resolve: Resolver | None = None,
    ) -> None:
        self._limits = FetchLimits(
            max_bytes, timeout_seconds, allow_private_hosts, max_redirects, trusted_host
        )
        self._resolve = resolve or NameLookups()
        self._download: ImageDownload | None = None

    async def fetch(self, url: str) -> InputImage:
        """The image at `url`, its type told from its first bytes.

        Raises `ImageRefused` or `ImageUnavailable`. Whether the image decodes is not tried here.
        """
        if is_data_url(url):
            return decode_data_url(url, self._limits.max_bytes)
        return read_image(await self._started_download().get(url))

    def _started_download(self) -> "ImageDownload":
        if self._download is None:
            # The HTTP client costs a tenth of a second; a service that is sent data: URLs, or
            # whose worker runs elsewhere, starts without it.
            from storecredit.generation.image_download import (  # noqa: PLC0415 - see above
                ImageDownload,
            )

            self._download = ImageDownload(self._limits, self._resolve)
        return self._download

    async def aclose(self) -> None:
        """Close its connections."""
        if self._download is not None:
            await self._download.aclose()
