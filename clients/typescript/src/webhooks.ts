/**
 * Webhooks of the service: is it really from there, and what does it say?
 *
 * Needs the package `standardwebhooks`, the library of Standard Webhooks
 * (https://www.standardwebhooks.com), which checks the signature.
 */

import { Webhook } from "standardwebhooks";
import { WebhookRefused } from "./errors.js";
import { eventTypes, type WebhookEvent } from "./openapi.js";

/** An event that this version does not know: a later service may tell of more. */
export interface UnknownEvent {
  readonly type: "unknown";
  /** All that came in; its own type is `body["type"]`. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** What an endpoint may be told: its `type` says which, and what its `data` holds. */
export type Event = WebhookEvent | UnknownEvent;

/** Of the form of all events; it changes only if what there is does. */
const VERSION: WebhookEvent["version"] = 1;

/** Headers as a web framework gives them; of a list the first counts. */
export type SentHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * The event that this request carries, if whoever has the secret has sent it just now.
 *
 * `body` is what came in, byte for byte: parsed and written anew it is another. `secret` is the
 * endpoint's, `whsec_…`; while it is being replaced, a webhook is signed with both. The same event
 * may come twice: `webhook-id` is the same then.
 *
 * Throws WebhookRefused: answer 400, and do nothing. Throws RangeError where the secret is none.
 */
export function verified(
  body: string | Uint8Array,
  headers: SentHeaders,
  secret: string,
): Event {
  const webhook = webhookOf(secret);
  try {
    // The library takes a string, and says nothing of bytes that are not UTF-8.
    const text = typeof body === "string" ? body : new TextDecoder("utf-8", { fatal: true }).decode(body);
    webhook.verify(text, plain(headers), { jsonParse: false });
    const event: unknown = JSON.parse(text);
    if (isObject(event)) {
      return isKnown(event) ? event : { type: "unknown", body: event };
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new WebhookRefused(`This is no webhook of ours: ${why}.`, { cause });
  }
  throw new WebhookRefused("This is no webhook of ours: it is not an object.");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether it is of a form that the types describe: the service's word, as for every answer. */
function isKnown(event: object): event is WebhookEvent {
  const { type, version } = event as Partial<WebhookEvent>;
  return version === VERSION && eventTypes.some((known) => known === type);
}

function webhookOf(secret: string): Webhook {
  try {
    return new Webhook(secret);
  } catch (cause) {
    throw new RangeError("This is no webhook secret: it is `whsec_` and base64.", { cause });
  }
}

/** The library reads plain objects alone. */
function plain(headers: SentHeaders): Record<string, string> {
  const pairs = headers instanceof Headers ? [...headers] : Object.entries(headers);
  const found: Record<string, string> = {};
  for (const [name, value] of pairs) {
    const first = typeof value === "string" ? value : value?.[0];
    if (first !== undefined) {
      found[name] = first;
    }
  }
  return found;
}
