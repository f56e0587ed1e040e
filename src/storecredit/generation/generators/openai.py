"""The generator that asks OpenAI's Images API, or another service that speaks it.

Hides the official client and its errors. One request to `images/edits` with all input images;
the client's own retries are off, since attempts are the worker's. What the service says about
an error goes to the log as status and code only: its sentences may quote the prompt or a key.

An image answered as a URL is fetched under the rules for input images, but may lie on the
service's own host, private or not.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import httpx2  # what the official client rides on: a body that breaks off raises its errors
import msgspec
import openai

from storecredit import telemetry
from storecredit.generation.generators import (
    GeneratedImage,
    GenerationFailed,
    GenerationRequest,
    GeneratorNotConfigured,
    GeneratorUnavailable,
    ModerationBlocked,
    fetch_input_images,
    status_failure,
)
from storecredit.generation.image_decoding import verify_image
from storecredit.generation.images import (
    ImageFetcher,
    ImageRefused,
    ImageUnavailable,
    InputImage,
    decode_base64,
)
from storecredit.generation.sessions import FailureCode
from storecredit.settings import Settings

BASE_URL = "https://api.openai.com/v1"
"""Used where `STORECREDIT_OPENAI_BASE_URL` is unset; said here, since the client would look for
another one in the environment."""
CONNECT_TIMEOUT_SECONDS = 10.0
ANSWER_SLACK_BYTES = 64 * 1024
"""Room in an answer for what is not the image."""
SIZE = "1024x1536"
"""Portrait: of the standard sizes of the GPT image models the one nearest to 3:4."""
DEFAULT_PROMPT = (
    "Arrange the given images into one photorealistic portrait picture. "
    "Keep every product recognisable: its shape, colour, pattern and proportions."
)
MODERATION_CODES = frozenset({"moderation_blocked", "content_policy_violation"})

log = telemetry.get_logger("generation.openai")


class _Image(msgspec.Struct):
    b64_json: str | None = None
    url: str | None = None


class _Answer(msgspec.Struct):
    """What is needed of an ImagesResponse."""

    data: list[_Image] | None = None


class OpenAIGenerator:
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        if settings.openai_api_key is None or not settings.openai_api_key.get_secret_value():
            raise GeneratorNotConfigured(
                "The generator 'openai' needs a key: set STORECREDIT_OPENAI_API_KEY."
            )
        base_url = settings.openai_base_url or BASE_URL
        host = _host(base_url)
        self._model = settings.openai_model
        self._image_max_bytes = settings.image_max_bytes
        self._answer_max_bytes = settings.image_max_bytes * 4 // 3 + ANSWER_SLACK_BYTES
        timeout_seconds = settings.generation_timeout_seconds
        self._client = openai.AsyncOpenAI(
            api_key=settings.openai_api_key.get_secret_value(),
            base_url=base_url,
            max_retries=0,
            timeout=openai.Timeout(
                timeout_seconds, connect=min(timeout_seconds, CONNECT_TIMEOUT_SECONDS)
            ),
        )
        self._fetcher = ImageFetcher(
            max_bytes=settings.image_max_bytes,
            timeout_seconds=settings.image_fetch_timeout_seconds,
            allow_private_hosts=settings.allow_private_hosts,
        )
        self._result_fetcher = ImageFetcher(
            max_bytes=settings.image_max_bytes,
            timeout_seconds=settings.image_fetch_timeout_seconds,
            allow_private_hosts=settings.allow_private_hosts,
            trusted_host=host,
        )

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """The image that the service makes of the input images and the prompt."""
        images = await fetch_input_images(self._fetcher, request.image_urls)
        answer = _read_answer(await self._ask(images, request.prompt or DEFAULT_PROMPT))
        try:
            content = await self._content(answer)
            media_type = await asyncio.to_thread(verify_image, content)
        except ImageRefused as refused:
            raise GenerationFailed(f"The image service's image {refused}") from refused
        except ImageUnavailable as unavailable:
            raise GeneratorUnavailable(f"The image service's image {unavailable}") from unavailable
        return GeneratedImage(content, media_type)

    async def aclose(self) -> None:
        """Close the connections to the service and to image hosts."""
        await self._client.close()
        await self._fetcher.aclose()
        await self._result_fetcher.aclose()

    async def _ask(self, images: Sequence[InputImage], prompt: str) -> bytes:
        """The body of the answer; any failure is raised."""
        files = [
            (f"image-{place}", image.content, image.media_type)
            for place, image in enumerate(images, start=1)
        ]
        # Errors are raised without their cause, so that no traceback quotes the service.
        try:
            async with self._client.images.with_streaming_response.edit(
                model=self._model, image=files, prompt=prompt, size=SIZE, n=1
            ) as response:
                return await self._read(response.iter_bytes())
        except (openai.APITimeoutError, httpx2.TimeoutException):
            raise GeneratorUnavailable(
                "The image service did not answer in time.", FailureCode.GENERATOR_TIMEOUT
            ) from None
        except (openai.APIConnectionError, httpx2.RequestError):
            raise GeneratorUnavailable("The image service could not be reached.") from None
        except openai.APIStatusError as error:
            raise _failure(error) from None
        except openai.OpenAIError as error:
            log.warning("openai_client_failed", error=type(error).__name__)
            raise GenerationFailed("The image service could not be used.") from None

    async def _read(self, chunks: AsyncIterator[bytes]) -> bytes:
        body = bytearray()
        async for chunk in chunks:
            body += chunk
            if len(body) > self._answer_max_bytes:
                raise GenerationFailed("The image service's answer is too large.")
        return bytes(body)

    async def _content(self, answer: _Answer) -> bytes:
        image = answer.data[0] if answer.data else _Image()
        if image.b64_json is not None:
            return decode_base64(image.b64_json, self._image_max_bytes)
        if image.url is not None:
            return (await self._result_fetcher.fetch(image.url)).content
        raise GenerationFailed("The image service's answer holds no image.")


def _host(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise GeneratorNotConfigured("STORECREDIT_OPENAI_BASE_URL is no http or https URL.")
    return parts.hostname


def _read_answer(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GenerationFailed("The image service's answer could not be read.") from error


def _failure(
    error: openai.APIStatusError,
) -> ModerationBlocked | GeneratorUnavailable | GenerationFailed:
    """What an error answer means; moderation is told by its code, whatever its status."""
    if error.code in MODERATION_CODES:
        return ModerationBlocked("The image service's moderation blocked this request.")
    log.warning("openai_answered_error", status=error.status_code, code=error.code)
    return status_failure(
        "The image service", error.status_code, error.response.headers.get("Retry-After")
    )
