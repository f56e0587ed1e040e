// The types of storecredit's /api/trpc: `createTRPCClient<AppRouter>` of @trpc/client 11.
// Made by `make docs`, and served at /api/trpc.d.ts.

import type {
  TRPCBuiltRouter,
  TRPCDefaultErrorShape,
  TRPCMutationProcedure,
  TRPCQueryProcedure,
  TRPCSubscriptionProcedure,
} from '@trpc/server';

type Call<Input, Output> = { input: Input; output: Output; meta: object };
type Query<Input, Output> = TRPCQueryProcedure<Call<Input, Output>>;
type Mutation<Input, Output> = TRPCMutationProcedure<Call<Input, Output>>;
type Tracked<Output> = AsyncIterable<{ id: string; data: Output }>;
type Subscription<Input, Output> = TRPCSubscriptionProcedure<Call<Input, Tracked<Output>>>;

/** Credits of a balance that can be spent until a moment. */
export interface Expiring {
  amount: number;
  expires_at: Date;
}

/**
 * A user's credits: had, ever given, spent (deductions less refunds); when they last
 * moved.
 * `held` (set aside, and no part of the balance) and `expiring` (the soonest first) are
 * there only where there are any.
 */
export interface Balance {
  balance: number;
  total_earned: number;
  total_spent: number;
  updated_at: Date;
  held?: number;
  expiring?: Array<Expiring>;
}

/**
 * Every type of movement of an end user, by the names the app shows.
 * generation (any deduction, a spend too), clawback, hold, expiry, removal and
 * transfer_out take
 * credits; capture, rollover and reissue leave the balance as it is; the others give
 * credits.
 */
export type UserMovementType = 'generation' | 'refund' | 'signup_bonus' | 'purchase' | 'grant' | 'clawback' | 'hold' | 'capture' | 'release' | 'hold_expiry' | 'expiry' | 'rollover' | 'reissue' | 'removal' | 'transfer_out' | 'transfer_in';

/** One movement of a user's credits; what took them is below zero. */
export interface Transaction {
  id: string;
  amount: number;
  type: UserMovementType;
  description: string;
  created_at: Date;
}

/** Credits on sale; `amount` is in the currency's smallest unit (cents), without tax. */
export interface Pack {
  id: string;
  name: string;
  credits: number;
  amount: number;
  currency: string;
}

/** Where to pay; the credits come once Paddle says that it is paid. */
export interface Checkout {
  checkoutUrl: string;
  transactionId: string;
}

/** queued -> processing -> completed | failed; the last two are final. */
export type SessionStatus = 'queued' | 'processing' | 'completed' | 'failed';

/** Credits were taken and the generation queued, now or by this very request before. */
export interface GenerationQueued {
  sessionId: string;
  status: SessionStatus;
  message: string;
}

/**
 * Why a session failed; its credits were given back.
 * MODERATION_BLOCKED: moderation refuses the prompt, the images or what came of them.
 * IMAGE_UNREACHABLE: an input image could not be fetched.
 * IMAGE_UNREADABLE: an input image is here, and is none that can be used.
 * GENERATOR_REJECTED: the generator refuses the request.
 * GENERATOR_QUOTA_EXCEEDED: the generator's account has no quota or money left.
 * GENERATOR_UNAVAILABLE: the generator was away or busy until the last attempt.
 * GENERATOR_TIMEOUT: the generator took too long at the last attempt.
 * GENERATION_FAILED: anything else.
 */
export type FailureCode = 'MODERATION_BLOCKED' | 'IMAGE_UNREACHABLE' | 'IMAGE_UNREADABLE' | 'GENERATOR_REJECTED' | 'GENERATOR_QUOTA_EXCEEDED' | 'GENERATOR_UNAVAILABLE' | 'GENERATOR_TIMEOUT' | 'GENERATION_FAILED';

/** One generation session of a user. */
export interface Generation {
  id: string;
  status: SessionStatus;
  result_url: string | null;
  error_code: FailureCode | null;
  error_message: string | null;
  created_at: Date;
  started_at: Date | null;
  completed_at: Date | null;
}

/** How many generations a user has. */
export interface Stats {
  total: number;
  completed: number;
  active: number;
  failed: number;
}

/**
 * Any call can be refused with:
 * - BAD_REQUEST (400): the request or its input is not as described here. Where fields
 *   are missing, of another type or out of bounds, the message is zod's list of issues,
 *   as JSON; what else is wrong (an image that cannot be used, a pack that is not sold)
 *   is told in a sentence.
 * - UNAUTHORIZED (401): no valid token: sign in again.
 * - FORBIDDEN (403): the user is blocked; nothing was done.
 * - NOT_FOUND (404): there is no such procedure, or the service cannot tell users
 *   apart.
 * - PAYLOAD_TOO_LARGE (413): the body is too large.
 * - UNSUPPORTED_MEDIA_TYPE (415): the body is no JSON (FormData, a file).
 * - METHOD_NOT_SUPPORTED (405): a mutation was called as a query, or what is no
 *   subscription as one.
 * - INTERNAL_SERVER_ERROR (500): a mistake of ours, and in the log.
 * - SERVICE_UNAVAILABLE (503): not now: send it again with the same request id.
 */
export type AppRouter = TRPCBuiltRouter<
  { ctx: object; meta: object; errorShape: TRPCDefaultErrorShape; transformer: true },
  {
    credits: {
      /** The user's credits now; if they cannot be read, an error, never a made-up zero. */
      getBalance: Query<void, Balance>;
      /** The user's ledger, newest first. */
      getTransactions: Query<{
        /** A whole number from 1 to 100; 50 if left out. */
        limit?: number | undefined;
        /** A whole number from 0; 0 if left out. */
        offset?: number | undefined;
      } | undefined, Array<Transaction>>;
      /** The packs on sale. */
      getPacks: Query<void, Array<Pack>>;
      /**
       * Open a checkout for a pack; the request id makes a retry the same checkout.
       * - CONFLICT (409): the request id was used for another request; nothing was done.
       * - PRECONDITION_FAILED (412): nothing is sold here: no payment provider is set up.
       */
      purchase: Mutation<{
        /** The id of a pack that credits.getPacks lists. */
        packId: string;
      }, Checkout>;
    };
    generation: {
      /**
       * Take what it costs and queue the generation; the request id makes a retry safe.
       * - PAYMENT_REQUIRED (402): the credits that are left do not suffice; nothing was done.
       * - CONFLICT (409): the request id was used for another request; nothing was done.
       */
      create: Mutation<{
        /** A PNG, JPEG, WebP, GIF, AVIF or BMP image, as https, http or data URL. */
        modelImageUrl: string;
        /** A PNG, JPEG, WebP, GIF, AVIF or BMP image, as https, http or data URL. */
        outfitImageUrl?: string | null | undefined;
        accessories?: Array<{
          /** What it is. */
          type: string;
          /** A PNG, JPEG, WebP, GIF, AVIF or BMP image, as https, http or data URL. */
          url: string;
        }> | null | undefined;
        /** Names and values of the operator's price list. */
        options?: Record<string, string> | null | undefined;
      }, GenerationQueued>;
      /**
       * One of the user's generations; another's is as absent as an unknown one.
       * With `wait`, once it has ended, or after so many seconds as it is then.
       * - NOT_FOUND (404): the user has no such generation.
       */
      getById: Query<{
        /** A UUID. */
        sessionId: string;
        /** Seconds to wait for its end; a whole number from 0 to 60. */
        wait?: number | null | undefined;
      }, Generation>;
      /** The user's generations, newest first. */
      getHistory: Query<{
        /** A whole number from 1 to 50; 20 if left out. */
        limit?: number | undefined;
        /** A whole number from 0; 0 if left out. */
        offset?: number | undefined;
        status?: 'queued' | 'processing' | 'completed' | 'failed' | null | undefined;
      } | undefined, Array<Generation>>;
      /** How many generations the user has, by what became of them. */
      getStats: Query<void, Stats>;
      /**
       * One of the user's generations, once it has ended; then the subscription completes.
       * - NOT_FOUND (404): the user has no such generation.
       */
      onEnd: Subscription<{
        /** A UUID. */
        sessionId: string;
        /** The client's own: the last event it has had. */
        lastEventId?: string | null | undefined;
      }, Generation>;
    };
  }
>;

export {};
