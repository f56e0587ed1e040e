// What an app's compiler knows of /api/trpc. Compiled by the tests, not run: what must be an error
// is marked as one, and a mark without an error is an error, too.

import { createTRPCClient, httpBatchStreamLink, TRPCClientError } from '@trpc/client';
import type { inferRouterInputs, inferRouterOutputs, TRPC_ERROR_CODE_KEY } from '@trpc/server';
import superjson from 'superjson';
import type { AppRouter, Balance, FailureCode, Generation, Pack, Transaction } from './storecredit';

const api = createTRPCClient<AppRouter>({
  links: [httpBatchStreamLink({ url: '/api/trpc', transformer: superjson })],
});

// @ts-expect-error the transformer is part of the type: without it dates would be strings
httpBatchStreamLink<AppRouter>({ url: '/api/trpc' });

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<_Holds extends true>() {}

type Inputs = inferRouterInputs<AppRouter>;
type Outputs = inferRouterOutputs<AppRouter>;
type Status = 'queued' | 'processing' | 'completed' | 'failed';

export async function credits() {
  const balance = await api.credits.getBalance.query();
  is<Equal<typeof balance, Balance>>();
  is<Equal<typeof balance.updated_at, Date>>();
  is<Equal<typeof balance.balance, number>>();
  is<Equal<typeof balance.held, number | undefined>>();
  // @ts-expect-error it is there only where something will expire
  balance.expiring[0];
  is<Equal<NonNullable<typeof balance.expiring>[number]['expires_at'], Date>>();
  // @ts-expect-error there is no such field
  balance.credits;
  // @ts-expect-error it takes no input
  await api.credits.getBalance.query({});
  // @ts-expect-error it is a query
  api.credits.getBalance.mutate;

  const rows = await api.credits.getTransactions.query();
  is<Equal<typeof rows, Transaction[]>>();
  await api.credits.getTransactions.query({});
  await api.credits.getTransactions.query({ limit: 5, offset: undefined });
  // @ts-expect-error the name is limit
  await api.credits.getTransactions.query({ limits: 5 });
  // @ts-expect-error a number
  await api.credits.getTransactions.query({ limit: '5' });
  for (const row of rows) {
    switch (row.type) {
      case 'generation':
      case 'clawback':
      case 'refund':
      case 'signup_bonus':
      case 'purchase':
      case 'grant':
      case 'hold':
      case 'capture':
      case 'release':
      case 'hold_expiry':
      case 'expiry':
      case 'rollover':
      case 'reissue':
      case 'removal':
      case 'transfer_in':
      case 'transfer_out':
        break;
      default:
        row.type satisfies never;
    }
  }

  is<Equal<Outputs['credits']['getPacks'], Pack[]>>();
  const { checkoutUrl, transactionId } = await api.credits.purchase.mutate({ packId: 'small' });
  is<Equal<typeof checkoutUrl | typeof transactionId, string>>();
  // @ts-expect-error a pack is needed
  await api.credits.purchase.mutate({});
}

export async function generations(url: string) {
  const { sessionId, status } = await api.generation.create.mutate({ modelImageUrl: url });
  is<Equal<typeof status, Status>>();
  await api.generation.create.mutate({
    modelImageUrl: url,
    outfitImageUrl: null,
    accessories: [{ type: 'hat', url }],
  });
  // @ts-expect-error the name is modelImageUrl
  await api.generation.create.mutate({ modelImageURL: url });
  // @ts-expect-error the name is outfitImageUrl
  await api.generation.create.mutate({ modelImageUrl: url, outfitUrl: url });
  // @ts-expect-error an accessory has a url
  await api.generation.create.mutate({ modelImageUrl: url, accessories: [{ type: 'hat' }] });

  const session = await api.generation.getById.query({ sessionId });
  is<Equal<typeof session, Generation>>();
  is<Equal<typeof session.completed_at, Date | null>>();
  is<Equal<typeof session.error_code, FailureCode | null>>();
  is<Equal<typeof session.status, Status>>();
  // @ts-expect-error it may be null
  session.result_url.length;
  // @ts-expect-error there is no such code
  session.error_code === 'MODERATION_BLOKED';

  await api.generation.getById.query({ sessionId, wait: 30 });
  // @ts-expect-error a number of seconds
  await api.generation.getById.query({ sessionId, wait: '30' });

  api.generation.onEnd.subscribe(
    { sessionId },
    {
      onData(ended) {
        is<Equal<typeof ended, { id: string; data: Generation }>>();
      },
    },
  );
  // @ts-expect-error it is no query
  await api.generation.onEnd.query({ sessionId });

  await api.generation.getHistory.query();
  await api.generation.getHistory.query({ status: 'failed' });
  // @ts-expect-error there is no such status
  await api.generation.getHistory.query({ status: 'done' });
  type Page = Exclude<Inputs['generation']['getHistory'], void | undefined>;
  is<Equal<NonNullable<Page['status']>, Status>>();
  const { active } = await api.generation.getStats.query();
  is<Equal<typeof active, number>>();
  // @ts-expect-error there is no such procedure
  api.generation.remove;
}

export function code(error: unknown): TRPC_ERROR_CODE_KEY | undefined {
  if (error instanceof TRPCClientError) return (error as TRPCClientError<AppRouter>).data?.code;
  return undefined;
}
