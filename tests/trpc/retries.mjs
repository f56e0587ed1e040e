// The client of docs/b2c.md, compiled: node retries.mjs <its module> <token> <image> <image> <image>.
// Asks for a generation of each image at once; prints the sessions, in their order.

import { pathToFileURL } from 'node:url';

const [path, token, ...images] = process.argv.slice(2);
const { createApi } = await import(pathToFileURL(path));
const api = createApi(async () => token);
const made = await Promise.all(
  images.map((modelImageUrl) => api.generation.create.mutate({ modelImageUrl })),
);
console.log(JSON.stringify(made.map(({ sessionId }) => sessionId)));
