import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../strategic-memory.mjs";
import { startServer } from "./harness.mjs";

const url = await startServer();
const client = new Client(url);
/** The bit that MemoryTask-v0 shows at a reset, by seed, as drawn by the server's generator. */
const CUES = [0, 1, 1, 0, 1, 0, 1, 0, 0, 1];

test("an episode pays 1 for the cue and -1 for anything else", async () => {
  const env = await client.make("MemoryTask-v0", { kwargs: { delay: 3 } });
  assert.deepEqual(env.actionSpace, { type: "Discrete", n: 2, start: 0 });
  assert.deepEqual(env.observationSpace.shape, [3]);
  assert.equal(env.kwargs.difficulty, 0);
  for (const [seed, cue] of CUES.entries()) {
    for (const action of [cue, 1 - cue]) {
      assert.deepEqual(await env.reset({ seed }), { observation: [cue, 0, 0], info: {} });
      const blank = { observation: [0, 0, 0], truncated: false, info: {} };
      assert.deepEqual(await env.step(0), { ...blank, reward: 0, terminated: false });
      assert.deepEqual(await env.step(1), { ...blank, reward: 0, terminated: false });
      const reward = action === cue ? 1 : -1;
      assert.deepEqual(await env.step(action), { ...blank, reward, terminated: true });
    }
  }
  assert.equal(env.seq, 2 * CUES.length * 4);
  await env.close();
});

test("real actions are numbers in lists or typed arrays, within their bounds", async () => {
  const env = await client.make("Pendulum-v1", { seed: 3 });
  assert.deepEqual(env.actionSpace, { type: "Box", shape: [1], dtype: "float32", low: -2, high: 2 });
  const played = [];
  for (const action of [[0.5], new Float32Array([0.5]), new Float64Array([0.5])]) {
    await env.reset({ seed: 3 });
    played.push(await env.step(action));
  }
  assert.deepEqual(played[1], played[0]);
  assert.deepEqual(played[2], played[0]);
  const refused = { code: "invalid-action", errors: [{ pointer: "/action/0", detail: "2.5 is not in [-2, 2]" }] };
  await assert.rejects(env.step([2.5]), (/** @type {any} */ error) => {
    assert.equal(error.code, refused.code);
    assert.deepEqual(error.problem.errors, refused.errors);
    return true;
  });
  assert.equal((await env.step(new Float32Array([-2]))).terminated, false);
  await env.close();
  const envs = await client.makeVector("Pendulum-v1", 2, { seed: 3 });
  await envs.reset();
  assert.equal((await envs.step([[0.5], [-0.5]])).rewards.length, 2);
  await envs.close();
});

test("options hold for an episode", async () => {
  const env = await client.make("MemoryTask-v0", { kwargs: { delay: 3 }, seed: 1 });
  await env.reset({ options: { delay: 1 } });
  assert.equal((await env.step(1)).terminated, true);
  await env.reset();
  assert.equal((await env.step(1)).terminated, false);
  await env.close();
});

test("seeds of 64 bits arrive as they are", async () => {
  // As numbers these two would be the same, and so would the episodes.
  const [one, other] = [2n ** 63n, 2n ** 63n + 1n];
  assert.equal(Number(one), Number(other));
  const env = await client.make("MemoryTask-v0", { kwargs: { delay: 64, difficulty: 1 } });
  const episode = async (/** @type {bigint} */ seed) => {
    const shown = [(await env.reset({ seed })).observation];
    for (let step = 0; step < 63; step++) shown.push((await env.step(0)).observation);
    return JSON.stringify(shown);
  };
  const first = await episode(one);
  assert.notEqual(await episode(other), first);
  assert.equal(await episode(one), first);
  await env.close();
});

test("calls that are not awaited are applied in the order in which they are made", async () => {
  const env = await client.make("MemoryTask-v0", { kwargs: { delay: 2 } });
  const calls = [env.reset({ seed: 1 }), env.step(0), env.step(1), env.step(0), env.reset({ seed: 3 }), env.close()];
  const [reset, first, last, tooMany, again] = await Promise.allSettled(calls);
  assert.deepEqual(reset, { status: "fulfilled", value: { observation: [1, 0, 0], info: {} } });
  assert.equal(/** @type {any} */ (first).value.reward, 0);
  assert.equal(/** @type {any} */ (last).value.reward, 1);
  assert.equal(/** @type {any} */ (tooMany).reason.code, "needs-reset");
  assert.deepEqual(/** @type {any} */ (again).value.observation, [0, 0, 0]);
});

test("a restored snapshot continues like its environment, here and in a fork", async () => {
  const env = await client.make("MemoryTask-v0", { kwargs: { delay: 6, difficulty: 1 }, seed: 5 });
  await env.reset();
  await env.step(0);
  const snapshot = await env.snapshot();
  assert.equal(JSON.parse(snapshot).format, "environment-snapshot");
  const fork = await env.fork({ envId: "branch" });
  assert.equal(fork.envId, "branch");
  assert.equal(fork.seq, 0);
  const rest = async (/** @type {typeof env} */ played) => {
    const replies = [];
    for (let step = 0; step < 5; step++) replies.push(await played.step(1));
    replies.push(await played.reset());
    return replies;
  };
  const expected = await rest(env);
  assert.deepEqual(await rest(fork), expected);
  await env.restore(snapshot);
  assert.deepEqual(await rest(env), expected);
  const elsewhere = await client.make("MemoryTask-v0", { kwargs: { delay: 6, difficulty: 1 }, seed: 6 });
  await elsewhere.restore(snapshot);
  assert.deepEqual(await rest(elsewhere), expected);
});

test("attaching continues with an existing environment", async () => {
  const env = await client.make("MemoryTask-v0", { kwargs: { delay: 2 }, envId: "kept", seed: 1, ttlS: 60 });
  await env.reset();
  await env.step(0);
  const again = await client.attach("kept");
  assert.equal(again.seq, 2);
  assert.equal((await again.step(1)).reward, 1);
  const same = await client.make("MemoryTask-v0", { kwargs: { delay: 2 }, envId: "kept", seed: 1, ttlS: 60 });
  assert.equal(same.seq, 3);
  assert.equal((await same.renewLease(90)).ttl_s, 90);
  assert.equal((await same.describe()).ttl_s, 90);
  await same.close();
  await same.close();
  await assert.rejects(same.reset(), /has been closed/);
});

test("pictures, trajectories and the catalogue", async () => {
  const env = await client.make("MemoryTask-v0", { kwargs: { delay: 2 } });
  await env.reset({ seed: 1 });
  const plain = await env.render();
  assert.match(String(plain), /^MemoryTask-v0\nstep 0\n/);
  assert.match(String(await env.render({ colour: true })), /\x1b\[/);
  const png = await env.render({ format: "png" });
  assert.deepEqual([...png.slice(0, 4)], [0x89, ..."PNG"].map((c) => (typeof c === "string" ? c.charCodeAt(0) : c)));
  await env.step(1);
  const { entries, next } = await env.trajectory({ limit: 1 });
  assert.deepEqual(entries, [
    { seq: 0, operation: "reset", body: { seed: 1 }, reply: { observation: [1, 0, 0], info: {}, seq: 1 } },
  ]);
  assert.equal((await env.trajectory({ from: next })).entries[0].operation, "step");
  const specs = await client.specs();
  assert.deepEqual(specs.find((spec) => spec.id === "MemoryTask-v0"), await client.spec("MemoryTask-v0"));
  assert.equal((await client.version()).name, "env-server");
});
