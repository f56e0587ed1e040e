/**
 * storecredit from TypeScript: prepaid credits, spent once, whatever becomes of the connection.
 *
 * @packageDocumentation
 */

export type { ChangeOptions, ReadOptions } from "./asking.js";
export {
  Client,
  type ClientOptions,
  type CreateOptions,
  type LookOptions,
  type WaitOptions,
} from "./client.js";
export {
  ApiError,
  GenerationNotEnded,
  NoAnswer,
  StorecreditError,
  UnexpectedAnswer,
  WebhookRefused,
} from "./errors.js";
export type * from "./openapi.js";
export type { RetryPolicy } from "./retrying.js";
