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
    const { headers, status } = response;
    const about = {
      idempotencyKey: keyOf(request),
      retryAfterSeconds: isForLater(status) ? retryAfterSeconds(headers) : undefined,
    };
    const error = !response.ok && isObject(content) ? content["error"] : undefined;
    if (!isErrorBody(error)) {
      const location = headers.get("location") ?? undefined;
      throw new UnexpectedAnswer(status, text.slice(0, BEGINNING_MAX), { ...about, location });
    }
    const requestId = headers.get("x-request-id") ?? undefined;
    throw new ApiError(status, error, { ...about, requestId });
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
