// What the compiler accepts of an app, and what it does not: this file is compiled, and never run.

import type { ApiError, Client, ErrorCode, SpendMade } from "storecredit-client";
import type { Event } from "storecredit-client/webhooks";

declare const client: Client;
declare const error: ApiError;
declare const event: Event;

export const spent: Promise<SpendMade> = client.spendCredits({ amount: 5, metadata: { order: "1" } });
export const beyond: "balance" | "overage" = (await spent).charged_as;
export const holds = client.listHolds({ status: "held", limit: 10 });
export const options = { idempotencyKey: "order-1001", signal: AbortSignal.timeout(1000) };
export const given = client.refundSpend("order-1001", { amount: 2 }, options);

export const hook = client.createWebhook({ url: "https://hats.example", event_types: ["*"] });
export const left: number = event.type === "credits.low" ? event.data.balance : 0;
export const later: unknown = event.type === "unknown" ? event.body["type"] : event.version;

// @ts-expect-error: no type of ours
export const lost = event.type === "credits.lost";
// @ts-expect-error: no amount
void client.spendCredits({});
// @ts-expect-error: no field of ours
void client.spendCredits({ amount: 5, ammount: 5 });
// @ts-expect-error: no status of a hold
void client.listHolds({ status: "holding" });
// @ts-expect-error: what only reads takes no key
void client.getBalance({ idempotencyKey: "a" });
// @ts-expect-error: no path of ours
void client.paths.GET("/api/v1/credits/ballance");

/** Every code: one that is added to the API stops this from compiling. */
export const isMine: Record<ErrorCode, boolean> = {
  VALIDATION_ERROR: true,
  INVALID_API_KEY: true,
  API_KEY_REVOKED: true,
  API_KEY_EXPIRED: true,
  INVALID_SIGNATURE: false,
  INSUFFICIENT_CREDITS: true,
  INSUFFICIENT_SCOPE: false,
  STORE_SUSPENDED: true,
  DOMAIN_MISMATCH: true,
  NOT_FOUND: true,
  METHOD_NOT_ALLOWED: true,
  PAYLOAD_TOO_LARGE: true,
  HOLD_ENDED: true,
  USER_ERASED: false,
  LIMIT_REACHED: true,
  ENDPOINT_DISABLED: true,
  NO_SUBSCRIPTION: true,
  IDEMPOTENCY_CONFLICT: true,
  CAPTURE_EXCEEDS_HOLD: true,
  REFUND_EXCEEDS_SPEND: true,
  RATE_LIMIT_EXCEEDED: false,
  INTERNAL_ERROR: false,
  SERVICE_UNAVAILABLE: false,
};
export const mine = isMine[error.code];
