// generation.onEnd as the official client reads it: node subscriptions.mjs <url> <token> <a generation
// that failed> <one that is open and completes while this runs> <one of another user>.

import assert from 'node:assert/strict';
import { createTRPCClient, httpSubscriptionLink, TRPCClientError } from '@trpc/client';
import { EventSource } from 'eventsource';
import superjson from 'superjson';

const [url, token, failed, open, foreign] = process.argv.slice(2);
let requests = 0;

// By a header, as where the EventSource is one's own, and by connectionParams, as in a browser.
const links = {
  header: (authorization) =>
    httpSubscriptionLink({
      url,
      transformer: superjson,
      EventSource,
      eventSourceOptions: {
        fetch: (address, init) => {
          requests += 1;
          return fetch(address, { ...init, headers: { ...init.headers, authorization } });
        },
      },
    }),
  params: (authorization) =>
    httpSubscriptionLink({
      url,
      transformer: superjson,
      EventSource,
      connectionParams: () => ({ token: authorization.replace('Bearer ', '') }),
    }),
};

/** All that the app is told, until it is told no more. */
function subscribed(link, sessionId, authorization = `Bearer ${token}`) {
  const told = { data: [], states: [], started: 0 };
  const api = createTRPCClient({ links: [links[link](authorization)] });
  return new Promise((resolve) => {
    api.generation.onEnd.subscribe(
      { sessionId },
      {
        onStarted: () => (told.started += 1),
        onConnectionStateChange: ({ state }) => told.states.push(state),
        onData: (event) => told.data.push(event),
        onError: (error) => resolve({ ...told, error }),
        onComplete: () => resolve({ ...told, completed: true }),
      },
    );
  });
}

function ended({ data, states, started, error, completed }, id, status) {
  assert.equal(error, undefined);
  assert(completed);
  assert.deepEqual([data.length, started], [1, 1]);
  assert.equal(data[0].id, id);
  assert.equal(data[0].data.id, id);
  assert.equal(data[0].data.status, status);
  assert(data[0].data.created_at instanceof Date);
  assert(data[0].data.completed_at instanceof Date);
  assert.deepEqual(states, ['connecting', 'pending', 'idle']);
}

// One that has ended is told at once.
ended(await subscribed('header', failed), failed, 'failed');
assert.equal(requests, 1, 'and not asked for again');

// What is not there, not allowed or not right ends it, and says why.
for (const [sessionId, authorization, code] of [
  [foreign, `Bearer ${token}`, 'NOT_FOUND'],
  [failed, 'Bearer x.y.z', 'UNAUTHORIZED'],
  ['no id', `Bearer ${token}`, 'BAD_REQUEST'],
]) {
  for (const link of Object.keys(links)) {
    const { error, data } = await subscribed(link, sessionId, authorization);
    assert(error instanceof TRPCClientError, String(error));
    assert.equal(error.data.code, code);
    assert.equal(error.data.path, 'generation.onEnd');
    assert.deepEqual(data, []);
  }
}

// One that is open is told when it ends, to all that wait for it.
requests = 0;
const all = await Promise.all(['header', 'params', 'header'].map((link) => subscribed(link, open)));
for (const each of all) ended(each, open, 'completed');
assert.match(all[0].data[0].data.result_url, /\/results\//);
assert.equal(requests, 2);
