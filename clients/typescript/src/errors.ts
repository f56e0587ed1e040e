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

/** Something of this package went wrong; `idempotencyKey` is that of the call, if it has one. */
export class StorecreditError extends Error {
  override readonly name: string = "StorecreditError";
  readonly idempotencyKey: string | undefined;

  constructor(message: string, options: { idempotencyKey?: string | undefined; cause?: unknown } = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.idempotencyKey = options.idempotencyKey;
  }
}

/**
 * The service refused the call.
 *
 * `code` says why; a service newer than this package may have codes that `ErrorCode` does not list,
 * so a `switch` over it needs a `default`. What an error tells beside it (`balance` and `required`,
 * `refundable`, `details`, …) is in `body`. `retryAfterSeconds` is set where the service names a
 * time to come back.
 */
export class ApiError extends StorecreditError {
  override readonly name = "ApiError";
  readonly status: number;
  readonly body: ErrorBody;
  readonly requestId: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    status: number,
    body: ErrorBody,
    about: {
      idempotencyKey?: string | undefined;
      requestId?: string | undefined;
      retryAfterSeconds?: number | undefined;
    } = {},
  ) {
    super(`${body.code}: ${body.message}`, { idempotencyKey: about.idempotencyKey });
    this.status = status;
    this.body = body;
    this.requestId = about.requestId;
    this.retryAfterSeconds = about.retryAfterSeconds;
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

/** The answer is not of the service's form; `beginning` is how its body starts. */
export class UnexpectedAnswer extends StorecreditError {
  override readonly name = "UnexpectedAnswer";
  readonly status: number;
  readonly beginning: string;

  constructor(status: number, beginning: string, about: { idempotencyKey?: string | undefined } = {}) {
    super(
      `Not an answer of storecredit: ${status}. Is the address right, and what stands before the ` +
        `service? Its body begins: ${JSON.stringify(beginning)}`,
      about,
    );
    this.status = status;
    this.beginning = beginning;
  }
}

/** No attempt was answered; `cause` is what the last one ended in. */
export class NoAnswer extends StorecreditError {
  override readonly name = "NoAnswer";
  readonly attempts: number;

  constructor(
    attempts: number,
    why: string,
    about: { idempotencyKey?: string | undefined; cause?: unknown } = {},
  ) {
    const again =
      about.idempotencyKey === undefined
        ? ""
        : " Whether it was done is not known: the same call with the same idempotency key tells, " +
          "and is done once.";
    super(`No answer, asked ${attempts === 1 ? "once" : `${attempts} times`}: ${why}.${again}`, about);
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
