"""Moderation as image services and the proxies before them tell it, to both generators."""

import pytest

from stand_ins.http_server import Answer, json_answer
from storecredit.generation.generators import (
    GenerationFailed,
    GeneratorUnavailable,
    ModerationBlocked,
)
from tests.worker.generator_failures import KINDS, failures

SAFETY = "Your request was rejected as a result of our safety system."
FILTERED = {"sexual": {"filtered": True, "severity": "high"}, "hate": {"filtered": False}}
NOT_FILTERED = {"sexual": {"filtered": False, "severity": "safe"}}
SERVICES = {"http": "The generator", "openai": "The image service"}


def error(code: object, message: str = "No.", type_: str | None = None, **more: object) -> object:
    return {"error": {"message": message, "type": type_, "param": None, "code": code} | more}


BLOCKS: dict[str, tuple[int, object]] = {
    "OpenAI": (400, error("moderation_blocked", SAFETY, "image_generation_user_error")),
    "OpenAI, DALL-E": (400, error("content_policy_violation", SAFETY, "invalid_request_error")),
    "OpenAI without a code": (400, error(None, SAFETY, "invalid_request_error")),
    "OpenAI without code and type": (
        400,
        {"error": {"message": "Your request was rejected by the safety system. safety_violations"}},
    ),
    "the type of user errors, no code, and safety": (
        400,
        error(None, "Rejected: safety_violations=[sexual].", "image_generation_user_error"),
    ),
    "Azure": (
        400,
        error("content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}),
    ),
    "Azure, an image's job": (
        400,
        error("contentFilter", inner_error={"content_filter_results": FILTERED}),
    ),
    "Azure, inner error alone": (
        400,
        error("BadRequest", innererror={"code": "ResponsibleAIPolicyViolation"}),
    ),
    "Azure, results alone": (400, error(None, inner_error={"content_filter_results": FILTERED})),
    "Azure's sentence, passed on": (
        400,
        error("400", "The response was filtered due to the prompt triggering Azure OpenAI's …"),
    ),
    "LiteLLM": (
        400,
        error(
            "400",
            "litellm.BadRequestError: litellm.ContentPolicyViolationError: "
            "litellm.ContentPolicyViolationError: AzureException - The response was filtered",
        ),
    ),
    "LiteLLM's class as type": (400, error("400", type_="ContentPolicyViolationError")),
    "LiteLLM around OpenAI's error": (
        400,
        error(
            "400",
            "litellm.BadRequestError: OpenAIException - Error code: 400 - {'error': {'message': "
            "'No.', 'type': 'image_generation_user_error', 'code': 'moderation_blocked'}}",
        ),
    ),
    "LiteLLM, the provider's own fields": (
        400,
        error("400", provider_specific_fields={"innererror": {"content_filter_result": FILTERED}}),
    ),
    "OpenRouter": (403, error(403, metadata={"reasons": ["sexual"], "flagged_input": "A …"})),
    "fal": (
        422,
        {"detail": [{"loc": ["body", "prompt"], "msg": "No.", "type": "content_policy_violation"}]},
    ),
    "Stability": (403, {"id": "1", "name": "content_moderation", "errors": ["Flagged."]}),
    "Volcengine": (400, error("OutputImageSensitiveContentDetected")),
    "DashScope": (400, {"code": "DataInspectionFailed", "message": "Inappropriate."}),
    "xAI": (
        400,
        {"code": "Bad argument", "error": "Generated image rejected by content moderation."},
    ),
    "in a list": (400, [error("content_filter")]),
    "5xx with an outcome": (500, error("content_policy_violation", SAFETY)),
    "our own word, another status": (400, {"code": "MODERATION_BLOCKED"}),
    "200: an error": (200, error("content_policy_violation", SAFETY)),
    "200: empty data": (200, {"data": [], "content_filter_results": FILTERED}),
    "200: an image that was filtered": (
        200,
        {"data": [{"b64_json": None, "url": None, "finish_reason": "content_filter"}]},
    ),
    "200: xAI": (200, {"data": [{"b64_json": None, "respect_moderation": False}]}),
    "200: Gemini's prompt": (200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
    "200: Gemini's image": (200, {"candidates": [{"finishReason": "IMAGE_SAFETY", "index": 0}]}),
    "200: Imagen": (200, {"predictions": [{"raiFilteredReason": "Unable to show images."}]}),
    "200: Bedrock": (200, {"images": [None], "finish_reasons": ["Filter reason: prompt"]}),
}


def answers(table: dict[str, tuple[int, object]]) -> dict[str, Answer]:
    return {name: json_answer(body, status) for name, (status, body) in table.items()}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_block_is_a_block_however_it_is_told(kind: str) -> None:
    failed = await failures(kind, answers(BLOCKS))

    assert {name: type(error) for name, error in failed.items()} == dict.fromkeys(
        BLOCKS, ModerationBlocked
    )
    assert {str(error) for error in failed.values()} == {
        f"{SERVICES[kind]}'s moderation blocked this request."
    }
    assert all(error.generator_message for error in failed.values())


NO_BLOCKS: dict[str, tuple[int, object]] = {
    "a prompt that speaks of it": (
        400,
        error("invalid_value", "Invalid prompt: 'ContentPolicyViolationError, our safety system'"),
    ),
    "a prompt that quotes the sentence": (400, error(None, f"Invalid prompt: '{SAFETY}'")),
    "an invalid image, of the same type": (
        400,
        error("invalid_image_file", "No safety.", "image_generation_user_error"),
    ),
    "the type alone": (400, error(None, "Invalid size.", "image_generation_user_error")),
    "a parameter's name": (400, error("unknown_parameter", param="moderation")),
    "results that filtered nothing": (
        400,
        error("invalid_value", content_filter_results=NOT_FILTERED),
    ),
    "the account, not the request": (
        403,
        error("Forbidden", "Your resource was blocked: behavior that may violate our policy"),
    ),
    "an echo of what was sent": (
        422,
        {"detail": [{"type": "missing", "msg": "No.", "input": {"code": "moderation_blocked"}}]},
    ),
}
OUTAGES: dict[str, tuple[int, object]] = {
    "moderation is away": (503, error("moderation_unavailable", "Moderation is unavailable.")),
    "the filter is away": (500, error("content_filter", "The content filter timed out.")),
    "the filter is busy": (429, error("content_filter", "Too many requests.")),
    "a user error of the server": (
        500,
        error(None, "The safety system failed.", "image_generation_user_error"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_what_only_speaks_of_moderation_is_a_refusal(kind: str) -> None:
    failed = await failures(kind, answers(NO_BLOCKS))

    assert {name: (type(error), error.code) for name, error in failed.items()} == dict.fromkeys(
        NO_BLOCKS, (GenerationFailed, "GENERATOR_REJECTED")
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_a_moderation_that_is_out_of_order_passes(kind: str) -> None:
    failed = await failures(kind, answers(OUTAGES))

    assert {name: type(error) for name, error in failed.items()} == dict.fromkeys(
        OUTAGES, GeneratorUnavailable
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_without_image_and_reason_is_no_block(kind: str) -> None:
    bodies: list[object] = [
        {"data": []},
        {"data": [{"b64_json": None}], "prompt_filter_results": [{"content_filter_results": {}}]},
        {"candidates": [{"finishReason": "STOP"}], "promptFeedback": {}},
        {"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}},
        {"data": [{"respect_moderation": True}]},
    ]
    failed = await failures(kind, {str(body): json_answer(body) for body in bodies})

    assert {(str(error), error.code) for error in failed.values()} == {
        (f"{SERVICES[kind]}'s answer holds no image.", "GENERATION_FAILED")
    }


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_that_is_no_json_object_is_judged_by_its_status(kind: str) -> None:
    bodies = [b"", b"<p>moderation_blocked</p>", b"\xff", b"[" * 9999, b'"a"', b"7", b"null"]
    failed = await failures(kind, {str(body[:9]): Answer(403, body) for body in bodies})

    assert {error.code for error in failed.values()} == {"GENERATOR_REJECTED"}
