// Reads one line of JSON, an array of texts; writes one line, what JSON.parse makes of each.
import { createInterface } from 'node:readline';
for await (const line of createInterface({ input: process.stdin })) {
  const views = JSON.parse(line).map((text) => {
    try {
      return { value: JSON.parse(text) };
    } catch {
      return null;
    }
  });
  process.stdout.write(JSON.stringify(views) + '\n');
}
