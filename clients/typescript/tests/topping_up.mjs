// Credits bought by themselves: `node topping_up.mjs URL KEY`, of a store with a subscription and 800.

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { Client } from "storecredit-client";

const [baseUrl, apiKey] = process.argv.slice(2);
const client = new Client({ baseUrl, apiKey });

const off = await client.getTopUp();
assert.deepEqual([off.status, off.threshold], ["off", null]);
const on = await client.setTopUp({ threshold: 700, credits: 50, max_per_day: 2 });
assert.deepEqual([on.status, on.amount, on.max_per_month], ["on", 900, 10]);
await client.spendCredits({ amount: 100 });
const isBought = ({ bought_today, under_way }) => bought_today === 1 && !under_way;
while (!isBought(await client.getTopUp())) {
  await setTimeout(50);
}
const bought = [];
for await (const { amount, request_id } of client.listTransactions({ type: "purchase" })) {
  bought.push([amount, request_id]);
}
assert.deepEqual(bought, [[50, "top-up-1"]]);
assert.equal((await client.getBalance()).balance, 750);
assert.equal((await client.deleteTopUp()).status, "off");
assert.deepEqual(await client.getTopUp(), off);
