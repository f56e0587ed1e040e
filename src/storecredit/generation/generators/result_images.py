"""Reads the image out of a generator's answer, whatever form it comes in.

By then the image is made and paid for, so none is thrown away for its form. Hides what the services
that people put behind the generators `http` and `openai` answer with, and what they say about it:
name of a field, media type and content type decide nothing, the bytes do.

    an image as the body
    base64, a data: URL or a URL, as the body or anywhere in JSON under one of the names below

Those are `image_base64` and `image_url` of our own, and the answers of OpenAI (Images, Responses),
LiteLLM, LocalAI, OpenRouter (chat with images), Gemini and Vertex, Stable Diffusion WebUI, fal,
Replicate, Stability, Black Forest Labs, Cloudflare, DashScope, MiniMax, Runware and RunPod. The
first image that can be read is taken.

Promises that a URL is fetched under the rules for input images, but may lie on the generator's own
host, private or not; and that what is returned is PNG, JPEG or WebP, whole, and no larger than an
image may be.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urljoin

from storecredit.generation.generators import (
    GeneratedImage,
    GenerationFailed,
    GeneratorUnavailable,
)
from storecredit.generation.generators.error_answers import failure_in_success, read_error
from storecredit.generation.image_decoding import ImageDecoder, as_png, verify_image
from storecredit.generation.image_errors import ImageRefused, ImageUnavailable, ImageUnreadable
from storecredit.generation.image_fetching import ImageFetcher
from storecredit.generation.image_forms import decode_base64, is_data_url, media_type_of, read_image
from storecredit.outbound.web_urls import URL_MAX_CHARACTERS
from storecredit.postgres.pacing import backoff
from storecredit.settings import Settings

ANSWER_SLACK_BYTES = 64 * 1024
"""Room in an answer for what is no image."""
IMAGES_TRIED_MAX = 16
"""How many images of one answer are looked at, until one can be read."""
DEPTH_MAX = 12
"""How deep in JSON images are looked for."""
FETCHES_MAX = 3
"""How often one image is asked for that could not be had: making another costs more."""
FETCH_BACKOFF_MAX_SECONDS = 30.0
RESULT_TYPES = frozenset({"image/png", "image/jpeg", "image/webp"})
"""What results are stored as; another form becomes a PNG."""

_HOLDING = (
    # Base64, mostly: it needs no fetching, so it is looked at before a URL beside it.
    *("imagebase64", "b64json", "base64", "b64", "imageb64", "bytesbase64encoded"),
    *("imagebase64data", "imagedatauri", "resultb64", "inlinedata"),
    # Either, or what holds it.
    *("image", "images", "data", "result", "results", "output", "outputs", "artifacts"),
    *("predictions", "candidates", "choices", "parts", "message", "content", "text"),
    # URLs.
    *("imageurl", "imageurls", "url", "urls", "uri", "sample", "resulturl", "outputurl"),
)
"""Names under which images are found, in the order they are looked at; as `_folded` writes them.

What else is in an answer (`input`, `parameters`, `prompt`) may name images that were sent in.
"""
_PROSE = frozenset({"message", "content", "text"})
"""Names whose text may speak of an image, rather than be one."""
_HEAD_MAX_CHARACTERS = 100
"""Of what stands between `data:image/` and the comma in prose. Without a maximum, prose that begins
many of them is read in the square of its length, and nothing else runs meanwhile."""
_IN_PROSE = re.compile(
    rf"data:image/[^\s,\"')]{{0,{_HEAD_MAX_CHARACTERS}}},[A-Za-z0-9+/_=%-]+"
    r"|(?<=\]\()https?://[^\s)]+"
)
"""A `data:` URL, or the target of a Markdown link."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)  # RFC 3986, 3.1; no base64 has a colon


class ResultReader:
    """Reads the answers of one generator, which `service` names in sentences."""

    def __init__(
        self, settings: Settings, service: str, address: str, host: str, *, secret: str = ""
    ) -> None:
        self.answer_max_bytes = 2 * (settings.image_max_bytes * 4 // 3) + ANSWER_SLACK_BYTES
        """Enough for base64 that was escaped or broken into lines, and for a second picture."""
        self._service = service
        self._secret = secret
        self._address = address
        self._max_bytes = settings.image_max_bytes
        self._backoff_seconds = settings.generator_backoff_seconds
        self._decoder = ImageDecoder()
        self._fetcher = ImageFetcher(
            max_bytes=settings.image_max_bytes,
            timeout_seconds=settings.image_fetch_timeout_seconds,
            allow_private_hosts=settings.allow_private_hosts,
            trusted_host=host,
        )

    async def read(self, body: bytes) -> GeneratedImage:
        """The image in the body of an answer.

        Raises `GenerationFailed` if there is none that can be used, `GeneratorUnavailable` if one
        could not be had this time; and what an error in its place means (`error_answers.py`).
        """
        try:
            return await self._image(body)
        except GenerationFailed as failed:
            answer = read_error(HTTPStatus.OK, {}, body, secret=self._secret)
            raise failure_in_success(self._service, answer, failed) from failed

    async def _image(self, body: bytes) -> GeneratedImage:
        found = await asyncio.to_thread(self._found, body)
        if not found:
            raise GenerationFailed(f"{self._service}'s answer holds no image.")
        problems: list[ImageRefused | ImageUnavailable] = []
        for image in found:
            try:
                content = image if isinstance(image, bytes) else await self._content(image)
                return await self._decoder.run(_settled, content)
            except (ImageRefused, ImageUnavailable) as problem:
                problems.append(problem)
        for cause in problems:
            if isinstance(cause, ImageUnavailable):
                raise GeneratorUnavailable(f"{self._service}'s image {cause}") from cause
        raise GenerationFailed(f"{self._service}'s image {problems[0]}") from problems[0]

    async def aclose(self) -> None:
        """Close the connections to image hosts."""
        await self._fetcher.aclose()
        self._decoder.close()

    def _found(self, body: bytes) -> list[bytes | str]:
        if media_type_of(body) is not None:
            return [body]
        try:
            # json, which bears what servers write beside the standard: NaN, a byte order mark,
            # control characters in strings, UTF-16.
            answer = json.loads(body, strict=False)
        except (ValueError, RecursionError):
            answer = body.decode("latin-1").strip()
            if not self._is_image(answer):
                raise GenerationFailed(f"{self._service}'s answer could not be read.") from None
        found: list[bytes | str] = []
        for text, is_prose in _texts(answer, DEPTH_MAX):
            found += self._images_in_prose(text) if is_prose else [text]
            if len(found) >= IMAGES_TRIED_MAX:
                break
        return found[:IMAGES_TRIED_MAX]

    def _images_in_prose(self, text: str) -> list[str]:
        return [text] if self._is_image(text) else _IN_PROSE.findall(text)

    def _is_image(self, text: str) -> bool:
        """Whether a text is an image, or a URL that may be one's, and nothing else."""
        if is_data_url(text) or _is_web_url(text):
            return True
        try:
            return media_type_of(decode_base64(text, self._max_bytes)) is not None
        except ImageUnreadable:
            return False

    async def _content(self, text: str) -> bytes:
        """The bytes of an image that is written down as `text`."""
        if is_data_url(text):
            text = text[text.lower().rindex("data:") :]  # some proxies put a second head before it
        if _SCHEME.match(text):
            return await self._fetch(text)
        try:
            return read_image(decode_base64(text, self._max_bytes)).content
        except ImageUnreadable:
            if not text.startswith("/") or len(text) > URL_MAX_CHARACTERS:
                raise
        return await self._fetch(urljoin(self._address, text))

    async def _fetch(self, url: str) -> bytes:
        for fetches in range(1, FETCHES_MAX):
            try:
                return (await self._fetcher.fetch(url)).content
            except ImageUnavailable:
                await asyncio.sleep(
                    backoff(self._backoff_seconds, fetches, FETCH_BACKOFF_MAX_SECONDS)
                )
        return (await self._fetcher.fetch(url)).content


def _is_web_url(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://"))


def _texts(node: object, depth: int, *, is_prose: bool = False) -> Iterator[tuple[str, bool]]:
    """Texts that may be images, in the order to try them, and whether each may be mere prose."""
    if isinstance(node, str):
        if node.strip():
            yield node.strip(), is_prose
    elif depth == 0:
        return
    elif isinstance(node, list):
        for item in node:
            yield from _texts(item, depth - 1, is_prose=is_prose)
    elif isinstance(node, dict) and node.get("thought") is not True:  # Gemini's drafts
        named = {_folded(name): value for name, value in node.items()}
        for name in _HOLDING:
            if name in named:
                yield from _texts(named[name], depth - 1, is_prose=name in _PROSE)


def _folded(name: str) -> str:
    """`image_url`, `imageUrl` and `imageURL` as one name."""
    return name.replace("_", "").lower()


def _settled(content: bytes) -> GeneratedImage:
    media_type = verify_image(content)
    if media_type in RESULT_TYPES:
        return GeneratedImage(content, media_type)
    return GeneratedImage(as_png(content), "image/png")
