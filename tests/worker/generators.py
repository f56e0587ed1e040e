"""Fetchers and generators, open for as long as a block lasts, and a request for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from storecredit.generation.generators import GenerationRequest, Generator, load_generator
from storecredit.generation.image_fetching import ImageFetcher
from storecredit.outbound.addresses import Resolver
from storecredit.settings import Settings
from tests.image_files import data_url, picture

FETCHED_MAX_BYTES = 10_000


@asynccontextmanager
async def fetcher(
    *,
    allow_private_hosts: bool = True,
    timeout_seconds: float = 30.0,
    trusted_host: str | None = None,
    resolve: Resolver | None = None,
) -> AsyncIterator[ImageFetcher]:
    """Fetches images of up to `FETCHED_MAX_BYTES`, for as long as the block lasts."""
    opened = ImageFetcher(
        max_bytes=FETCHED_MAX_BYTES,
        timeout_seconds=timeout_seconds,
        allow_private_hosts=allow_private_hosts,
        trusted_host=trusted_host,
        resolve=resolve,
    )
    yield opened
    await opened.aclose()


SESSION = UUID("22222222-2222-4222-8222-222222222222")


def a_request(*image_urls: str, prompt: str | None = None, **options: str) -> GenerationRequest:
    """A request as the worker makes it; without image URLs, for one small PNG."""
    images = image_urls or (data_url(picture()),)
    return GenerationRequest(SESSION, "order-7", images, prompt, options)


@asynccontextmanager
async def generator(**settings: object) -> AsyncIterator[Generator]:
    """The generator that the settings name, for as long as the block lasts."""
    loaded = load_generator(Settings.model_validate(settings))
    yield loaded
    await loaded.aclose()
