import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../strategic-memory.mjs";
import { startServer } from "./harness.mjs";

const client = new Client(await startServer());

// With these seeds the cues of the first episodes are 1 and 0; without distractors every other observation is 0.
const SEEDS = [1, 3];
const blank = [
  [0, 0, 0],
  [0, 0, 0],
];

test("NextStep: the step after an end is a reset", async () => {
  const envs = await client.makeVector("MemoryTask-v0", 2, { kwargs: { delay: 2 } });
  assert.equal(envs.autoresetMode, "NextStep");
  assert.equal(envs.numEnvs, 2);
  const { observations, infos } = await envs.reset({ seed: SEEDS });
  assert.deepEqual(observations, [
    [1, 0, 0],
    [0, 0, 0],
  ]);
  assert.deepEqual(infos, {});
  const under = { truncations: [false, false], infos: {} };
  const first = await envs.step([0, 0]);
  assert.deepEqual(first, { observations: blank, rewards: [0, 0], terminations: [false, false], ...under });
  const last = await envs.step(Int8Array.of(1, 1));
  assert.deepEqual(last, { observations: blank, rewards: [1, -1], terminations: [true, true], ...under });
  const reset = await envs.step([1, 1]);
  assert.deepEqual([reset.rewards, reset.terminations], [[0, 0], [false, false]]);
  await envs.close();
});

test("SameStep: the last observation is in the infos", async () => {
  const envs = await client.makeVector("MemoryTask-v0", 2, { kwargs: { delay: 1 }, autoresetMode: "SameStep" });
  await envs.reset({ seed: SEEDS });
  const { rewards, terminations, infos } = await envs.step([1, 1]);
  assert.deepEqual([rewards, terminations], [[1, -1], [true, true]]);
  assert.deepEqual(infos.final_obs, blank);
  assert.deepEqual(infos._final_obs, [true, true]);
  await envs.close();
});

test("Disabled: lanes that have ended are reset by a mask", async () => {
  const envs = await client.makeVector("MemoryTask-v0", 2, { kwargs: { delay: 1 }, autoresetMode: "Disabled" });
  await envs.reset({ seed: SEEDS });
  await envs.step([1, 0]);
  await assert.rejects(envs.step([1, 0]), { code: "needs-reset" });
  await envs.reset({ options: { reset_mask: [true, false] } });
  await assert.rejects(envs.step([1, 0]), { code: "needs-reset", message: /lane 1/ });
  await envs.reset({ seed: SEEDS, options: { reset_mask: [false, true] } });
  await envs.close();
});

test("lane i of seed s behaves like a single environment of seed s + i", async () => {
  const kwargs = { delay: 5, difficulty: 1 };
  const envs = await client.makeVector("MemoryTask-v0", 3, { kwargs, seed: 2n ** 53n });
  const batches = [(await envs.reset()).observations];
  for (let step = 0; step < 5; step++) batches.push((await envs.step([0, 1, 0])).observations);
  for (const lane of [0, 1, 2]) {
    const env = await client.make("MemoryTask-v0", { kwargs, seed: 2n ** 53n + BigInt(lane) });
    const rows = [(await env.reset()).observation];
    for (let step = 0; step < 5; step++) rows.push((await env.step([0, 1, 0][lane])).observation);
    assert.deepEqual(
      batches.map((batch) => batch[lane]),
      rows,
    );
  }
});

test("a vector can be snapshotted, forked and attached to", async () => {
  const envs = await client.makeVector("MemoryTask-v0", 2, { kwargs: { delay: 4, difficulty: 1 }, seed: 9 });
  await envs.reset();
  const snapshot = await envs.snapshot();
  const fork = await envs.fork();
  const attached = await client.attachVector(fork.envId);
  const expected = await envs.step([0, 1]);
  assert.deepEqual(await attached.step([0, 1]), expected);
  await envs.restore(snapshot);
  assert.deepEqual(await envs.step([0, 1]), expected);
  assert.match(String(await envs.render({ lane: 1 })), /MemoryTask-v0/);
});
