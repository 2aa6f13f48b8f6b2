import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { startServer } from "./harness.mjs";

const url = await startServer();
const run = promisify(execFile);
const client = new URL("../strategic-memory.mjs", import.meta.url);

test("the program of the README runs unchanged", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const [, program] = readme.match(/```js\n(.*?)```/s) ?? [];
  assert.ok(program);
  const folder = await mkdtemp(join(tmpdir(), "readme-"));
  const file = join(folder, "program.mjs");
  await writeFile(file, program.replace("./strategic-memory.mjs", client.href).replace("http://127.0.0.1:7878", url));
  const { stdout } = await run(process.execPath, [file]);
  await rm(folder, { recursive: true });
  assert.equal(stdout, "return 1\n");
});

test("the example remembers", async () => {
  const example = fileURLToPath(new URL("../examples/remember.mjs", import.meta.url));
  const { stdout } = await run(process.execPath, [example, url]);
  // The cues are those of the generator with seeds 0 to 4.
  const lines = [0, 1, 1, 0, 1].map((cue, seed) => `seed ${seed}: the cue was ${cue}, return 1`);
  assert.deepEqual(stdout.trim().split("\n"), [...lines, "sixteen lanes: mean return 1"]);
});
