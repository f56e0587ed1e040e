// What cannot be done, as the official client learns of it: node refusals.mjs <url> <what> <token>
// <image>. `off`: the service serves no users. `blocked`: the user may not come in. `unserved`: what no
// tRPC of it serves.

import assert from 'node:assert/strict';
import {
  createTRPCClient,
  httpBatchLink,
  httpBatchStreamLink,
  httpLink,
  httpSubscriptionLink,
  TRPCClientError,
} from '@trpc/client';
import { EventSource } from 'eventsource';
import superjson from 'superjson';

const [url, what, token, image] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
let asked = 0;

const counting = (...args) => {
  asked += 1;
  return fetch(...args);
};
const options = { url, transformer: superjson, headers: { authorization }, fetch: counting };
const overridden = { ...options, methodOverride: 'POST' };

async function errorOf(promise) {
  const error = await promise.then(() => assert.fail('it was not refused'), (thrown) => thrown);
  assert(error instanceof TRPCClientError, String(error));
  return error;
}

// A procedure is called as a subscription; what the app is told, once it is told nothing more.
function subscribed(path, input) {
  const api = createTRPCClient({
    links: [
      httpSubscriptionLink({
        url,
        transformer: superjson,
        EventSource,
        eventSourceOptions: {
          fetch: (address, init) =>
            counting(address, { ...init, headers: { ...init.headers, authorization } }),
        },
      }),
    ],
  });
  const [router, name] = path.split('.');
  return new Promise((resolve, reject) => {
    api[router][name].subscribe(input, {
      onData: () => reject(new Error('there is data')),
      onComplete: () => reject(new Error('it ended without an error')),
      onError: resolve,
    });
  });
}

const links = [httpLink(options), httpBatchLink(options), httpBatchStreamLink(options)];
links.push(httpLink(overridden), httpBatchLink(overridden), httpBatchStreamLink(overridden));

if (what === 'blocked') {
  for (const link of links) {
    const api = createTRPCClient({ links: [link] });
    const calls = {
      'credits.getBalance': api.credits.getBalance.query(),
      'credits.getTransactions': api.credits.getTransactions.query({ limit: 'not looked at' }),
      'credits.getPacks': api.credits.getPacks.query(),
      'credits.purchase': api.credits.purchase.mutate({ packId: 'any' }),
      'generation.create': api.generation.create.mutate({ modelImageUrl: image }),
      'generation.getById': api.generation.getById.query({ sessionId: 'not looked at' }),
      'generation.getHistory': api.generation.getHistory.query(),
      'generation.getStats': api.generation.getStats.query(),
      'generation.onEnd': subscribed('generation.onEnd', {}).then((error) => Promise.reject(error)),
    };
    const errors = Object.entries(calls).map(async ([path, call]) => [path, await errorOf(call)]);
    for (const [path, { data, message }] of await Promise.all(errors)) {
      assert.deepEqual(data, { code: 'FORBIDDEN', httpStatus: 403, path });
      assert.match(message, /blocked\. Nothing was done\.$/);
    }
  }
}

if (what === 'off') {
  for (const link of links) {
    const api = createTRPCClient({ links: [link] });
    const errors = await Promise.all([
      errorOf(api.credits.getBalance.query()),
      errorOf(api.credits.getPacks.query()),
      errorOf(api.generation.create.mutate({ modelImageUrl: image })),
    ]);
    for (const { data, message } of errors) {
      assert.deepEqual(data, { code: 'NOT_FOUND', httpStatus: 404 });
      assert.match(message, /STORECREDIT_JWT_SECRET/);
    }
  }
  const { data, message } = await subscribed('generation.getStats');
  assert.deepEqual(data, { code: 'NOT_FOUND', httpStatus: 404 });
  assert.match(message, /STORECREDIT_JWT_SECRET/);
}

if (what === 'unserved') {
  const calls = [
    ['generation.getStats', undefined],
    ['generation.create', { modelImageUrl: image }],
    ['generation.nothing', undefined],
  ];
  for (const [path, input] of calls) {
    asked = 0;
    const { data, message } = await subscribed(path, input);
    assert.deepEqual(data, { code: 'METHOD_NOT_SUPPORTED', httpStatus: 405 });
    assert.match(message, /no subscription/);
    assert.equal(asked, 1);
  }

  const form = new FormData();
  form.append('modelImageUrl', image);
  for (const each of [options, overridden]) {
    const api = createTRPCClient({ links: [httpLink(each)] });
    for (const input of [form, new Blob(['{}']), new Uint8Array([1, 2])]) {
      const { data, message } = await errorOf(api.generation.create.mutate(input));
      assert.deepEqual(data, { code: 'UNSUPPORTED_MEDIA_TYPE', httpStatus: 415 });
      assert.match(message, /application\/json/);
    }
  }
}
