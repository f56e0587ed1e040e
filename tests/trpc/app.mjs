// What the app does, with the official client: node app.mjs <url> <the way its calls travel>
// <token of a new user> <token of another> <image>. Fails with the assertion that does not hold.

import assert from 'node:assert/strict';
import {
  createTRPCClient,
  httpBatchLink,
  httpBatchStreamLink,
  httpLink,
  loggerLink,
  retryLink,
  splitLink,
  TRPCClientError,
} from '@trpc/client';
import superjson from 'superjson';

const [url, way, token, otherToken, image] = process.argv.slice(2);

// Every link that a query or a mutation can travel by, with the options that change the request.
const ways = {
  httpLink: (options) => [httpLink(options)],
  httpBatchLink: (options) => [httpBatchLink(options)],
  httpBatchStreamLink: (options) => [httpBatchStreamLink(options)],
  streamHeader: (options) => [httpBatchStreamLink({ ...options, streamHeader: 'accept' })],
  methodOverride: (options) => [httpBatchStreamLink({ ...options, methodOverride: 'POST' })],
  methodOverrideAlone: (options) => [httpLink({ ...options, methodOverride: 'POST' })],
  maxURLLength: (options) => [httpBatchStreamLink({ ...options, maxURLLength: 600, maxItems: 50 })],
  splitLink: (options) => [
    loggerLink({ enabled: () => false }),
    retryLink({ retry: () => false }),
    splitLink({
      condition: ({ type }) => type === 'query',
      true: httpBatchStreamLink(options),
      false: httpLink(options),
    }),
  ],
};
const atOnce = { httpLink: 5, methodOverrideAlone: 5, maxURLLength: 2 }[way] ?? 1;
let requests = 0;

function client(authorization, headers = {}, answered = () => {}) {
  return createTRPCClient({
    links: ways[way]({
      url,
      transformer: superjson,
      headers: { ...(authorization && { authorization }), ...headers },
      async fetch(...asked) {
        requests += 1;
        const answer = await fetch(...asked);
        answered();
        return answer;
      },
    }),
  });
}

const app = client(`Bearer ${token}`);

async function refused(promise, code, httpStatus, path) {
  const error = await promise.then(
    () => assert.fail(`${path} was not refused`),
    (thrown) => thrown,
  );
  assert(error instanceof TRPCClientError, String(error));
  assert.equal(typeof error.shape.code, 'number');
  assert.equal(error.message, error.shape.message);
  assert.deepEqual(error.data, { code, httpStatus, path });
  return error;
}

// A new user, several queries at once: one request if they are batched.
const [balance, transactions, packs, stats, history] = await Promise.all([
  app.credits.getBalance.query(),
  app.credits.getTransactions.query(),
  app.credits.getPacks.query(),
  app.generation.getStats.query(),
  app.generation.getHistory.query({ limit: 5, status: undefined }),
]);
assert.equal(requests, atOnce);
assert(balance.updated_at instanceof Date);
assert.deepEqual(balance, {
  balance: 10, total_earned: 10, total_spent: 0, updated_at: balance.updated_at,
});
const [bonus] = transactions;
assert(bonus.created_at instanceof Date);
assert(Math.abs(Date.now() - bonus.created_at) < 60_000);
assert.deepEqual([transactions.length, bonus.amount, bonus.type], [1, 10, 'signup_bonus']);
assert.deepEqual(stats, { total: 0, completed: 0, active: 0, failed: 0 });
assert.deepEqual(history, []);
assert(packs.length > 0);
for (const pack of packs) {
  assert.deepEqual(Object.keys(pack), ['id', 'name', 'credits', 'amount', 'currency']);
}

// Generations, two of them at once.
const input = { modelImageUrl: image, outfitImageUrl: image, accessories: [{ type: 'hat', url: image }] };
const [first, second] = await Promise.all([
  app.generation.create.mutate(input),
  app.generation.create.mutate({ modelImageUrl: image, outfitImageUrl: undefined }),
]);
assert.notEqual(first.sessionId, second.sessionId);
assert.equal(first.status, 'queued');
assert.equal(typeof first.message, 'string');
assert.equal((await app.credits.getBalance.query()).balance, 8);

const session = await app.generation.getById.query({ sessionId: first.sessionId });
assert.equal(session.id, first.sessionId);
assert(session.created_at instanceof Date);
assert.deepEqual([session.result_url, session.completed_at], [null, null]);
const listed = await app.generation.getHistory.query();
assert.deepEqual(new Set(listed.map(({ id }) => id)), new Set([first.sessionId, second.sessionId]));
assert.deepEqual(await app.generation.getHistory.query({ status: 'failed' }), []);
assert.deepEqual(
  (await app.credits.getTransactions.query({ limit: 2, offset: 0 })).map(({ amount }) => amount),
  [-1, -1],
);

// A request id that the app sends makes a retry the same request, also if the app went away as soon
// as the first answer began.
const id = { 'x-request-id': `order-${way}` };
const leaving = new AbortController();
const left = client(`Bearer ${token}`, id, () => leaving.abort());
await assert.rejects(left.generation.create.mutate(input, { signal: leaving.signal }), /abort/i);
const named = client(`Bearer ${token}`, id);
const once = await named.generation.create.mutate(input);
assert.deepEqual(await named.generation.create.mutate(input), once);
assert.equal((await app.credits.getBalance.query()).balance, 7);
await refused(
  named.generation.create.mutate({ modelImageUrl: image }),
  'CONFLICT', 409, 'generation.create',
);

// One of two fails: the other does not.
const unknown = '0198a5f0-7d50-7cc3-98c5-c3d5a0a4b1e2';
const settled = await Promise.allSettled([
  app.credits.getBalance.query(),
  app.generation.getById.query({ sessionId: unknown }),
]);
assert.deepEqual(settled.map(({ status }) => status), ['fulfilled', 'rejected']);
await refused(Promise.reject(settled[1].reason), 'NOT_FOUND', 404, 'generation.getById');

// Errors.
const other = client(`Bearer ${otherToken}`);
await refused(
  other.generation.getById.query({ sessionId: first.sessionId }),
  'NOT_FOUND', 404, 'generation.getById',
);
const wrong = await refused(
  app.credits.getTransactions.query({ limit: 101 }), 'BAD_REQUEST', 400, 'credits.getTransactions',
);
assert.deepEqual(JSON.parse(wrong.message)[0].path, ['limit']);
await refused(
  app.generation.create.mutate({ modelImageUrl: 'ftp://x' }), 'BAD_REQUEST', 400, 'generation.create',
);
for (const authorization of [undefined, 'Bearer', 'Bearer x.y.z', `Bearer ${token}x`, 'Basic eA==']) {
  await refused(
    client(authorization).credits.getBalance.query(), 'UNAUTHORIZED', 401, 'credits.getBalance',
  );
}
await refused(app.credits.nothing.query(), 'NOT_FOUND', 404, 'credits.nothing');
// With its method overridden a query cannot be told from a mutation; nothing is on sale here.
await refused(
  app.credits.purchase.query({ packId: 'x' }),
  ...(way.startsWith('methodOverride') ? ['PRECONDITION_FAILED', 412] : ['METHOD_NOT_SUPPORTED', 405]),
  'credits.purchase',
);

// Until nothing is left.
await Promise.all(Array.from({ length: 7 }, () => app.generation.create.mutate(input)));
const none = await refused(
  app.generation.create.mutate(input), 'PAYMENT_REQUIRED', 402, 'generation.create',
);
assert(none.message.startsWith('Insufficient credits'), none.message);
assert.equal((await app.credits.getBalance.query()).balance, 0);
assert.equal((await other.credits.getBalance.query()).balance, 10);
