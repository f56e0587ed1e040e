// What the official client does where a stream ends before its event: node comes-again.mjs <url>
// <token> <generation>. Prints how often it was connected, and what it was told.

import { createTRPCClient, httpSubscriptionLink } from '@trpc/client';
import { EventSource } from 'eventsource';
import superjson from 'superjson';

const [url, token, sessionId] = process.argv.slice(2);
const api = createTRPCClient({
  links: [
    httpSubscriptionLink({
      url,
      transformer: superjson,
      EventSource,
      connectionParams: { token },
    }),
  ],
});
let connected = 0;
const told = [];
await new Promise((resolve, reject) =>
  api.generation.onEnd.subscribe(
    { sessionId },
    {
      onStarted: () => (connected += 1),
      onData: ({ data }) => told.push(data.status),
      onError: reject,
      onComplete: resolve,
    },
  ),
);
console.log(JSON.stringify({ connected, told }));
