"""The generator behind a URL of the operator's own: `STORECREDIT_GENERATOR_URL`.

Hides its wire format. One `POST` with `{"session_id", "request_id", "image_urls", "prompt"}`, and
`"options"` where the request has any:

    2xx  {"image_base64"} or {"image_url"}                    the image
    422  {"code": "MODERATION_BLOCKED", "message"}            moderation, never retried
    429 with Retry-After                                      asked again then, as often as need be
    429, 5xx, time-out, broken connection                     worth another attempt
    anything else                                             a refusal, never retried

What services behind it say of moderation, quota and waits is understood too, as they say it
(`error_answers.py`).

Promises that no answer, however large or odd, harms the worker. Other forms of an image in the
answer, and what holds for its URL, are in `result_images.py`. Image URLs are passed on as they
came, `data:` URLs in their plainest spelling.
"""

from http import HTTPStatus

import httpx
import httpx2  # its pool of connections does not look at each for each: of 200 that is half the CPU
import msgspec

from storecredit.generation.content_coding import decoded_body
from storecredit.generation.generators import (
    AttemptFailed,
    GeneratedImage,
    GenerationFailed,
    GenerationRequest,
    GeneratorNotConfigured,
    GeneratorUnavailable,
    ModerationBlocked,
    concurrency_of,
)
from storecredit.generation.generators.error_answers import BODY_MAX_BYTES, failure_of, read_error
from storecredit.generation.generators.result_images import ResultReader
from storecredit.generation.image_errors import ImageUnreadable
from storecredit.generation.image_forms import canonical_data_url, is_data_url
from storecredit.generation.sessions import FAILURE_TEXT_MAX, FailureCode, printable
from storecredit.settings import Settings

CONNECT_TIMEOUT_SECONDS = 10.0
NAME = "The generator"


class _Refusal(msgspec.Struct):
    code: object = None
    message: object = None


class HttpGenerator:
    """See the module."""

    concurrency = 200
    """It waits, for the most part, and holds no image meanwhile."""

    def __init__(self, settings: Settings) -> None:
        self._url = _checked_url(settings.generator_url)
        self._image_max_bytes = settings.image_max_bytes
        self._results = ResultReader(settings, NAME, str(self._url), self._url.host)
        timeout_seconds = settings.generation_timeout_seconds
        self._client = httpx2.AsyncClient(
            # The certificates that are trusted wherever else we ask somebody.
            verify=httpx.create_ssl_context(),
            timeout=httpx2.Timeout(
                timeout_seconds, connect=min(timeout_seconds, CONNECT_TIMEOUT_SECONDS)
            ),
            limits=httpx2.Limits(max_connections=concurrency_of(self, settings)),
            # Compressed, a small body could grow past every limit.
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """The image that the operator's generator answers with."""
        return await self._results.read(await self._ask(request))

    async def aclose(self) -> None:
        """Close the connections to the generator and to image hosts."""
        await self._client.aclose()
        await self._results.aclose()

    async def _ask(self, request: GenerationRequest) -> bytes:
        """The body of an answer of success; any other outcome is raised."""
        question: dict[str, object] = {
            "session_id": str(request.session_id),
            "request_id": request.request_id,
            "image_urls": [self._passed_on(url) for url in request.image_urls],
            "prompt": request.prompt,
        }
        if request.options:
            question["options"] = dict(request.options)
        try:
            async with self._client.stream("POST", self._url, json=question) as response:
                body = await self._read(response)
        except httpx2.TimeoutException as error:
            raise GeneratorUnavailable(
                "The generator did not answer in time.", FailureCode.GENERATOR_TIMEOUT
            ) from error
        except httpx2.TransportError as error:
            raise GeneratorUnavailable("The generator could not be reached.") from error
        if not response.is_success:
            raise _failure(response, body)
        return body

    async def _read(self, response: httpx2.Response) -> bytes:
        """The body; of an answer without success the beginning, and compressed if it must be."""
        bytes_max = self._results.answer_max_bytes if response.is_success else BODY_MAX_BYTES
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > bytes_max:
                if response.is_success:
                    raise GenerationFailed("The generator's answer is too large.")
                break  # its status and its first words say enough
        try:
            return decoded_body(bytes(body), response.headers.get("Content-Encoding"), bytes_max)
        except ImageUnreadable as unreadable:
            if not response.is_success:
                return bytes(body)
            raise GenerationFailed(f"The generator's answer {unreadable}") from unreadable

    def _passed_on(self, url: str) -> str:
        return canonical_data_url(url, self._image_max_bytes) if is_data_url(url) else url


def _checked_url(url: str | None) -> httpx2.URL:
    if not url:
        raise GeneratorNotConfigured(
            "The generator 'http' needs its address: set STORECREDIT_GENERATOR_URL."
        )
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise GeneratorNotConfigured("STORECREDIT_GENERATOR_URL is no http or https URL.")
    return parsed


def _failure(response: httpx2.Response, body: bytes) -> AttemptFailed:
    """What an answer without success means."""
    answer = read_error(response.status_code, response.headers, body)
    if response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
        reason = _moderation_reason(body)
        if reason:
            return ModerationBlocked(reason, generator_message=answer.generator_message)
    return failure_of(NAME, answer)


def _moderation_reason(body: bytes) -> str | None:
    """What the operator's own generator tells the store of a moderation block, if it is one."""
    try:
        refusal = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if refusal.code != "MODERATION_BLOCKED" or not isinstance(refusal.message, str):
        return None
    return printable(refusal.message, FAILURE_TEXT_MAX)
