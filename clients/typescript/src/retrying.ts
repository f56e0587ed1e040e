/** When a call is sent again, and how long before: the policy, and what `Retry-After` says. */

/**
 * How often, how long apart, and how long in all.
 *
 * `attemptsMax` counts the first one: 1 means that nothing is sent twice. An attempt that takes
 * longer than `attemptSeconds` is given up. After `totalSeconds` no further one begins, and one that
 * the service wants later than that is not waited for. The pause after attempt n is drawn from the
 * upper half of `backoffSeconds` * 2 ** (n - 1), at most `backoffMaxSeconds`; where the service
 * names a time, that is added to it.
 */
export interface RetryPolicy {
  readonly attemptsMax: number;
  readonly attemptSeconds: number;
  readonly totalSeconds: number;
  readonly backoffSeconds: number;
  readonly backoffMaxSeconds: number;
}

export const DEFAULT_POLICY: RetryPolicy = {
  attemptsMax: 5,
  attemptSeconds: 30,
  totalSeconds: 60,
  backoffSeconds: 0.25,
  backoffMaxSeconds: 8,
};

/**
 * Not now: the service's own word, or that of what stands before it.
 *
 * 408: a proxy that did not get the request in time. 520 to 524: Cloudflare, which has no answer of
 * the service (https://developers.cloudflare.com/support/troubleshooting/http-status-codes/).
 */
const RETRIED_STATUSES: ReadonlySet<number> = new Set([
  408, 429, 502, 503, 504, 520, 521, 522, 523, 524,
]);

export function isForLater(status: number): boolean {
  return RETRIED_STATUSES.has(status);
}

/** How long to wait after attempt `attempt` (from 1); never less than was asked for. */
export function pauseSeconds(
  policy: RetryPolicy,
  attempt: number,
  retryAfterSeconds: number | undefined,
): number {
  const longest = Math.min(policy.backoffSeconds * 2 ** (attempt - 1), policy.backoffMaxSeconds);
  // Apart from each other, so that those who failed together do not come back together.
  const drawn = longest * (0.5 + Math.random() / 2);
  return drawn + (retryAfterSeconds ?? 0);
}

/**
 * The seconds that `Retry-After` asks for (RFC 9110, 10.2.3).
 *
 * A date is measured from the answer's own `Date`, so that clocks need not agree. undefined: it is
 * not there, or is neither seconds nor a date.
 */
export function retryAfterSeconds(headers: Headers): number | undefined {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^[0-9]+(\.[0-9]+)?$/.test(value)) {
    return Number(value);
  }
  const until = Date.parse(value);
  if (Number.isNaN(until)) {
    return undefined;
  }
  const said = Date.parse(headers.get("date") ?? "");
  const now = Number.isNaN(said) ? Date.now() : said;
  return Math.max((until - now) / 1000, 0);
}

/** Wait. Rejects with the signal's reason once it is aborted. */
export function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) {
      stop();
    } else {
      signal?.addEventListener("abort", stop, { once: true });
    }
  });
}
