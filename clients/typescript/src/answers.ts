/** What an answer holds: its data, or an error to be thrown. */

import { ApiError, UnexpectedAnswer } from "./errors.js";
import { keyOf } from "./fetching.js";
import type { ErrorBody } from "./openapi.js";
import { isForLater, retryAfterSeconds } from "./retrying.js";

const BEGINNING_MAX = 200;

/**
 * A `fetch` that rejects with what the service refuses.
 *
 * It gives answers of success in the service's form alone. Rejects with ApiError and
 * UnexpectedAnswer.
 */
export function refusing(fetch: (request: Request) => Promise<Response>) {
  return async (request: Request): Promise<Response> => {
    const response = await fetch(request);
    const text = await response.clone().text();
    const content = parsed(text);
    if (response.ok && isObject(content) && "data" in content) {
      return response;
    }
    const idempotencyKey = keyOf(request);
    const error = !response.ok && isObject(content) ? content["error"] : undefined;
    if (!isErrorBody(error)) {
      throw new UnexpectedAnswer(response.status, text.slice(0, BEGINNING_MAX), { idempotencyKey });
    }
    throw new ApiError(response.status, error, {
      idempotencyKey,
      requestId: response.headers.get("x-request-id") ?? undefined,
      retryAfterSeconds: isForLater(response.status) ? retryAfterSeconds(response.headers) : undefined,
    });
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isErrorBody(value: unknown): value is ErrorBody {
  return isObject(value) && typeof value["code"] === "string" && typeof value["message"] === "string";
}
