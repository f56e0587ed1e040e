// The client of docs/waiting.md, compiled: node told.mjs <its module> <token> <generation>.
// Prints what it is told of the generation's end. Node has no EventSource of its own, as browsers do.

import { pathToFileURL } from 'node:url';
import { EventSource } from 'eventsource';

globalThis.EventSource = EventSource;
const [path, token, sessionId] = process.argv.slice(2);
const { untilEnd } = await import(pathToFileURL(path));
console.log(await untilEnd(sessionId, async () => token));
