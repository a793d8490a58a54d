// Answers questions about an MCP server: one line of JSON in, one line of JSON out. The client is
// that of the SDK given to `answering`, which names what the two SDKs name differently.

import { createInterface } from "node:readline";

const PATIENCE = 30_000;

export const IDENTITY = { name: "northgate-tests", version: "1.0" };

export const SAID = { role: "assistant", model: "fixed", content: { type: "text", text: "Four." } };

export const ROOTS = { roots: [{ uri: "file:///srv/work", name: "work" }] };

export async function answering(sdk) {
  let connection;
  for await (const line of createInterface({ input: process.stdin })) {
    const { ask, ...question } = JSON.parse(line);
    let answer;
    try {
      if (ask === "connect") {
        connection = await connected(sdk, question);
        answer = { version: sdk.version(connection), offers: connection.client.getServerCapabilities() };
      } else {
        answer = (await ANSWERS[ask](connection, question, sdk)) ?? {};
      }
    } catch (error) {
      answer = { failed: failure(error) };
    }
    console.log(JSON.stringify(answer));
  }
  process.exit();
}

async function connected(sdk, { url, token, era, declares = {} }) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const transport = sdk.transport(new URL(url), { requestInit: { headers } });
  const connection = { client: sdk.client(era, declares), transport, asked: [], told: [] };
  const { client, asked, told } = connection;
  client.fallbackNotificationHandler = async ({ method, params }) => void told.push({ method, params });
  for (const [capability, method, answer] of REQUESTS) {
    if (declares[capability]) {
      sdk.answer(client, method, async ({ params = {} }) => {
        asked.push({ method, params });
        return answer(params);
      });
    }
  }
  await client.connect(transport, { timeout: PATIENCE });
  return connection;
}

// What a server may ask, and what it is always answered.
const REQUESTS = [
  ["sampling", "sampling/createMessage", () => SAID],
  ["elicitation", "elicitation/create", (params) => accepted(params)],
  ["roots", "roots/list", () => ROOTS],
];

function accepted({ mode, requestedSchema }) {
  if (mode === "url") return { action: "accept" };
  const { properties, required = [] } = requestedSchema;
  const content = Object.fromEntries(required.map((name) => [name, filled(properties[name])]));
  return { action: "accept", content };
}

function filled({ type, oneOf, enum: options }) {
  return oneOf?.[0].const ?? options?.[0] ?? { boolean: true, integer: 1, number: 1 }[type] ?? "Ada";
}

const ANSWERS = {
  tools: ({ client }) => client.listTools(),
  prompts: ({ client }) => client.listPrompts(),
  resources: ({ client }) => client.listResources(),
  templates: ({ client }) => client.listResourceTemplates(),
  call: async ({ client }, { reports, ...params }, sdk) => {
    const progress = [];
    const options = reports ? { onprogress: (report) => progress.push(report) } : {};
    return { ...(await sdk.call(client, params, { timeout: PATIENCE, ...options })), progress };
  },
  read: ({ client }, params) => client.readResource(params),
  prompt: ({ client }, params) => client.getPrompt(params),
  complete: ({ client }, params) => client.complete(params),
  subscribe: ({ client }, params) => client.subscribeResource(params),
  unsubscribe: ({ client }, params) => client.unsubscribeResource(params),
  level: ({ client }, { level }) => client.setLoggingLevel(level),
  ping: ({ client }) => client.ping(),
  listen: async (connection, { filter }) => {
    connection.heard = await connection.client.listen(filter);
    return connection.heard.honoredFilter;
  },
  // Tasks, for the SDK that has them.
  task: ({ client }, params, sdk) => sdk.task(client, params, { timeout: PATIENCE }),
  tasks: ({ client }, _, sdk) => sdk.tasks(client),
  status: ({ client }, { id }, sdk) => sdk.status(client, id),
  outcome: ({ client }, { id }, sdk) => sdk.outcome(client, id),
  cancel: ({ client }, { id }, sdk) => sdk.cancel(client, id),
  // What the server has asked and told by now, or once it has told *method*.
  seen: async ({ asked, told }, { method }) => {
    const end = Date.now() + PATIENCE;
    while (method && !told.some((one) => one.method === method)) {
      if (Date.now() > end) throw new Error(`nothing was told of ${method}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return { asked, told };
  },
  close: async ({ client, transport }) => {
    if (transport.sessionId) await transport.terminateSession();
    await client.close();
  },
};

function failure({ name, constructor, code, message, data, status }) {
  return { name: constructor?.name ?? name, code, message, data, status };
}
