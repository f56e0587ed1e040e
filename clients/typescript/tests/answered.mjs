// The package, answered by a `fetch` of ours: what a service or a proxy may say, and what comes of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, Client, GenerationNotEnded, NoAnswer, UnexpectedAnswer } from "storecredit-client";

const pending = { session_id: "a", status: "processing", completed_at: null };
const ended = { ...pending, status: "completed", completed_at: "2026-11-30T10:00:07Z" };
const brief = { attemptsMax: 1, backoffSeconds: 0.001 };

const found = (generation) => Response.json({ data: generation, error: null });
const refused = (status, error) => Response.json({ data: null, error }, { status });
const page = (status, headers = {}) => new Response("<h1>nginx</h1>", { status, headers });

/** A client whose requests are answered so, one after the other, and what it asks for. */
function answered(policy, ...answers) {
  const asked = [];
  const fetch = async (request) => {
    asked.push(new URL(request.url).search);
    const answer = answers.shift();
    if (answer === undefined) {
      throw new TypeError("fetch failed", { cause: new Error("cut off.") });
    }
    return answer;
  };
  const options = { baseUrl: "https://credits.example", apiKey: "sc_live_a", policy, fetch };
  return { asked, client: new Client(options) };
}

test("a service that does not know how to wait is asked again; at the end of the time it is told", async () => {
  const details = [{ key: "wait", message: "Unknown." }];
  const unknown = refused(400, { code: "VALIDATION_ERROR", message: "No.", details });
  const many = Array.from({ length: 9 }, () => found(pending));
  const { asked, client } = answered(brief, unknown, ...many);
  const over = await client.waitForGeneration("a", { timeoutSeconds: 1.1 }).catch((error) => error);
  assert(over instanceof GenerationNotEnded, over);
  assert.equal(over.generation.status, "processing");
  assert.equal(asked[0], "?wait=1");
  assert(asked.length > 3 && asked.slice(1).every((search) => search === ""));
});

test("a service that goes away meanwhile is waited for", async () => {
  const away = refused(503, { code: "SERVICE_UNAVAILABLE", message: "Later." });
  const { asked, client } = answered(brief, page(502), found(pending), page(502), away, found(ended));
  assert.equal((await client.waitForGeneration("a")).status, "completed");
  assert.equal(asked.length, 5);
});

test("one that refuses for good, comes back too late or stays away is not", async () => {
  const revoked = refused(401, { code: "API_KEY_REVOKED", message: "No." });
  const late = page(503, { "Retry-After": "301" });
  for (const [kind, asks, ...answers] of [
    [ApiError, 2, found(pending), revoked],
    [UnexpectedAnswer, 2, found(pending), late],
  ]) {
    const { asked, client } = answered(brief, ...answers);
    await assert.rejects(client.waitForGeneration("a"), kind);
    assert.equal(asked.length, asks);
  }
  const { client } = answered(brief, found(pending));
  const gone = await client.waitForGeneration("a", { timeoutSeconds: 0.5 }).catch((error) => error);
  assert(gone instanceof NoAnswer, gone);
  assert.match(gone.message, /once: cut off\.$/);
});

test("what stands before the service may refuse for now", async () => {
  for (const status of [408, 429, 502, 503, 504, 520, 524]) {
    const policy = { ...brief, attemptsMax: 2 };
    const { asked, client } = answered(policy, page(status), found(ended));
    await client.getGeneration("a");
    assert.equal(asked.length, 2, String(status));
  }
});

test("a redirect is not followed, and says where it leads", async () => {
  const location = "https://other.example/";
  const { client } = answered(brief, page(301, { location }));
  const moved = await client.getBalance().catch((error) => error);
  assert(moved instanceof UnexpectedAnswer, moved);
  assert.match(moved.message, /301, which leads to "https:..other\.example."/);
  assert.equal(moved.location, location);
});

test("a message names what was at fault, and once", async () => {
  const details = [{ key: "credits", message: "It is from 4 to 5,000." }];
  const error = { code: "VALIDATION_ERROR", message: "It is from 4 to 5,000.", details };
  const { client } = answered(brief, refused(400, error));
  const told = "VALIDATION_ERROR: It is from 4 to 5,000. (credits)";
  await assert.rejects(client.getBalance(), { message: told });
});
