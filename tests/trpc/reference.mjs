// The nine procedures on a real @trpc/server, over data that it is given: what storecredit's
// answers are held against. Reads one line of JSON from stdin, prints the port it listens on.

import { createInterface } from 'node:readline';
import { initTRPC, tracked, TRPCError } from '@trpc/server';
import { createHTTPServer } from '@trpc/server/adapters/standalone';
import superjson from 'superjson';
import { z } from 'zod';

const lines = createInterface({ input: process.stdin });
const given = await new Promise((resolve) => lines.once('line', resolve));
const { token, batchMax, balance, transactions, packs, generations, stats } =
  superjson.parse(given);

// Not a development server: no stack in its errors.
const t = initTRPC
  .context()
  .create({
    transformer: superjson,
    isDev: false,
    sse: { client: { reconnectAfterInactivityMs: 50_000 }, ping: { enabled: true, intervalMs: 20_000 } },
  });

const procedure = t.procedure.use(({ ctx, next }) => {
  if (ctx.authorization !== `Bearer ${token}`) {
    throw new TRPCError({ code: 'UNAUTHORIZED', message: 'Sign in: this needs a valid token.' });
  }
  return next();
});

const page = (most, otherwise) => ({
  limit: z.number().int().min(1).max(most).default(otherwise),
  offset: z.number().int().min(0).default(0),
});

const notFound = () =>
  new TRPCError({ code: 'NOT_FOUND', message: 'There is no such generation.' });

const generationOf = ({ sessionId }) => {
  const found = generations.find(({ id }) => id === sessionId.toLowerCase());
  if (!found) throw notFound();
  return found;
};

const router = t.router({
  credits: t.router({
    getBalance: procedure.query(() => balance),
    getTransactions: procedure
      .input(z.object(page(100, 50)).prefault({}))
      .query(({ input }) => transactions.slice(input.offset, input.offset + input.limit)),
    getPacks: procedure.query(() => packs),
    purchase: procedure
      .input(z.object({ packId: z.string() }))
      .mutation(() => ({ checkoutUrl: 'made', transactionId: 'made' })),
  }),
  generation: t.router({
    create: procedure
      .input(
        z.object({
          modelImageUrl: z.string(),
          outfitImageUrl: z.string().nullish(),
          accessories: z.array(z.object({ type: z.string(), url: z.string() })).nullish(),
          options: z.record(z.string(), z.string()).nullish(),
        }),
      )
      .mutation(() => ({
        sessionId: 'made',
        status: 'queued',
        message: 'Your generation has been queued.',
      })),
    getById: procedure
      .input(z.object({ sessionId: z.uuid(), wait: z.number().int().min(0).max(60).nullish() }))
      .query(({ input }) => generationOf(input)),
    onEnd: procedure
      .input(z.object({ sessionId: z.uuid(), lastEventId: z.string().nullish() }))
      .subscription(async function* ({ input }) {
        const found = generationOf(input);
        if (input.lastEventId !== found.id) yield tracked(found.id, found);
      }),
    getHistory: procedure
      .input(
        z
          .object({
            ...page(50, 20),
            status: z.enum(['queued', 'processing', 'completed', 'failed']).nullish(),
          })
          .prefault({}),
      )
      .query(({ input: { limit, offset, status } }) =>
        generations
          .filter((generation) => !status || generation.status === status)
          .slice(offset, offset + limit),
      ),
    getStats: procedure.query(() => stats),
  }),
});

const server = createHTTPServer({
  router,
  basePath: '/api/trpc/',
  allowMethodOverride: true,
  maxBatchSize: batchMax,
  createContext: ({ req }) => ({ authorization: req.headers.authorization }),
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
lines.once('close', () => process.exit());
