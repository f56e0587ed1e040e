#!/usr/bin/env bash
# npm standardwebhooks 1.1.1: a body that is a Uint8Array is refused, with the bytes that were signed in it.
#
# `verify(payload, headers)` takes a string or a Buffer. Whether it is a Buffer it asks the constructor's name. What the
# web platform gives for a body (`new Uint8Array(await request.arrayBuffer())`, `request.bytes()`) is none, though each
# Buffer is a Uint8Array: it throws a plain Error, not the WebhookVerificationError that a receiver answers with 400.
#
# Seen: one signed body as string, Buffer and Uint8Array of the same bytes. Expected: all three are verified, or the third
# is refused with the package's own error. Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" standardwebhooks@1.1.1 >/dev/null

cat >"$folder/body.cjs" <<'JAVASCRIPT'
const assert = require("node:assert");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const webhook = new Webhook("whsec_" + "c2VjcmV0".repeat(4));
const text = '{"type":"credits.low"}';
const now = new Date();
const headers = {
  "webhook-id": "evt_1",
  "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
  "webhook-signature": webhook.sign("evt_1", now, text),
};
const seen = {};
for (const body of [text, Buffer.from(text), new Uint8Array(Buffer.from(text))]) {
  const kind = typeof body === "string" ? "string" : body.constructor.name;
  try {
    seen[kind] = webhook.verify(body, headers).type;
  } catch (error) {
    seen[kind] = error instanceof WebhookVerificationError ? "refused" : "another error";
  }
}
console.log(seen);
assert.deepStrictEqual(
  seen,
  { string: "credits.low", Buffer: "credits.low", Uint8Array: "another error" },
  "a body of bytes is taken otherwise by now",
);
JAVASCRIPT

node "$folder/body.cjs"
echo "standardwebhooks 1.1.1 (npm): a body that is a Uint8Array throws a plain error"
