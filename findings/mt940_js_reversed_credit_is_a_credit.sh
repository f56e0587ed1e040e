#!/usr/bin/env bash
# mt940-js 1.0.0 (npm): a payment that the bank took back is told as one that came in, and with nothing to tell by.
#
# Field 61 of a bank statement in SWIFT's MT940 has four marks: C and D, and RC and RD for the reversal of a credit
# and of a debit. RC takes money off the account, RD brings it back. The package reads all four, and then makes
# `isCredit` of them by whether there is a C at the first or the second place: RC is a credit, RD is none. The
# amount bears no sign, the mark itself is not kept, and `isExpense` is true for all codes but three of two banks.
# Whoever books purchases by such statements books a payment that was taken back a second time, instead of taking
# its credits back. The statement's own balances show it: opening + credits - debits is not the closing balance.
# (The package also needs tslib, which it does not name among its dependencies; it is installed beside it here.)
#
# Seen: a credit, its reversal and another credit are equal but for their references, and the sums differ from the
# closing balance by twice the reversed amounts. Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts mt940-js@1.0.0 tslib@1.14.1

cat >read.js <<'JS'
const assert = require("node:assert");
const mt940 = require("mt940-js");

const lines = [
    ":20:STATEMENT", ":25:10020030/1234567", ":28C:1/1", ":60F:C260101EUR1000,00",
    ":61:2601020102C100,00NTRFORDER 1", ":86:paid",
    ":61:2601030103RC100,00NTRFORDER 1", ":86:the same, taken back by the bank",
    ":61:2601040104D20,00NTRFFEE", ":86:a fee",
    ":61:2601050105RD20,00NTRFFEE", ":86:the fee, given back",
    ":62F:C260105EUR1000,00", "-",
];

mt940.read(Buffer.from(lines.join("\r\n"))).then(([statement]) => {
    const told = statement.transactions.map(({ amount, isCredit, isExpense }) => ({ amount, isCredit, isExpense }));
    console.log(told);
    const [paid, takenBack, fee, givenBack] = told;
    assert.deepStrictEqual(takenBack, paid, "a reversal of a credit can be told from a credit");
    assert.deepStrictEqual(givenBack, fee, "a reversal of a debit can be told from a debit");
    const sum = told.reduce((total, each) => total + (each.isCredit ? each.amount : -each.amount), 0);
    const change = statement.closingBalance.value - statement.openingBalance.value;
    console.log({ sum, change });
    assert.strictEqual(change, 0);
    assert.strictEqual(sum, 2 * 100 - 2 * 20, "the entries add up to what the balances say");
});
JS
node read.js
