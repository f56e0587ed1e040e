"""The generator behind a URL of the operator's own: `STORECREDIT_GENERATOR_URL`.

Hides its wire format. One `POST` with `{"session_id", "request_id", "image_urls", "prompt"}`:

    200  {"image_base64"} or {"image_url"}                    the image
    422  {"code": "MODERATION_BLOCKED", "message"}            moderation, never retried
    429, 5xx, time-out, broken connection                     worth another attempt
    anything else                                             a processing error

Promises that no answer, however large or odd, harms the worker. An `image_url` is fetched under
the rules for input images, but may lie on the generator's own host, private or not.
"""

import asyncio
from http import HTTPStatus

import httpx
import msgspec

from storecredit.generation.generators import (
    GeneratedImage,
    GenerationFailed,
    GenerationRequest,
    GeneratorNotConfigured,
    GeneratorUnavailable,
    ModerationBlocked,
    status_failure,
)
from storecredit.generation.image_decoding import verify_image
from storecredit.generation.images import (
    ImageFetcher,
    ImageRefused,
    ImageUnavailable,
    decode_base64,
)
from storecredit.generation.sessions import FailureCode
from storecredit.settings import Settings

CONNECT_TIMEOUT_SECONDS = 10.0
MESSAGE_MAX_CHARACTERS = 500
ANSWER_SLACK_BYTES = 64 * 1024
"""Room in an answer for what is not the image."""


class _Answer(msgspec.Struct):
    image_base64: str | None = None
    image_url: str | None = None


class _Refusal(msgspec.Struct):
    code: object = None
    message: object = None


class HttpGenerator:
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        self._url = _checked_url(settings.generator_url)
        self._image_max_bytes = settings.image_max_bytes
        self._answer_max_bytes = settings.image_max_bytes * 4 // 3 + ANSWER_SLACK_BYTES
        timeout_seconds = settings.generation_timeout_seconds
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(
                timeout_seconds, connect=min(timeout_seconds, CONNECT_TIMEOUT_SECONDS)
            ),
            limits=httpx.Limits(max_connections=settings.worker_concurrency),
            # Compressed, a small body could grow past every limit.
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )
        self._fetcher = ImageFetcher(
            max_bytes=settings.image_max_bytes,
            timeout_seconds=settings.image_fetch_timeout_seconds,
            allow_private_hosts=settings.allow_private_hosts,
            trusted_host=self._url.host,
        )

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """The image that the operator's generator answers with."""
        answer = _read_answer(await self._ask(request))
        try:
            content = await self._content(answer)
            media_type = await asyncio.to_thread(verify_image, content)
        except ImageRefused as refused:
            raise GenerationFailed(f"The generator's image {refused}") from refused
        except ImageUnavailable as unavailable:
            raise GeneratorUnavailable(f"The generator's image {unavailable}") from unavailable
        return GeneratedImage(content, media_type)

    async def aclose(self) -> None:
        """Close the connections to the generator and to image hosts."""
        await self._client.aclose()
        await self._fetcher.aclose()

    async def _ask(self, request: GenerationRequest) -> bytes:
        """The body of a 200; any other outcome is raised."""
        question = {
            "session_id": str(request.session_id),
            "request_id": request.request_id,
            "image_urls": request.image_urls,
            "prompt": request.prompt,
        }
        try:
            async with self._client.stream("POST", self._url, json=question) as response:
                body = await self._read(response)
        except httpx.TimeoutException as error:
            raise GeneratorUnavailable(
                "The generator did not answer in time.", FailureCode.GENERATOR_TIMEOUT
            ) from error
        except httpx.TransportError as error:
            raise GeneratorUnavailable("The generator could not be reached.") from error
        if response.status_code != HTTPStatus.OK:
            raise _failure(response, body)
        return body

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._answer_max_bytes:
                raise GenerationFailed("The generator's answer is too large.")
        return bytes(body)

    async def _content(self, answer: _Answer) -> bytes:
        if answer.image_base64 is not None:
            return decode_base64(answer.image_base64, self._image_max_bytes)
        if answer.image_url is not None:
            return (await self._fetcher.fetch(answer.image_url)).content
        raise GenerationFailed("The generator's answer holds no image.")


def _checked_url(url: str | None) -> httpx.URL:
    if not url:
        raise GeneratorNotConfigured(
            "The generator 'http' needs its address: set STORECREDIT_GENERATOR_URL."
        )
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise GeneratorNotConfigured("STORECREDIT_GENERATOR_URL is no http or https URL.")
    return parsed


def _read_answer(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GenerationFailed("The generator's answer could not be read.") from error


def _failure(
    response: httpx.Response, body: bytes
) -> ModerationBlocked | GeneratorUnavailable | GenerationFailed:
    """What an answer other than 200 means."""
    if response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
        reason = _moderation_reason(body)
        if reason is not None:
            return ModerationBlocked(reason)
    return status_failure(
        "The generator", response.status_code, response.headers.get("Retry-After")
    )


def _moderation_reason(body: bytes) -> str | None:
    """The message of a moderation block, fit to be stored and shown; None if it is none."""
    try:
        refusal = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if refusal.code != "MODERATION_BLOCKED":
        return None
    message = refusal.message if isinstance(refusal.message, str) else ""
    # PostgreSQL stores no NUL, and a log line or a page needs no other control character.
    shown = "".join(character for character in message if character.isprintable())
    return shown[:MESSAGE_MAX_CHARACTERS] or "The generator's moderation blocked this request."
