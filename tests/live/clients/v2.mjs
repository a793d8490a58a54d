// The client of the TypeScript SDK, version 2, which speaks both eras and is legacy unless told.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { IDENTITY, answering } from "./answering.mjs";

// How a client chooses a version: by default, by asking the server, or not at all.
const NEGOTIATIONS = {
  default: undefined,
  auto: { mode: "auto" },
  pinned: { mode: { pin: "2026-07-28" } },
};

await answering({
  client: (era, capabilities) =>
    new Client(IDENTITY, { capabilities, versionNegotiation: NEGOTIATIONS[era] }),
  transport: (url, options) => new StreamableHTTPClientTransport(url, options),
  version: ({ client }) => client.getNegotiatedProtocolVersion(),
  answer: (client, method, handler) => client.setRequestHandler(method, handler),
  call: (client, params, options) => client.callTool(params, options),
});
