/** `fetch` that sends a request again as long as it is safe and of use, and reads all of the answer. */

import { NoAnswer } from "./errors.js";
import { isForLater, pause, pauseSeconds, retryAfterSeconds, type RetryPolicy } from "./retrying.js";

/** More than the largest page there can be. */
const BODY_MAX_BYTES = 16 * 1024 * 1024;

export type Fetch = (request: Request) => Promise<Response>;

/** There was no answer, or not all of it; whether the request arrived is not known. */
class Lost extends Error {}

/**
 * A `fetch` that keeps to a policy.
 *
 * Safe is what only reads or sets values (PUT, PATCH), and what has an idempotency key: the service
 * does that once, however often it is sent. A response that it gives is all here. Rejects with NoAnswer, and with the reason
 * of the request's signal.
 */
export function retrying(policy: RetryPolicy, fetchOnce: Fetch): Fetch {
  return async (request) => {
    const endsAt = performance.now() + policy.totalSeconds * 1000;
    const idempotencyKey = keyOf(request);
    const isSafe = /^(GET|PUT|PATCH)$/.test(request.method) || idempotencyKey !== undefined;
    for (let attempt = 1; ; attempt++) {
      const outcome = await attempted(request, policy, fetchOnce);
      const isLost = outcome instanceof Lost;
      const wanted = isLost ? undefined : retryAfterSeconds(outcome.headers);
      const seconds = pauseSeconds(policy, attempt, wanted);
      const isLast = attempt >= policy.attemptsMax || performance.now() + seconds * 1000 > endsAt;
      if (isLast || !isSafe || !(isLost || isForLater(outcome.status))) {
        if (isLost) {
          throw new NoAnswer(attempt, outcome.message, { idempotencyKey, cause: outcome.cause });
        }
        return outcome;
      }
      await pause(seconds, request.signal);
    }
  };
}

/** The idempotency key that a request bears, as it was before `structured`. */
export function keyOf(request: Request): string | undefined {
  const sent = request.headers.get("idempotency-key");
  return sent === null ? undefined : sent.slice(1, -1).replace(/\\(["\\])/g, "$1");
}

/** A structured-field string (RFC 9651, 3.3.3), which carries every printable character. */
export function structured(key: string): string {
  return `"${key.replace(/["\\]/g, "\\$&")}"`;
}

async function attempted(
  request: Request,
  policy: RetryPolicy,
  fetchOnce: Fetch,
): Promise<Response | Lost> {
  const limit = new AbortController();
  const stop = () => limit.abort(request.signal.reason);
  if (request.signal.aborted) {
    stop();
  }
  request.signal.addEventListener("abort", stop, { once: true });
  const seconds = policy.attemptSeconds + waitSeconds(request);
  const late = new Lost(`there was none within ${seconds} s`);
  const timer = setTimeout(() => limit.abort(late), seconds * 1000);
  try {
    const response = await fetchOnce(new Request(request.clone(), { signal: limit.signal }));
    return await read(response);
  } catch (cause) {
    if (request.signal.aborted) {
      throw request.signal.reason;
    }
    if (limit.signal.aborted || cause instanceof Lost) {
      return cause instanceof Lost ? cause : late;
    }
    return new Lost(told(cause), { cause });
  } finally {
    clearTimeout(timer);
    request.signal.removeEventListener("abort", stop);
  }
}

/** How much longer the service may take, because it was asked to wait. */
function waitSeconds(request: Request): number {
  const asked = new URL(request.url).searchParams.get("wait");
  const preferred = /^wait=([0-9]+)$/.exec(request.headers.get("prefer") ?? "")?.[1];
  return Number(asked ?? preferred ?? 0);
}

/** The same response, with all of its body here. */
async function read(response: Response): Promise<Response> {
  if (response.body === null) {
    return response;
  }
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const reader = response.body.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    bytes += next.value.length;
    pieces.push(next.value);
    if (bytes > BODY_MAX_BYTES) {
      await reader.cancel();
      throw new Lost(`the answer is longer than ${BODY_MAX_BYTES} bytes`);
    }
  }
  const { status, statusText, headers } = response;
  return new Response(new Blob(pieces), { status, statusText, headers });
}

/** What went wrong on the way, in words: the platforms' own say little more than "fetch failed". */
function told(cause: unknown): string {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  return inner instanceof Error ? inner.message || inner.name : String(inner);
}

/** The idempotency key of a call: the one that is given, or one made for it. */
export function keyFor(given: string | undefined): string {
  if (given === undefined) {
    return crypto.randomUUID();
  }
  if (!/^[!-~](?:[ -~]{0,198}[!-~])?$/.test(given)) {
    throw new RangeError(
      "An idempotency key is 1 to 200 printable ASCII characters, with no space at its ends.",
    );
  }
  return given;
}
