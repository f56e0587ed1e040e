"""What makes the image of a generation session, and how one such generator is chosen.

A generator makes one attempt per call and says by its exception what is to become of the
session; attempts, waits and time limits are the worker's.

    AttemptFailed
      ModerationBlocked       never retried, the store gets its credits back
      GenerationFailed        never retried, likewise
      GeneratorUnavailable    worth another attempt
        GeneratorBusy         likewise, and this one does not count
    GeneratorNotConfigured    at start-up: the settings name no usable generator
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeVar
from uuid import UUID

from storecredit.generation.image_errors import ImageRefused, ImageUnavailable, ImageUnreadable
from storecredit.generation.image_fetching import ImageFetcher
from storecredit.generation.image_forms import InputImage
from storecredit.generation.sessions import FailureCode
from storecredit.settings import Settings

ENTRY_POINTS = "storecredit.generators"
"""Other packages offer generators in this entry-point group: callables that take `Settings`."""
CONCURRENCY = 8
"""Generations that a worker runs at a time, of a generator that says nothing else."""
T = TypeVar("T")
FETCHES_AT_ONCE_MAX = 4

# Written as entry points so that a generator and what it needs are imported only when chosen.
_BUILT_IN = {
    "collage": "storecredit.generation.generators.collage:CollageGenerator",
    "http": "storecredit.generation.generators.http:HttpGenerator",
    "openai": "storecredit.generation.generators.openai:OpenAIGenerator",
}


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a store asked for.

    `options`: how to make it, by names and values of the operator's price list; mostly none.
    """

    session_id: UUID
    request_id: str
    image_urls: tuple[str, ...]
    prompt: str | None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """A finished image; `media_type` is image/png, image/jpeg or image/webp."""

    content: bytes
    media_type: str


class AttemptFailed(Exception):
    """An attempt that made no image.

    `str()` of it is for the store: ours, without a secret of the generator. `code` says the same
    to a program, should the session end by this attempt. `generator_message` is what the generator
    itself said, for the operator alone: it may quote the prompt.
    """

    def __init__(
        self, message: str, code: FailureCode, *, generator_message: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.generator_message = generator_message


class ModerationBlocked(AttemptFailed):
    """Moderation refuses the request."""

    def __init__(self, message: str, *, generator_message: str | None = None) -> None:
        super().__init__(
            message, FailureCode.MODERATION_BLOCKED, generator_message=generator_message
        )


class GenerationFailed(AttemptFailed):
    """This request cannot be generated."""

    def __init__(
        self,
        message: str,
        code: FailureCode = FailureCode.GENERATION_FAILED,
        *,
        generator_message: str | None = None,
    ) -> None:
        super().__init__(message, code, generator_message=generator_message)


class GeneratorUnavailable(AttemptFailed):
    """The attempt failed for a passing reason; another waits `retry_after_seconds` at least."""

    def __init__(
        self,
        message: str,
        code: FailureCode = FailureCode.GENERATOR_UNAVAILABLE,
        *,
        generator_message: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, code, generator_message=generator_message)
        self.retry_after_seconds = retry_after_seconds


class GeneratorBusy(GeneratorUnavailable):
    """The generator's rate limit is reached and it asks to be asked later: no attempt was made.

    `retry_after_seconds` is None where it does not say how much later.
    """


class GeneratorNotConfigured(Exception):
    """The settings name no usable generator; the message says which setting to change."""


class Generator(Protocol):
    """Makes images; one object serves all sessions of a worker, several at a time.

    How many at a time unless the settings say so is its attribute `concurrency`, if it has one.
    """

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """Make one attempt.

        Raises `ModerationBlocked`, `GenerationFailed` or `GeneratorUnavailable`.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections; called once, after the last `generate`."""
        ...


def load_generator(settings: Settings) -> Generator:
    """The generator that `settings.generator` names: a built-in one, else an entry point.

    Raises `GeneratorNotConfigured` if there is none of that name, if it does not import, or if
    a setting that it needs is missing.
    """
    offered = _offered()
    if settings.generator not in offered:
        raise GeneratorNotConfigured(
            f"No generator is named {settings.generator!r}: "
            f"set STORECREDIT_GENERATOR to one of {', '.join(sorted(offered))}."
        )
    try:
        build = offered[settings.generator].load()
    except (ImportError, AttributeError) as error:
        raise GeneratorNotConfigured(
            f"The generator {settings.generator!r} is installed but does not import: {error}."
        ) from error
    generator: Generator = build(settings)
    return generator


def concurrency_of(generator: Generator, settings: Settings) -> int:
    """How many generations one worker has this generator make at a time."""
    suits: int = getattr(generator, "concurrency", CONCURRENCY)
    return settings.worker_concurrency or suits


def _offered() -> Mapping[str, EntryPoint]:
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    built_in = {name: EntryPoint(name, value, ENTRY_POINTS) for name, value in _BUILT_IN.items()}
    return found | built_in


async def fetch_input_images(
    fetcher: ImageFetcher, urls: Sequence[str], use: Callable[[int, InputImage], Awaitable[T]]
) -> list[T]:
    """What `use` makes of each input image and its place in the list, in order.

    A few are fetched and used at a time, so that `use` bounds the memory that images take.

    Raises `GenerationFailed` if one of them will never do, else `GeneratorUnavailable` if one
    could not be had this time; the message names it by its place: "Image 2 is empty."
    """
    slots = asyncio.Semaphore(FETCHES_AT_ONCE_MAX)

    async def fetch(place: int, url: str) -> T | GenerationFailed | GeneratorUnavailable:
        async with slots:
            try:
                return await use(place, await fetcher.fetch(url))
            except ImageRefused as refused:
                return image_refused(f"Image {place + 1}", refused)
            except ImageUnavailable as unavailable:
                return GeneratorUnavailable(
                    f"Image {place + 1} {unavailable}", FailureCode.IMAGE_UNREACHABLE
                )

    fetched = await asyncio.gather(*(fetch(place, url) for place, url in enumerate(urls)))
    for kind in (GenerationFailed, GeneratorUnavailable):
        for outcome in fetched:
            if isinstance(outcome, kind):
                raise outcome
    return [
        outcome
        for outcome in fetched
        if not isinstance(outcome, GenerationFailed | GeneratorUnavailable)
    ]


def image_refused(name: str, refused: ImageRefused) -> GenerationFailed:
    """The failure of an input image that will never do: `name` is "Image 2"."""
    code = (
        FailureCode.IMAGE_UNREADABLE
        if isinstance(refused, ImageUnreadable)
        else FailureCode.IMAGE_UNREACHABLE
    )
    return GenerationFailed(f"{name} {refused}", code)
