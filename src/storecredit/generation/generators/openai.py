"""The generator that asks OpenAI's Images API, or another service that speaks it.

Hides the official client and its errors. One request to `images/edits` with all input images;
the client's own retries are off, since attempts and waits are the worker's. What the service
says about an error goes to the log as status and code only: its sentences may quote the prompt.
The request's options are sent as the fields of their names: `size`, `quality`, whatever the price
list names and the service takes.

The forms in which such services answer the image are in `result_images.py`.
"""

from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import httpx2  # what the official client rides on: a body that breaks off raises its errors
import openai

from storecredit import telemetry
from storecredit.generation.generators import (
    GeneratedImage,
    GenerationFailed,
    GenerationRequest,
    GeneratorNotConfigured,
    GeneratorUnavailable,
    fetch_input_images,
)
from storecredit.generation.generators.error_answers import BODY_MAX_BYTES, failure_of, read_error
from storecredit.generation.generators.result_images import ResultReader
from storecredit.generation.image_decoding import ImageDecoder, as_png
from storecredit.generation.image_fetching import ImageFetcher
from storecredit.generation.image_forms import InputImage
from storecredit.generation.sessions import FailureCode
from storecredit.settings import Settings

BASE_URL = "https://api.openai.com/v1"
"""Used where `STORECREDIT_OPENAI_BASE_URL` is unset; said here, since the client would look for
another one in the environment."""
CONNECT_TIMEOUT_SECONDS = 10.0
INPUT_TYPES = frozenset({"image/png", "image/jpeg", "image/webp"})
"""What `images/edits` takes; an image of another form is sent as PNG."""
SIZE = "1024x1536"
"""Portrait: of the standard sizes of the GPT image models the one nearest to 3:4."""
DEFAULT_PROMPT = (
    "Arrange the given images into one photorealistic portrait picture. "
    "Keep every product recognisable: its shape, colour, pattern and proportions."
)
NAME = "The image service"

log = telemetry.get_logger("generation.openai")


class OpenAIGenerator:
    """See the module."""

    concurrency = 32
    """It waits, for the most part, and holds the input images meanwhile: some MB each."""

    def __init__(self, settings: Settings) -> None:
        if settings.openai_api_key is None or not settings.openai_api_key.get_secret_value():
            raise GeneratorNotConfigured(
                "The generator 'openai' needs a key: set STORECREDIT_OPENAI_API_KEY."
            )
        base_url = settings.openai_base_url or BASE_URL
        self._key = settings.openai_api_key.get_secret_value()
        self._results = ResultReader(settings, NAME, base_url, _host(base_url), secret=self._key)
        self._model = settings.openai_model
        self._decoder = ImageDecoder()
        timeout_seconds = settings.generation_timeout_seconds
        self._client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=base_url,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                event_hooks={"response": [_bound_error_body]}
            ),
            timeout=openai.Timeout(
                timeout_seconds, connect=min(timeout_seconds, CONNECT_TIMEOUT_SECONDS)
            ),
        )
        self._fetcher = ImageFetcher(
            max_bytes=settings.image_max_bytes,
            timeout_seconds=settings.image_fetch_timeout_seconds,
            allow_private_hosts=settings.allow_private_hosts,
        )

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """The image that the service makes of the input images and the prompt."""
        images = await fetch_input_images(self._fetcher, request.image_urls, self._taken)
        fields = {"size": SIZE} | dict(request.options)
        answer = await self._ask(images, request.prompt or DEFAULT_PROMPT, fields)
        return await self._results.read(answer)

    async def aclose(self) -> None:
        """Close the connections to the service and to image hosts."""
        await self._client.close()
        await self._fetcher.aclose()
        await self._results.aclose()
        self._decoder.close()

    async def _taken(self, _place: int, image: InputImage) -> InputImage:
        """The image in a form that the service takes."""
        if image.media_type in INPUT_TYPES:
            return image
        return InputImage(await self._decoder.run(as_png, image.content), "image/png")

    async def _ask(
        self, images: Sequence[InputImage], prompt: str, fields: dict[str, str]
    ) -> bytes:
        """The body of the answer; any failure is raised."""
        files = [
            (f"image-{place}", image.content, image.media_type)
            for place, image in enumerate(images, start=1)
        ]
        # Errors are raised without their cause, so that no traceback quotes the service.
        try:
            async with self._client.images.with_streaming_response.edit(
                model=self._model, image=files, prompt=prompt, n=1, extra_body=fields
            ) as response:
                return await self._read(response.iter_bytes())
        except (openai.APITimeoutError, httpx2.TimeoutException):
            raise GeneratorUnavailable(
                "The image service did not answer in time.", FailureCode.GENERATOR_TIMEOUT
            ) from None
        except (openai.APIConnectionError, httpx2.RequestError):
            raise GeneratorUnavailable("The image service could not be reached.") from None
        except openai.APIStatusError as error:
            answer = read_error(
                error.status_code, error.response.headers, error.response.content, secret=self._key
            )
            raise failure_of(NAME, answer) from None
        except openai.OpenAIError as error:
            log.warning("openai_client_failed", error=type(error).__name__)
            raise GenerationFailed("The image service could not be used.") from None

    async def _read(self, chunks: AsyncIterator[bytes]) -> bytes:
        body = bytearray()
        async for chunk in chunks:
            body += chunk
            if len(body) > self._results.answer_max_bytes:
                raise GenerationFailed("The image service's answer is too large.")
        return bytes(body)


class _Beginning(httpx2.AsyncByteStream):
    """The first bytes of a body: no more is read than is looked at."""

    def __init__(self, stream: httpx2.AsyncByteStream, bytes_max: int) -> None:
        self._stream = stream
        self._bytes_max = bytes_max

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._stream:
            yield chunk
            read += len(chunk)
            if read > self._bytes_max:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bound_error_body(response: httpx2.Response) -> None:
    """The client reads the whole body of an error, whatever its size, before it raises one."""
    if response.is_error and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Beginning(response.stream, BODY_MAX_BYTES)


def _host(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise GeneratorNotConfigured("STORECREDIT_OPENAI_BASE_URL is no http or https URL.")
    return parts.hostname
