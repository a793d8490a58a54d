// The client of the TypeScript SDK, version 1, which speaks the legacy versions.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTaskStore } from "@modelcontextprotocol/sdk/experimental/tasks";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CallToolResultSchema,
  CreateMessageRequestSchema,
  CreateTaskResultSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";

import { IDENTITY, answering } from "./answering.mjs";

const SCHEMAS = {
  "sampling/createMessage": CreateMessageRequestSchema,
  "elicitation/create": ElicitRequestSchema,
  "roots/list": ListRootsRequestSchema,
};

// A server that asks for a task is given one, which is done as soon as it has begun.
const perhapsAsTask = (handler) => async (request, { taskStore }) => {
  const result = await handler(request);
  if (!request.params?.task) return result;
  const task = await taskStore.createTask({ ttl: request.params.task.ttl });
  setImmediate(() => taskStore.storeTaskResult(task.taskId, "completed", result));
  return { task };
};

await answering({
  client: (_, capabilities) =>
    new Client(IDENTITY, { capabilities, taskStore: new InMemoryTaskStore() }),
  transport: (url, options) => new StreamableHTTPClientTransport(url, options),
  version: ({ transport }) => transport.protocolVersion,
  answer: (client, method, handler) =>
    client.setRequestHandler(SCHEMAS[method], perhapsAsTask(handler)),
  call: (client, params, options) => client.callTool(params, CallToolResultSchema, options),
  task: async (client, params, options) => {
    const request = { method: "tools/call", params: { ...params, task: { ttl: 60_000 } } };
    return (await client.request(request, CreateTaskResultSchema, options)).task;
  },
  tasks: (client) => client.experimental.tasks.listTasks(),
  status: (client, id) => client.experimental.tasks.getTask(id),
  outcome: (client, id) => client.experimental.tasks.getTaskResult(id, CallToolResultSchema),
  cancel: (client, id) => client.experimental.tasks.cancelTask(id),
});
