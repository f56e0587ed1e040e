/** The client: a method for each operation of a store's key, and what is more than one request. */

import createClient, { type Client as OpenApiClient } from "openapi-fetch";
import { refusing } from "./answers.js";
import {
  change,
  data,
  items,
  PAGE_MAX,
  part,
  read,
  type ChangeOptions,
  type Json,
  type Query,
  type ReadOptions,
} from "./asking.js";
import {
  ApiError,
  GenerationNotEnded,
  NoAnswer,
  UnexpectedAnswer,
  type StorecreditError,
} from "./errors.js";
import { retrying, type Fetch } from "./fetching.js";
import type * as api from "./openapi.js";
import { DEFAULT_POLICY, isForLater, pause, retryAfterSeconds, type RetryPolicy } from "./retrying.js";
import { WebhookOperations } from "./webhook_operations.js";

/** How long the service is asked to hold an answer back until there is something to tell. */
const WAIT_MAX_SECONDS = 30;
const PAUSE_MIN_SECONDS = 0.25;
const PAUSE_MAX_SECONDS = 10;
const PAUSE_GROWTH = 1.5;

export interface ClientOptions {
  /** Where the service is, as `https://credits.example`. */
  readonly baseUrl: string;
  /** A store's key, `sc_live_…`. */
  readonly apiKey: string;
  /** What of the usual policy is to be otherwise. */
  readonly policy?: Partial<RetryPolicy>;
  /** What to send with in the place of the platform's own `fetch`. */
  readonly fetch?: Fetch;
}

export interface CreateOptions extends ChangeOptions {
  /** Answer when the generation has ended, or after so many seconds. */
  readonly wait?: number;
}

export interface LookOptions extends ReadOptions {
  /** Answer when the generation has ended, or after so many seconds: 60 at most. */
  readonly wait?: number;
}

export interface WaitOptions extends ReadOptions {
  /** How long to wait in all; 300 unless given. */
  readonly timeoutSeconds?: number;
}

/** Calls the service with a store's API key. Every method rejects with what `errors.ts` shows. */
export class Client extends WebhookOperations {
  /**
   * Each path of the API, typed (https://openapi-ts.dev/openapi-fetch), for who wants the headers of
   * an answer. It sends again, waits and rejects as the methods do; the key is yours to give.
   */
  readonly paths: OpenApiClient<api.paths, Json>;

  constructor(options: ClientOptions) {
    super();
    const policy = { ...DEFAULT_POLICY, ...options.policy };
    this.paths = createClient<api.paths, Json>({
      baseUrl: checkedUrl(options.baseUrl),
      headers: {
        Accept: "application/json",
        Authorization: `Bearer ${checkedKey(options.apiKey)}`,
      },
      // A key is for the service that it was given for, and a POST would become a GET.
      redirect: "manual",
      fetch: refusing(retrying(policy, options.fetch ?? ((request) => fetch(request)))),
    });
  }

  /**
   * Take what a generation costs, and queue it.
   *
   * With `wait` the answer comes when it has ended, or after that many seconds, and `generation` is
   * what it is by then; an older service, which does not wait, leaves it out.
   */
  createGeneration(body: api.CreateBody, options?: CreateOptions): Promise<api.GenerationCreated> {
    const { params, ...asked } = change(options);
    const preferred = options?.wait === undefined ? {} : { Prefer: `wait=${options.wait}` };
    const header = { ...params.header, ...preferred };
    return data(
      this.paths.POST("/api/v1/generation/create", { body, params: { header }, ...asked }),
    );
  }

  /** A generation; with `wait` once it has ended, or after that many seconds. */
  getGeneration(sessionId: string, options?: LookOptions): Promise<api.Generation> {
    return data(this.#generation(sessionId, options?.wait, options));
  }

  /** Generations, newest first, of all pages. */
  listGenerations(query: Query<"listGenerations"> = {}, options?: ReadOptions) {
    return items<api.Generation>((page) => {
      const params = { query: { limit: PAGE_MAX, ...query, ...page } };
      return this.paths.GET("/api/v1/generations", { params, ...read(options) });
    });
  }

  /** What the store has, bought and spent. */
  getBalance(options?: ReadOptions): Promise<api.BalanceView> {
    return data(this.paths.GET("/api/v1/credits/balance", read(options)));
  }

  /** The ledger, newest first, of all pages. */
  listTransactions(query: Query<"listTransactions"> = {}, options?: ReadOptions) {
    return items<api.Transaction>((page) => {
      const params = { query: { limit: PAGE_MAX, ...query, ...page } };
      return this.paths.GET("/api/v1/credits/transactions", { params, ...read(options) });
    });
  }

  /** Additions with credits left, in the order in which they are spent. */
  listGrants(query: Query<"listGrants"> = {}, options?: ReadOptions) {
    return items<api.GrantView>((page) => {
      const params = { query: { limit: PAGE_MAX, ...query, ...page } };
      return this.paths.GET("/api/v1/credits/grants", { params, ...read(options) });
    });
  }

  /** Where the ledger stood in a signed checkpoint; `since`: and that it continues that one. */
  getLedgerProof(
    query: Query<"getLedgerProof"> = {},
    options?: ReadOptions,
  ): Promise<api.LedgerProof> {
    const params = { query };
    return data(this.paths.GET("/api/v1/ledger/proof", { params, ...read(options) }));
  }

  /** Holds, newest first, of all pages. */
  listHolds(query: Query<"listHolds"> = {}, options?: ReadOptions) {
    return items<api.HoldView>((page) => {
      const params = { query: { limit: PAGE_MAX, ...query, ...page } };
      return this.paths.GET("/api/v1/credits/holds", { params, ...read(options) });
    });
  }

  /** Set credits aside until they are captured, released, or their time is over. */
  createHold(body: api.HoldBody, options?: ChangeOptions): Promise<api.HoldMade> {
    return data(this.paths.POST("/api/v1/credits/holds", { body, ...change(options) }));
  }

  /** A hold, and how it ended. */
  getHold(holdId: string, options?: ReadOptions): Promise<api.HoldView> {
    const params = { path: { hold_id: part(holdId) } };
    return data(this.paths.GET("/api/v1/credits/holds/{hold_id}", { params, ...read(options) }));
  }

  /** Spend `amount` of what is held, or all of it; the rest goes back. */
  captureHold(
    holdId: string,
    body: api.CaptureBody = {},
    options?: ChangeOptions,
  ): Promise<api.HoldOver> {
    const asked = change(options, { hold_id: part(holdId) });
    return data(this.paths.POST("/api/v1/credits/holds/{hold_id}/capture", { body, ...asked }));
  }

  /** Give back all that is held. */
  releaseHold(holdId: string, options?: ChangeOptions): Promise<api.HoldOver> {
    const asked = change(options, { hold_id: part(holdId) });
    return data(this.paths.POST("/api/v1/credits/holds/{hold_id}/release", asked));
  }

  /** Have a hold last longer, from now on; it is never shortened. */
  extendHold(
    holdId: string,
    body: api.ExtendBody,
    options?: ChangeOptions,
  ): Promise<api.HoldExtended> {
    const asked = change(options, { hold_id: part(holdId) });
    return data(this.paths.POST("/api/v1/credits/holds/{hold_id}/extend", { body, ...asked }));
  }

  /** Take credits. The key is the spend's name, too: `getSpend` and `refundSpend` take it. */
  spendCredits(body: api.SpendBody, options?: ChangeOptions): Promise<api.SpendMade> {
    return data(this.paths.POST("/api/v1/credits/spend", { body, ...change(options) }));
  }

  /**
   * Take credits up to a thousand times at once, each spend under its own `request_id`.
   *
   * Some may be refused while the others are done: look at each `outcome`. `replayed` may be the
   * doing of this very call, by an attempt whose answer was lost.
   */
  spendCreditsInBatch(body: api.SpendBatch, options?: ChangeOptions): Promise<api.SpendAnswers> {
    return data(this.paths.POST("/api/v1/credits/spend/batch", { body, ...change(options) }));
  }

  /** A spend, and what was given back of it. */
  getSpend(spendRequestId: string, options?: ReadOptions): Promise<api.SpendView> {
    const params = { path: { spend_request_id: part(spendRequestId) } };
    return data(
      this.paths.GET("/api/v1/credits/spend/{spend_request_id}", { params, ...read(options) }),
    );
  }

  /** Give back `amount` of a spend, or all that is left. */
  refundSpend(
    spendRequestId: string,
    body: api.RefundBody = {},
    options?: ChangeOptions,
  ): Promise<api.RefundMade> {
    const asked = change(options, { spend_request_id: part(spendRequestId) });
    return data(
      this.paths.POST("/api/v1/credits/spend/{spend_request_id}/refund", { body, ...asked }),
    );
  }

  /** An address at which to pay for a plan, or for a number of credits. */
  createCheckout(body: api.CheckoutBody, options?: ChangeOptions): Promise<api.CheckoutView> {
    return data(this.paths.POST("/api/v1/billing/checkout", { body, ...change(options) }));
  }

  /** What is on sale, and what a generation costs. */
  listPlans(options?: ReadOptions): Promise<api.CatalogueView> {
    return data(this.paths.GET("/api/v1/billing/plans", read(options)));
  }

  /** The store's subscriptions, newest first, ended ones included. */
  listSubscriptions(options?: ReadOptions): Promise<api.SubscriptionList> {
    return data(this.paths.GET("/api/v1/billing/subscriptions", read(options)));
  }

  /** Whether credits are bought by themselves, how many, and how often that was so. */
  getTopUp(options?: ReadOptions): Promise<api.TopUpView> {
    return data(this.paths.GET("/api/v1/top-up", read(options)));
  }

  /** Have credits bought while the balance is `threshold` or below; a paused one goes on. */
  setTopUp(body: api.TopUpBody, options?: ReadOptions): Promise<api.TopUpView> {
    return data(this.paths.PUT("/api/v1/top-up", { body, ...read(options) }));
  }

  /** Buy nothing more by itself; a charge that was begun is seen to its end. */
  deleteTopUp(options?: ReadOptions): Promise<api.TopUpView> {
    return data(this.paths.DELETE("/api/v1/top-up", read(options)));
  }

  /** A link that signs one browser in to the store's portal, once; asked again, another. */
  createPortalSession(
    body: api.PortalSessionBody = {},
    options?: ReadOptions,
  ): Promise<api.PortalSessionView> {
    return data(this.paths.POST("/api/v1/portal/sessions", { body, ...read(options) }));
  }

  /** Whether the key works. */
  getHealth(options?: ReadOptions): Promise<api.Health> {
    return data(this.paths.GET("/api/v1/health", read(options)));
  }

  /**
   * The generation once it has ended, completed or failed.
   *
   * A service that waits is asked again at once. One that answers at once (where too many wait, or
   * an older one that does not know how) is asked when its answer says, else ever more seldom; and
   * so is one that is away: it is started anew, say. Rejects with GenerationNotEnded.
   */
  async waitForGeneration(sessionId: string, options: WaitOptions = {}): Promise<api.Generation> {
    const endsAt = performance.now() + (options.timeoutSeconds ?? 300) * 1000;
    let canWait = true;
    for (let look = 0; ; look++) {
      const begunAt = performance.now();
      const left = endsAt - begunAt;
      const wait = canWait ? Math.min(Math.max(Math.floor(left / 1000), 0), WAIT_MAX_SECONDS) : 0;
      let nextAt: number;
      try {
        const got = await this.#generation(sessionId, wait > 0 ? wait : undefined, options);
        const generation = await data(Promise.resolve(got));
        if (generation.completed_at !== null) {
          return generation;
        }
        if (left <= 0) {
          throw new GenerationNotEnded(generation);
        }
        nextAt = begunAt + apartSeconds(retryAfterSeconds(got.response.headers), look) * 1000;
      } catch (error) {
        if (wait > 0 && error instanceof ApiError && error.names("wait")) {
          canWait = false;
          continue;
        }
        const now = performance.now();
        const wanted = isAway(error) ? (error.retryAfterSeconds ?? 0) : Infinity;
        if (now + wanted * 1000 >= endsAt) {
          throw error;
        }
        nextAt = now + apartSeconds(wanted, look) * 1000;
      }
      const seconds = (Math.min(nextAt, endsAt) - performance.now()) / 1000;
      if (seconds > 0) {
        await pause(seconds, options.signal);
      }
    }
  }

  #generation(sessionId: string, wait: number | undefined, options?: ReadOptions) {
    const query = wait === undefined ? {} : { wait };
    const params = { path: { session_id: part(sessionId) }, query };
    return this.paths.GET("/api/v1/generation/{session_id}", { params, ...read(options) });
  }
}

/** Whether it may well be answered later. */
function isAway(error: unknown): error is StorecreditError {
  const isRefused = error instanceof ApiError || error instanceof UnexpectedAnswer;
  return isRefused ? isForLater(error.status) : error instanceof NoAnswer;
}

/** How long from one look to the next: as is wanted, or ever longer. */
function apartSeconds(wantedSeconds: number | undefined, look: number): number {
  return wantedSeconds || Math.min(PAUSE_MIN_SECONDS * PAUSE_GROWTH ** look, PAUSE_MAX_SECONDS);
}

function checkedUrl(baseUrl: string): string {
  const url = new URL(baseUrl);
  if (!/^https?:$/.test(url.protocol) || url.search || url.hash) {
    throw new RangeError(`The service's address is like https://credits.example, not ${baseUrl}`);
  }
  return baseUrl;
}

function checkedKey(apiKey: string): string {
  if (!/^[!-~]+$/.test(apiKey)) {
    throw new RangeError("This is no API key: it is empty, or holds a space or a line break.");
  }
  return apiKey;
}
