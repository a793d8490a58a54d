// Reads lines, each a JSON array of strings, and answers each with the hosts Node finds in them.
import { createInterface } from "node:readline";

function host(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:"].includes(url.protocol) ? url.hostname : null;
  } catch {
    return null;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(JSON.parse(line).map(host)));
}
