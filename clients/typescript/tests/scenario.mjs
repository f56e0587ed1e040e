// The package as an app uses it, against the real service: `node scenario.mjs RELAY KEY IMAGE`.
//
// The relay passes on, loses answers and refuses as it is told (tests/clients/relay.py).

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { mock, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Webhook } from "standardwebhooks";
import {
  ApiError,
  Client,
  NoAnswer,
  UnexpectedAnswer,
  WebhookRefused,
} from "storecredit-client";
import { verified } from "storecredit-client/webhooks";
import { pauseSeconds, retryAfterSeconds } from "../dist/retrying.js";
import "./answered.mjs";

const [relay, apiKey, image] = process.argv.slice(2);
const policy = { backoffSeconds: 0.01, backoffMaxSeconds: 0.01 };
const client = new Client({ baseUrl: relay, apiKey, policy });

/** Have the relay do this with the next requests. */
async function fates(...told) {
  await fetch(`${relay}/fates`, { method: "POST", body: JSON.stringify(told) });
}

async function all(list) {
  const found = [];
  for await (const item of list) {
    found.push(item);
  }
  return found;
}

function counting() {
  const sent = [];
  const counted = (request) => {
    sent.push(request);
    return fetch(request);
  };
  return { sent, client: new Client({ baseUrl: relay, apiKey, policy, fetch: counted }) };
}

test("a spend whose answer is lost after the commit is charged once", async () => {
  const { balance } = await client.getBalance();
  await fates("lose", "lose");
  const { sent, client: counted } = counting();
  const spent = await counted.spendCredits({ amount: 7, metadata: { order: "1" } });
  assert.equal(spent.balance, balance - 7);
  assert.equal(new Set(sent.map((request) => request.headers.get("idempotency-key"))).size, 1);
  assert.equal(sent.length, 3);
  const taken = await all(client.listTransactions({ request_id: spent.request_id }));
  assert.deepEqual(
    taken.map(({ type, amount }) => [type, amount]),
    [["deduction", 7]],
  );
  assert.deepEqual((await client.getSpend(spent.request_id)).metadata, { order: "1" });
});

test("what failed for good is found out under the same key", async () => {
  const idempotencyKey = 'a/"b" \\ ..';
  await fates("lose", "lose", "lose", "lose", "lose");
  const lost = await client.spendCredits({ amount: 3 }, { idempotencyKey }).catch((error) => error);
  assert(lost instanceof NoAnswer, lost);
  assert.match(lost.message, /asked 5 times.*Whether it was done is not known/);
  assert.equal(lost.idempotencyKey, idempotencyKey);
  const { response } = await client.paths.GET("/api/v1/credits/balance");
  const again = await client.spendCredits({ amount: 3 }, { idempotencyKey });
  assert.equal(again.balance, Number(response.headers.get("x-credits-remaining")));
  assert.equal((await client.refundSpend(idempotencyKey, { amount: 1 })).refundable, 2);
  for (const wrong of ["", " a", "ä", "a\n", "a".repeat(201)]) {
    assert.throws(() => client.spendCredits({ amount: 3 }, { idempotencyKey: wrong }), RangeError);
  }
});

test("what changes something and has no key is sent once", async () => {
  await fates("lose");
  const lost = client.paths.POST("/api/v1/credits/spend", { body: { amount: 1 } });
  await assert.rejects(lost, /asked once/);
});

test("who is told to come back comes back then, and not sooner", async () => {
  await fates({ retry_after: "1" });
  const begun = performance.now();
  await client.getBalance();
  assert(performance.now() - begun >= 1000);
  const usual = { attemptsMax: 5, backoffSeconds: 1, backoffMaxSeconds: 4 };
  for (const [attempt, longest] of [1, 2, 4, 4].entries()) {
    const pause = pauseSeconds(usual, attempt + 1, undefined);
    assert(longest / 2 <= pause && pause <= longest);
    assert(pauseSeconds(usual, attempt + 1, 7) > 7);
  }
  const date = "Mon, 30 Nov 2026 10:00:00 GMT";
  const told = (after) => retryAfterSeconds(new Headers({ "retry-after": after, date }));
  assert.equal(told("Mon, 30 Nov 2026 10:00:09 GMT"), 9);
  assert.equal(told("Sun, 06 Nov 1994 08:49:37 GMT"), 0);
  assert.equal(told("7"), 7);
  assert.equal(told("soon"), undefined);
});

test("a link to the portal is made for each who asks", async () => {
  const link = await client.createPortalSession();
  assert.match(link.url, /\/portal\/sign-in\/[\w-]{43}$/);
  const other = await client.createPortalSession({ expires_in_seconds: 60, sign_in_seconds: 60 });
  assert.notEqual(other.url, link.url);
  assert(new Date(other.expires_at) < new Date(link.expires_at));
});

test("errors are of their code", async () => {
  const poor = await client.spendCredits({ amount: 1_000_000 }).catch((error) => error);
  assert(poor instanceof ApiError, poor);
  assert.equal(poor.code, "INSUFFICIENT_CREDITS");
  assert.equal(poor.body.required, 1_000_000);
  assert.equal(poor.requestId, poor.idempotencyKey);
  const wrong = await all(client.listGrants({ limit: 0 })).catch((error) => error);
  assert(wrong.names("limit"), wrong);
  assert.match(wrong.message, /\(limit: Expected .* >= 1\.\)$/);
  await assert.rejects(client.getGeneration("none"), { code: "NOT_FOUND", status: 404 });
  await assert.rejects(client.createCheckout({ credits: 100 }), { code: "NOT_FOUND" });
  await fates({ retry_after: "86400" });
  await assert.rejects(client.getBalance(), UnexpectedAnswer);
  const page = () => Promise.resolve(new Response("<h1>Hotel Wi-Fi</h1>"));
  const behind = new Client({ baseUrl: relay, apiKey, fetch: page });
  await assert.rejects(behind.getBalance(), /Not an answer of storecredit: 200.*Hotel Wi-Fi/);
  const other = () => Promise.resolve(Response.json({ balance: 5 }));
  const elsewhere = new Client({ baseUrl: relay, apiKey, fetch: other });
  await assert.rejects(elsewhere.getBalance(), UnexpectedAnswer);
  for (const id of ["", ".", ".."]) {
    assert.throws(() => client.getSpend(id), RangeError);
  }
});

test("lists are of all pages", async () => {
  const items = [1, 2, 3, 4, 5].map((number) => ({ request_id: `call-${number}`, amount: 1 }));
  const answered = await client.spendCreditsInBatch({ items: [...items, items[0]] });
  assert.deepEqual(
    answered.items.map(({ outcome }) => outcome),
    ["spent", "spent", "spent", "spent", "spent", "replayed"],
  );
  const { sent, client: counted } = counting();
  const deductions = await all(counted.listTransactions({ type: "deduction", limit: 3 }));
  assert(sent.length > 2);
  assert.deepEqual(
    deductions.slice(0, 5).map(({ request_id }) => request_id),
    ["call-5", "call-4", "call-3", "call-2", "call-1"],
  );
  assert.equal(new Set(deductions.map(({ seq }) => seq)).size, deductions.length);
  assert.deepEqual(await all(client.listGenerations({ status: "failed" })), []);
});

test("a hold is extended and captured", async () => {
  await fates("lose", "pass", "lose", "pass", "lose");
  const hold = await client.createHold({ amount: 30, description: "A film" });
  const extended = await client.extendHold(hold.hold_id, { expires_in_seconds: 3600 });
  assert(extended.expires_at > hold.expires_at);
  const over = await client.captureHold(hold.hold_id, { amount: 12 });
  assert.deepEqual([over.captured, over.released], [12, 18]);
  const ended = await client.releaseHold(hold.hold_id).catch((error) => error);
  assert.deepEqual([ended.code, ended.body.status], ["HOLD_ENDED", "captured"]);
  assert.equal((await client.getHold(hold.hold_id)).status, "captured");
  assert.equal((await all(client.listHolds({ status: "held" }))).length, 0);
});

test("a generation is waited for", async () => {
  const made = await client.createGeneration({ image_urls: [image] });
  const blocked = await client.createGeneration({ image_urls: [image], prompt: "forbidden" });
  const [done, failed] = await Promise.all([
    client.waitForGeneration(made.session_id),
    client.waitForGeneration(blocked.session_id),
  ]);
  assert.deepEqual([done.status, done.credits_refunded], ["completed", 0]);
  assert.deepEqual([failed.status, failed.error_code], ["failed", "MODERATION_BLOCKED"]);
  const atOnce = await client.createGeneration({ image_urls: [image] }, { wait: 30 });
  assert.equal(atOnce.generation.status, "completed");
  const { session_id } = await client.createGeneration({ image_urls: [image] });
  assert.equal((await client.getGeneration(session_id, { wait: 30 })).status, "completed");
});

test("a signal ends a call and a pause", async () => {
  await fates({ retry_after: "30" });
  const stop = new AbortController();
  const asked = client.getBalance({ signal: stop.signal });
  const stopped = new Client({ baseUrl: relay, apiKey }).getBalance({ signal: AbortSignal.abort() });
  await assert.rejects(stopped, { name: "AbortError" });
  stop.abort();
  await assert.rejects(asked, { name: "AbortError" });
  await fates();
});

test("an attempt that takes too long is given up, and another one made", async () => {
  let asked = 0;
  const slow = (request) => {
    asked += 1;
    return new Promise((_, reject) => {
      request.signal.addEventListener("abort", () => reject(request.signal.reason));
    });
  };
  const limits = { ...policy, attemptSeconds: 0.02, attemptsMax: 3 };
  const patient = new Client({ baseUrl: relay, apiKey, policy: limits, fetch: slow });
  await assert.rejects(patient.getBalance(), /asked 3 times: there was none within 0.02 s/);
  assert.equal(asked, 3);
});

test("every operation of a store's key has a method", async () => {
  const { paths } = JSON.parse(await readFile(new URL("../../../docs/openapi.json", import.meta.url)));
  const operations = Object.values(paths).flatMap((item) => Object.values(item));
  const forStores = operations.filter(({ security }) => security?.some((one) => "api_key" in one));
  assert(forStores.length > 15);
  for (const { operationId } of forStores) {
    assert.equal(typeof client[operationId], "function", operationId);
  }
});

test("what is no address and no key is refused before anything is sent", () => {
  for (const baseUrl of ["credits.example", "ftp://credits.example", "https://a.example/?b"]) {
    assert.throws(() => new Client({ baseUrl, apiKey }));
  }
  for (const wrong of ["", "sc_live_a\n", "sc live"]) {
    assert.throws(() => new Client({ baseUrl: relay, apiKey: wrong }), RangeError);
  }
});

test("a webhook is read if it was signed with the secret", () => {
  const secret = `whsec_${btoa("0123456789abcdef0123456789abcdef")}`;
  const other = `whsec_${btoa("abcdef0123456789abcdef0123456789")}`;
  const body = '{"type": "credits.lost", "note": "für später"}';
  const signed = (text, moment = new Date(), ...secrets) => ({
    "Webhook-Id": "msg_1",
    "Webhook-Timestamp": String(Math.floor(moment.getTime() / 1000)),
    "Webhook-Signature": (secrets.length ? secrets : [secret])
      .map((each) => new Webhook(each).sign("msg_1", moment, text))
      .join(" "),
  });
  const event = { type: "unknown", body: { type: "credits.lost", note: "für später" } };
  const bytes = new TextEncoder().encode(body);
  const headers = signed(body, new Date(), other, secret);
  assert.deepEqual(verified(body, headers, secret), event);
  assert.deepEqual(verified(bytes, new Headers(headers), secret), event);
  assert.deepEqual(verified(Buffer.from(bytes), { ...headers, cookie: ["a", "b"] }, secret), event);
  const old = new Date(Date.now() - 400_000);
  for (const [text, wrong] of [
    [body, signed(body, new Date(), other)],
    [body, signed(body, old)],
    [`${body} `, signed(body)],
    [body, {}],
    ["", signed("")],
    ["[1]", signed("[1]")],
    [Uint8Array.of(255), signed(body)],
  ]) {
    assert.throws(() => verified(text, wrong, secret), WebhookRefused);
  }
  assert.throws(() => verified(body, signed(body), "whsec_"), RangeError);
});

test("what a registered endpoint is told is verified and typed", async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  const url = `http://127.0.0.1:${port}/`;
  const made = await client.createWebhook({ url, event_types: ["hold.expired"] });
  const asked = once(server, "request");
  const { event_id } = await client.testWebhook(made.endpoint_id);
  const [request, response] = await asked;
  const pieces = [];
  for await (const piece of request) {
    pieces.push(piece);
  }
  response.writeHead(204).end();
  const body = Buffer.concat(pieces);
  const event = verified(body, request.headers, made.secret);
  assert.equal(event.type, "webhook.test");
  assert.equal(event.data.endpoint_id, made.endpoint_id);
  assert.equal(request.headers["webhook-id"], event_id);
  const [told] = await all(client.listWebhookDeliveries(made.endpoint_id));
  assert.deepEqual([told.event_id, told.type], [event_id, "webhook.test"]);
  assert.equal((await client.getWebhookDelivery(made.endpoint_id, event_id)).body, body.toString());
  assert.throws(() => verified(body, request.headers, `whsec_${btoa("another")}`), WebhookRefused);
  // What was answered is written down a moment later; one that is under way fails with its endpoint.
  while ((await client.getWebhookDelivery(made.endpoint_id, event_id)).status !== "delivered") {
    await pause(20);
  }
  server.close();
  await fates("lose");
  const changed = await client.updateWebhook(made.endpoint_id, { ordered: true });
  assert.deepEqual([changed.ordered, changed.url], [true, url]);
  // A delivery that fails meanwhile says since when.
  const { failing_since, ...listed } = (await client.listWebhooks()).items[0];
  assert.deepEqual({ ...listed, failing_since: changed.failing_since }, changed);
  assert.equal((await client.disableWebhook(made.endpoint_id)).status, "disabled");
  assert.equal((await client.enableWebhook(made.endpoint_id)).status, "enabled");
  assert.notEqual((await client.rotateWebhookSecret(made.endpoint_id)).secret, made.secret);
  const failed = { since: made.created_at, status: "failed" };
  assert.equal((await client.resendWebhookDeliveries(made.endpoint_id, failed)).resent, 0);
  assert.equal((await client.resendWebhookDelivery(made.endpoint_id, event_id)).resent, 1);
  await fates("lose");
  await assert.rejects(client.deleteWebhook(made.endpoint_id), NoAnswer);
  await assert.rejects(client.getWebhook(made.endpoint_id), { code: "NOT_FOUND" });
});

test("the examples of the README run as they stand", async () => {
  const said = [];
  mock.method(console, "log", (...words) => said.push(words.join(" ")));
  await import("./made/js/made/readme-1.js");
  await import("./made/js/made/readme-2.js");
  assert.match(said[0], /^5 taken, \d+ left$/);
  assert.equal(said[1], "completed, 0 given back");
  assert.match(said[2], /^deduction 1 \d+$/);
  assert.match(said.at(-1), /^1000000 are needed, \d+ are there$/);
  const { receive } = await import("./made/js/made/readme-3.js");
  const secret = `whsec_${btoa("0123456789abcdef")}`;
  const low = { type: "credits.low", version: 1, data: { balance: 50 } };
  const body = JSON.stringify(low);
  const moment = new Date();
  const headers = {
    "webhook-id": "msg_1",
    "webhook-timestamp": String(Math.floor(moment.getTime() / 1000)),
    "webhook-signature": new Webhook(secret).sign("msg_1", moment, body),
  };
  const sent = (text) => new Request("http://a.example", { method: "POST", body: text, headers });
  assert.equal((await receive(sent(body), secret)).status, 200);
  assert.equal((await receive(sent("{}"), secret)).status, 400);
  assert.equal(said.at(-1), "Only 50 credits left");
});
