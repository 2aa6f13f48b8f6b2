import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Client } from "../strategic-memory.mjs";
import { startServer } from "./harness.mjs";

const TOKEN = "a-token-of-the-tests";

test("a server that asks for tokens takes the right one", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tokens-"));
  const file = join(folder, "tokens.toml");
  await writeFile(file, `[tests]\ntoken = "${TOKEN}"\n`, { mode: 0o600 });
  const url = await startServer("--token-file", file);
  await rm(folder, { recursive: true });
  await assert.rejects(new Client(url).make("MemoryTask-v0"), { code: "unauthorized", status: 401 });
  await assert.rejects(new Client(url, { token: "another-token-0000" }).specs(), { code: "unauthorized" });
  process.env.STRATEGIC_MEMORY_TOKEN = TOKEN;
  assert.ok((await new Client(url).specs()).length > 0);
  await assert.rejects(new Client(url, { token: "another-token-0000" }).specs(), { code: "unauthorized" });
  delete process.env.STRATEGIC_MEMORY_TOKEN;
  const env = await new Client(url, { token: TOKEN }).make("MemoryTask-v0", { kwargs: { delay: 1 } });
  const { observation } = await env.reset();
  assert.equal((await env.step(observation[0])).reward, 1);
  await env.close();
});
