// Preloaded into the conformance suite, which cannot send a token: all its HTTP requests get one.

import http from 'node:http';
import { createRequire, syncBuiltinESMExports } from 'node:module';

const authorization = `Bearer ${process.env.CONFORMANCE_TOKEN}`;

/** Adds the token to headers in any of the forms that undici and `node:http` take. */
function authorised(headers) {
  if (Array.isArray(headers)) return [...headers, 'authorization', authorization];
  if (headers?.[Symbol.iterator]) return [...[...headers].flat(), 'authorization', authorization];
  return { ...headers, authorization };
}

// `fetch` and `undici.request` both go through the dispatcher that undici keeps for all its copies.
const { Agent, setGlobalDispatcher } = createRequire(process.argv[1])('undici');
setGlobalDispatcher(
  new Agent().compose((dispatch) => (options, handler) =>
    dispatch({ ...options, headers: authorised(options.headers) }, handler)),
);

const request = http.request;
http.request = (...args) => {
  const at = args.findIndex((arg) => typeof arg === 'object' && !(arg instanceof URL));
  if (at === -1) args.splice(1, 0, { headers: authorised() });
  else args[at] = { ...args[at], headers: authorised(args[at].headers) };
  return request(...args);
};
syncBuiltinESMExports();
