/**
 * storecredit from TypeScript: prepaid credits, spent once, whatever becomes of the connection.
 *
 * @packageDocumentation
 */

export {
  Client,
  type ChangeOptions,
  type ClientOptions,
  type CreateOptions,
  type ReadOptions,
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
