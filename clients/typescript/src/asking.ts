/** How a method asks: what it takes, what it gives, and lists over all their pages. */

import { StorecreditError } from "./errors.js";
import { keyFor, structured } from "./fetching.js";
import type * as api from "./openapi.js";

export const PAGE_MAX = 100;

/** What every method takes: an end to it. */
export interface ReadOptions {
  readonly signal?: AbortSignal;
}

/**
 * What a method that changes something takes, too: the name under which it is done once. It is made
 * if it is not given, and is the same in all attempts of one call.
 */
export interface ChangeOptions extends ReadOptions {
  readonly idempotencyKey?: string;
}

/** What an operation takes in its query. */
export type Query<Operation extends keyof api.operations> = NonNullable<
  api.operations[Operation]["parameters"]["query"]
>;
/** The media type of every answer. */
export type Json = "application/json";
export type Page<Item> = { readonly items: readonly Item[]; readonly next_cursor: string | null };
export type Got<Data> = { readonly data?: { readonly data: Data }; readonly response: Response };

/** The items of all pages, each page when it is come to; `ask` is given the cursor of a page. */
export async function* items<Item>(
  ask: (page: { cursor?: string }) => Promise<Got<Page<Item>>>,
): AsyncGenerator<Item, void, undefined> {
  let asked: { cursor?: string } = {};
  for (;;) {
    const page = await data(ask(asked));
    yield* page.items;
    if (page.next_cursor === null) {
      return;
    }
    if (page.next_cursor === asked.cursor) {
      throw new StorecreditError("The list does not go on: its next page is the one that was read.");
    }
    asked = { cursor: page.next_cursor };
  }
}

/** What an answer of success holds. */
export async function data<Data>(got: Promise<Got<Data>>): Promise<Data> {
  const { data: envelope } = await got;
  if (envelope === undefined) {
    throw new TypeError("An answer of success has data: `refusing` sees to it.");
  }
  return envelope.data;
}

/** The options of a call that reads. */
export function read(options: ReadOptions = {}) {
  return options.signal === undefined ? {} : { signal: options.signal };
}

/** The options of a call that changes something, with its key. */
export function change(options?: ChangeOptions): {
  params: { header: { "Idempotency-Key": string } };
  signal?: AbortSignal;
};
export function change<Path>(
  options: ChangeOptions | undefined,
  path: Path,
): { params: { header: { "Idempotency-Key": string }; path: Path }; signal?: AbortSignal };
export function change<Path>(options: ChangeOptions = {}, path?: Path) {
  const header = { "Idempotency-Key": structured(keyFor(options.idempotencyKey)) };
  return { params: { header, ...(path === undefined ? {} : { path }) }, ...read(options) };
}

/** One part of a path; one of dots alone leads elsewhere, however it is encoded (URL standard, 4.4). */
export function part(name: string): string {
  if (/^\.{0,2}$/.test(name)) {
    throw new RangeError(`${JSON.stringify(name)} is no id that an address can hold.`);
  }
  return name;
}
