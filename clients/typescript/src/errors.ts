/**
 * Every error of this package.
 *
 *     StorecreditError
 *       ApiError             the service refused, and said why: look at `code`
 *       UnexpectedAnswer     an answer that is none of the service's: a proxy's page, say
 *       NoAnswer             every attempt ended without an answer
 *       GenerationNotEnded   the time to wait for a generation is over; it goes on
 *       WebhookRefused       a webhook that was not signed with this secret, or too long ago
 *
 * After the first three it may be unknown whether a call was done: an answer can be lost on its way.
 * The call again with `{ idempotencyKey: error.idempotencyKey }` finds out, and is done once.
 */

import type { ErrorBody, ErrorCode, Generation } from "./openapi.js";

/** What any error may be about. */
interface About {
  readonly idempotencyKey?: string | undefined;
  readonly retryAfterSeconds?: number | undefined;
  readonly cause?: unknown;
}

/**
 * Something of this package went wrong; `idempotencyKey` is that of the call, if it has one.
 *
 * `retryAfterSeconds` is set where the service, or what stands before it, names a time to come back.
 */
export class StorecreditError extends Error {
  override readonly name: string = "StorecreditError";
  readonly idempotencyKey: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(message: string, about: About = {}) {
    super(message, "cause" in about ? { cause: about.cause } : undefined);
    this.idempotencyKey = about.idempotencyKey;
    this.retryAfterSeconds = about.retryAfterSeconds;
  }
}

/**
 * The service refused the call.
 *
 * `code` says why; a service newer than this package may have codes that `ErrorCode` does not list,
 * so a `switch` over it needs a `default`. What an error tells beside it (`balance` and `required`,
 * `refundable`, `details`, …) is in `body`; the message names each field and parameter of
 * `details`, too.
 */
export class ApiError extends StorecreditError {
  override readonly name = "ApiError";
  readonly status: number;
  readonly body: ErrorBody;
  readonly requestId: string | undefined;

  constructor(status: number, body: ErrorBody, about: About & { requestId?: string | undefined } = {}) {
    super(`${body.code}: ${body.message}${faults(body)}`, about);
    this.status = status;
    this.body = body;
    this.requestId = about.requestId;
  }

  /** Why. */
  get code(): ErrorCode {
    return this.body.code;
  }

  /** Whether the service found fault with this field or parameter. */
  names(key: string): boolean {
    return (this.body.details ?? []).some((detail) => detail["key"] === key);
  }
}

/** What is wrong with which field or parameter; once, where the message says it. */
function faults(body: ErrorBody): string {
  const named = (body.details ?? []).map(({ key, message }) =>
    message === body.message ? key : `${key}: ${message}`,
  );
  return named.length === 0 ? "" : ` (${named.join("; ")})`;
}

/**
 * The answer is not of the service's form; `beginning` is how its body starts.
 *
 * `location` is where it leads, if it is a redirect: none is followed.
 */
export class UnexpectedAnswer extends StorecreditError {
  override readonly name = "UnexpectedAnswer";
  readonly status: number;
  readonly beginning: string;
  readonly location: string | undefined;

  constructor(
    status: number,
    beginning: string,
    about: About & { location?: string | undefined } = {},
  ) {
    const leads =
      about.location === undefined ? "" : `, which leads to ${JSON.stringify(about.location)}`;
    super(
      `Not an answer of storecredit: ${status}${leads}. Is the address right, and what stands ` +
        `before the service? Its body begins: ${JSON.stringify(beginning)}`,
      about,
    );
    this.status = status;
    this.beginning = beginning;
    this.location = about.location;
  }
}

/** No attempt was answered; `cause` is what the last one ended in. */
export class NoAnswer extends StorecreditError {
  override readonly name = "NoAnswer";
  readonly attempts: number;

  constructor(attempts: number, why: string, about: About = {}) {
    const again =
      about.idempotencyKey === undefined
        ? ""
        : " Whether it was done is not known: the same call with the same idempotency key tells, " +
          "and is done once.";
    super(`No answer, asked ${attempts === 1 ? "once" : `${attempts} times`}: ${why.replace(/\.+$/, "")}.${again}`, about);
    this.attempts = attempts;
  }
}

/** The time is over, the generation is not; `generation` is as it was last seen. */
export class GenerationNotEnded extends StorecreditError {
  override readonly name = "GenerationNotEnded";
  readonly generation: Generation;

  constructor(generation: Generation) {
    super(
      `Generation ${generation.session_id} is still ${generation.status}. It goes on; wait again, ` +
        "or look later.",
    );
    this.generation = generation;
  }
}

/** Not signed with this secret, changed on its way, too old, or no webhook at all. */
export class WebhookRefused extends StorecreditError {
  override readonly name = "WebhookRefused";
}
