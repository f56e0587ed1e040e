"""What an answer without an image means, whichever image service gave it.

Hides the many forms in which services, and the proxies before them, say the same four things:
moderation blocks this request; the account has no quota left; ask again later; no. Codes decide,
in any spelling (`content_filter`, `contentFilter`), wherever an error object has its codes; a
sentence decides only by how it begins. So neither a prompt that is quoted nor a moderation that is
out of order is taken for a block.

Where the forms are from: OpenAI's and Azure's error references, Gemini's `GenerateContentResponse`
and Imagen's `raiFilteredReason`, LiteLLM's exception mapping, OpenRouter's and fal's error pages,
Volcengine's and DashScope's lists of codes, and answers that users of these published.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec

from storecredit import telemetry
from storecredit.generation.generators import (
    GenerationFailed,
    GeneratorBusy,
    GeneratorUnavailable,
    ModerationBlocked,
)
from storecredit.generation.generators.retry_after import asked_wait_seconds
from storecredit.generation.sessions import FAILURE_TEXT_MAX, FailureCode, printable

log = telemetry.get_logger("generation.generators")

BODY_MAX_BYTES: Final = 64 * 1024
"""A longer body is no error's; only its beginning is kept, for the operator."""
OBJECTS_MAX: Final = 200
DEPTH_MAX: Final = 8

# All names below are in small letters and digits only, as `_plain` makes them.

_BLOCKED: Final = frozenset(
    {
        "moderationblocked",
        "contentpolicyviolation",
        "imagecontentpolicyviolation",
        "contentpolicyviolationerror",
        "responsibleaipolicyviolation",
        "contentmoderation",
        "contentmoderated",
        "requestmoderated",
        "datainspectionfailed",
    }
)
_BLOCKED_ENDING: Final = "sensitivecontentdetected"
"""Volcengine: Input or Output, then Text or Image, then this."""
_FILTER: Final = frozenset({"contentfilter", "contentfiltered"})
"""Names of what blocks, not of a block: with 429 or 5xx it is the filter that is out of order."""
_FILTER_REASONS: Final = _FILTER | {
    "safety",
    "imagesafety",
    "prohibitedcontent",
    "imageprohibitedcontent",
    "blocklist",
    "spii",
    "recitation",
    "imagerecitation",
}
_OUT_OF_QUOTA: Final = frozenset(
    {
        "insufficientquota",
        "insufficientuserquota",
        "insufficientbalance",
        "insufficientcredits",
        "billinghardlimitreached",
        "billingnotactive",
        "budgetexceeded",
        "projectspendlimitexceeded",
        "organizationspendlimitexceeded",
        "organizationusagelimitexceeded",
        "arrearage",
        "accountoverdueerror",
    }
)
_RATE_LIMITED: Final = frozenset(
    {
        *("ratelimit", "ratelimitexceeded", "ratelimiterror", "toomanyrequests"),
        *("throttling", "throttlingerror", "resourceexhausted"),
    }
)
_USER_ERROR: Final = "imagegenerationusererror"
"""OpenAI's type of moderation blocks, and of invalid images and sizes, which have a code."""

_CODES: Final = frozenset({"code", "type", "errortype", "name", "status"})
_MESSAGES: Final = frozenset({"message", "msg", "error", "detail", "errors"})
_INSIDE: Final = frozenset(
    {
        *("error", "errors", "detail", "details", "innererror", "metadata"),
        *("providerspecificfields", "data", "candidates", "choices", "predictions"),
        "promptfeedback",
    }
)
"""Where an object that speaks of the error has further ones. Nothing else is looked into."""

_BLOCKED_SENTENCES: Final = (
    "Your request was rejected as a result of our safety system",
    "Your request was rejected by the safety system",
    "Your task failed as a result of our safety system",
    "The response was filtered due to the prompt triggering",
    "Generated image rejected by content moderation",
)
_OUT_OF_QUOTA_SENTENCE: Final = "Billing hard limit has been reached"
_SAFETY: Final = re.compile(r"\bsafety\b|\bsafety_violations\b|\bmoderation\b|\bcontent polic")
_WRAPPER: Final = re.compile(r"(?:litellm\.)?([A-Za-z]{1,60}(?:Error|Exception))(?:: | - )")
"""What LiteLLM puts before a service's words, once per layer."""
_WRAPPED_STATUS: Final = re.compile(r"Error code: [0-9]{3} - ")
_WRAPPED_CODE: Final = re.compile(r"""['"](?:code|type)['"]: ?['"]([A-Za-z_]{1,60})['"]""")
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_ERROR_STATUSES: Final = range(400, 600)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.:-]{1,60}")


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An answer without an image, taken apart: see `read_error`."""

    status: int
    """As answered; of an error inside an answer of success, the status that it names."""
    headers: Mapping[str, str]
    text: str
    objects: tuple[dict[str, Any], ...]
    """The JSON objects that speak of the error, outermost first, their names plain."""

    @property
    def code(self) -> str | None:
        """The service's own code, as it spells it; None: it sent none."""
        given = [item.get("code") for item in self.objects] + [
            item.get("type") for item in self.objects
        ]
        return next((code for code in given if isinstance(code, str) and code), None)

    @property
    def generator_message(self) -> str:
        """What the service said, for the operator: status, code and message, else the body."""
        said = next(self._messages(), None)
        words = self.text if said is None else ": ".join(filter(None, (self.code, said)))
        return printable(f"{self.status} {words}", FAILURE_TEXT_MAX)

    @property
    def is_block(self) -> bool:
        """Whether moderation refuses this request."""
        codes = self._codes()
        if codes & _BLOCKED or any(code.endswith(_BLOCKED_ENDING) for code in codes):
            return True
        if any(_tells_block(message) for message in self._messages()):
            return True
        if any(_shows_block(item) for item in self.objects):
            return True
        return not self._may_pass() and (bool(codes & _FILTER) or self._is_safety_error())

    @property
    def is_out_of_quota(self) -> bool:
        """Whether the account can order no more until somebody pays or raises a limit."""
        return (
            self.status == HTTPStatus.PAYMENT_REQUIRED
            or not self._codes().isdisjoint(_OUT_OF_QUOTA)
            or any(said.startswith(_OUT_OF_QUOTA_SENTENCE) for said in self._messages())
        )

    @property
    def asked_wait_seconds(self) -> float | None:
        """How long it asks to wait; None: it does not ask."""
        delays = (item["retrydelay"] for item in self.objects if "retrydelay" in item)
        return asked_wait_seconds(self.headers, next(delays, None), next(self._messages(), ""))

    @property
    def is_rate_limit(self) -> bool:
        """Whether it is a rate limit that says so, or when it is over; not a mere 429."""
        return self.status == HTTPStatus.TOO_MANY_REQUESTS and (
            self.asked_wait_seconds is not None or not self._codes().isdisjoint(_RATE_LIMITED)
        )

    def _may_pass(self) -> bool:
        return (
            self.status == HTTPStatus.TOO_MANY_REQUESTS
            or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        )

    def _is_safety_error(self) -> bool:
        """OpenAI's error of the user's making without a code, whose message speaks of safety."""
        return any(
            item.get("code") in (None, "")
            and _plain(str(item.get("type"))) == _USER_ERROR
            and _SAFETY.search(str(item.get("message"))) is not None
            for item in self.objects
        )

    def _codes(self) -> set[str]:
        return {
            _plain(value)
            for item in self.objects
            for name, value in item.items()
            if name in _CODES and isinstance(value, str)
        }

    def _messages(self) -> Iterator[str]:
        for item in self.objects:
            for name, value in item.items():
                if name in _MESSAGES:
                    yield from (each for each in _listed(value) if isinstance(each, str) and each)


def read_error(
    status: int, headers: Mapping[str, str], body: bytes, *, secret: str = ""
) -> ErrorAnswer:
    """Take apart an answer without an image; `secret` is blotted out of what is kept of it."""
    if secret:
        body = body.replace(secret.encode(), b"[secret]")
    text = body[:BODY_MAX_BYTES].decode("utf-8", "replace")
    try:
        content = msgspec.json.decode(body) if len(body) <= BODY_MAX_BYTES else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        content = None
    objects = tuple(_objects(content))[:OBJECTS_MAX]
    if status < HTTPStatus.BAD_REQUEST:
        named = (_status(item.get("code")) for item in objects)
        status = next(filter(None, named), status)
    return ErrorAnswer(status, headers, text, objects)


def failure_of(
    service: str, answer: ErrorAnswer
) -> ModerationBlocked | GenerationFailed | GeneratorUnavailable:
    """What is to become of the attempt; `service` names who answered, for the store's message.

    408, 429 and 5xx pass, quota and anything else does not.
    """
    words = answer.generator_message
    if answer.is_block:
        return ModerationBlocked(
            f"{service}'s moderation blocked this request.", generator_message=words
        )
    failure = _failure(service, answer, words)
    code = answer.code if _TOKEN.fullmatch(answer.code or "") else None
    log.warning(
        "generator_answered_error", status=answer.status, code=code, outcome=failure.code.value
    )
    return failure


def failure_in_success(
    service: str, answer: ErrorAnswer, failed: GenerationFailed
) -> ModerationBlocked | GenerationFailed | GeneratorUnavailable:
    """What an answer of success without an image means: `failed`, unless it says more itself."""
    says_more = answer.is_block or answer.is_out_of_quota
    if says_more or answer.status >= HTTPStatus.BAD_REQUEST:
        return failure_of(service, answer)
    return GenerationFailed(str(failed), failed.code, generator_message=answer.generator_message)


def _failure(
    service: str, answer: ErrorAnswer, words: str
) -> GenerationFailed | GeneratorUnavailable:
    status, message = answer.status, f"{service} answered with status {answer.status}."
    if answer.is_out_of_quota:
        return GenerationFailed(
            f"{service} has no quota left.",
            FailureCode.GENERATOR_QUOTA_EXCEEDED,
            generator_message=words,
        )
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        unavailable = GeneratorBusy if answer.is_rate_limit else GeneratorUnavailable
        return unavailable(
            message, generator_message=words, retry_after_seconds=answer.asked_wait_seconds
        )
    return GenerationFailed(message, FailureCode.GENERATOR_REJECTED, generator_message=words)


# Reading


def _objects(content: object, depth: int = 0) -> Iterator[dict[str, Any]]:
    for item in _listed(content):
        if isinstance(item, dict) and depth < DEPTH_MAX:
            named = {_plain(name): value for name, value in item.items() if isinstance(name, str)}
            yield named
            for name, value in named.items():
                if name in _INSIDE:
                    yield from _objects(value, depth + 1)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _status(code: object) -> int | None:
    """The HTTP status that a code is, as a number or as LiteLLM's "429"; None: it is none."""
    if isinstance(code, str) and re.fullmatch("[45][0-9][0-9]", code):
        return int(code)
    return code if isinstance(code, int) and code in _ERROR_STATUSES else None


def _shows_block(item: dict[str, Any]) -> bool:
    """Whether a field that stands for moderation alone says that it blocked."""
    reasons = [*_listed(item.get("finishreason")), *_listed(item.get("finishreasons"))]
    if any(_is_filter_reason(reason) for reason in reasons):
        return True
    block = item.get("blockreason")
    if isinstance(block, str) and block and not block.endswith("UNSPECIFIED"):
        return True
    return (
        bool(item.get("raifilteredreason"))
        or bool(item.get("flaggedinput"))
        or item.get("respectmoderation") is False
        or _is_filtered(item.get("contentfilterresults"))
        or _is_filtered(item.get("contentfilterresult"))
    )


def _is_filter_reason(reason: object) -> bool:
    # Bedrock's list of finish reasons has sentences: "Filter reason: prompt".
    plain = _plain(reason) if isinstance(reason, str) else ""
    return plain in _FILTER_REASONS or plain.startswith("filterreason")


def _is_filtered(results: object) -> bool:
    """Azure's content filter results: per category whether it was filtered."""
    return isinstance(results, dict) and any(
        isinstance(result, dict) and result.get("filtered") is True for result in results.values()
    )


def _tells_block(message: str) -> bool:
    """Whether a message is a service's sentence of a block, or wraps an error that is one."""
    rest = message.strip()
    while wrapper := _WRAPPER.match(rest):
        if _plain(wrapper[1]) in _BLOCKED:
            return True
        rest = rest[wrapper.end() :]
    rest = _WRAPPED_STATUS.sub("", rest, count=1) if rest.startswith("Error code: ") else rest
    if rest.startswith("{"):
        wrapped = {_plain(code) for code in _WRAPPED_CODE.findall(rest)}
        return not wrapped.isdisjoint(_BLOCKED | _FILTER)
    return rest.startswith(_BLOCKED_SENTENCES)
