import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";

import { Client, ProtocolError, ServerProblem, ServerUnreachable } from "../strategic-memory.mjs";
import { FAULTS, startProxy, startServer } from "./harness.mjs";

const url = await startServer();
const quick = { firstDelayMs: 1, longestDelayMs: 10 };
const once = { giveUpAfterMs: 0 };

/** Plays four episodes and returns every result. @param {Client} client */
async function play(client) {
  const env = await client.make("MemoryTask-v0", { kwargs: { delay: 3, difficulty: 1 } });
  const results = [];
  for (let seed = 0; seed < 4; seed++) {
    results.push(await env.reset({ seed }));
    for (let step = 0; step < 3; step++) results.push(await env.step(step % 2));
  }
  const { entries, first_seq } = await env.trajectory();
  assert.equal(first_seq, 0);
  const operations = entries.map((/** @type {any} */ entry) => entry.operation);
  assert.deepEqual(operations, Array(4).fill(["reset", "step", "step", "step"]).flat());
  await env.close();
  return results;
}

for (const fault of FAULTS) {
  test(`every step happens once, with the fault ${fault}`, async () => {
    const proxy = await startProxy(url);
    proxy.plan = Array(12).fill(["ok", fault]).flat();
    const client = new Client(proxy.url, { ...quick, timeoutMs: fault === "hang" ? 300 : 30_000 });
    assert.deepEqual(await play(client), await play(new Client(url)));
    const faults = proxy.seen.filter((request) => request.fault === fault);
    assert.ok(faults.length >= 8, `${faults.length} faults`);
    for (const [i, { fault, body }] of proxy.seen.entries()) {
      if (fault !== "ok") assert.equal(proxy.seen[i + 1].body, body);
    }
  });
}

test("repeating the same call continues with an abandoned operation", async () => {
  const proxy = await startProxy(url);
  const env = await new Client(proxy.url, once).make("MemoryTask-v0", { kwargs: { delay: 2 } });
  await env.reset({ seed: 1 });
  proxy.plan = ["lose-reply", "ok", "bad-gateway"];
  await assert.rejects(env.step(0), ServerUnreachable);
  assert.equal((await env.step(0)).terminated, false);
  await assert.rejects(env.step(1), { name: "ServerProblem", status: 502 });
  const last = await env.step(1);
  assert.deepEqual([last.terminated, last.reward], [true, 1]);
});

test("another call lets an abandoned operation finish first", async () => {
  const proxy = await startProxy(url);
  const env = await new Client(proxy.url, once).make("MemoryTask-v0", { kwargs: { delay: 2 } });
  await env.reset({ seed: 1 });
  proxy.plan = ["lose-reply"];
  await assert.rejects(env.step(0), ServerUnreachable);
  assert.equal((await env.step(1)).reward, 1);
  proxy.plan = ["lose-request"];
  await assert.rejects(env.step(7), ServerUnreachable);
  assert.deepEqual((await env.reset({ seed: 1 })).observation, [1, 0, 0]);
});

test("a refusal is thrown at once, with the whole problem document", async () => {
  const proxy = await startProxy(url);
  const env = await new Client(proxy.url, quick).make("MemoryTask-v0", { envId: "told" });
  await env.reset();
  const error = await env.step(2).catch((error) => error);
  assert.ok(error instanceof ServerProblem);
  assert.equal(error.message, "invalid-action (422): 2 is not one of 0..=1 [at /action]");
  assert.deepEqual(error.problem, {
    type: "/problems/invalid-action",
    title: "The action is not in the action space",
    status: 422,
    detail: "2 is not one of 0..=1",
    instance: "/v1/envs/told/step",
    code: "invalid-action",
    retryable: false,
    errors: [{ pointer: "/action", detail: "2 is not one of 0..=1" }],
  });
  assert.equal(proxy.seen.length, 3);
  assert.equal((await env.step(1)).terminated, false);
  assert.equal(proxy.seen.length, 4);
});

test("two clients of one environment notice each other", async () => {
  const client = new Client(url);
  const env = await client.make("MemoryTask-v0", { envId: "shared" });
  const other = await client.attach("shared");
  await env.reset();
  await env.step(0);
  await assert.rejects(other.step(0), (/** @type {any} */ error) => error.problem.expected_seq === 2);
});

test("the error after giving up names the reason", async () => {
  const policy = { ...quick, giveUpAfterMs: 500 };
  const proxy = await startProxy(url);
  proxy.plan = Array(10_000).fill("refuse");
  await assert.rejects(new Client(proxy.url, policy).make("MemoryTask-v0"), { code: "overloaded", retryable: true });
  assert.ok(proxy.seen.length > 1);

  const unused = createServer();
  const port = await new Promise((resolve) => {
    unused.listen(0, "127.0.0.1", () => resolve(/** @type {any} */ (unused.address()).port));
  });
  await new Promise((resolve) => unused.close(resolve));
  const nobody = new Client(`http://127.0.0.1:${port}`, policy);
  await assert.rejects(nobody.make("MemoryTask-v0"), { name: "ServerUnreachable", message: /ECONNREFUSED/ });
});

test("other servers are recognised", async () => {
  await assert.rejects(new Client(`${url}/docs`).spec("x"), { name: "ServerProblem", code: "unknown-route" });
  const page = createServer((socket) => {
    socket.end("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi");
  });
  const port = await new Promise((resolve) => {
    page.listen(0, "127.0.0.1", () => resolve(/** @type {any} */ (page.address()).port));
  });
  await assert.rejects(new Client(`http://127.0.0.1:${port}`).specs(), ProtocolError);
  page.close();
  for (const wrong of ["nonsense", "ftp://127.0.0.1", "http://me@127.0.0.1", "http://127.0.0.1/?a"]) {
    assert.throws(() => new Client(wrong), TypeError);
  }
  assert.throws(() => new Client(url, { token: "a\nb" }), TypeError);
});

test("numbers that JSON cannot express are refused with their place, and nothing is sent", async () => {
  const proxy = await startProxy(url);
  const client = new Client(proxy.url, quick);
  const refused = (/** @type {Promise<any>} */ call, /** @type {string} */ place, name = "RangeError") =>
    assert.rejects(call, (/** @type {any} */ error) => error.name === name && error.message.endsWith(`[at ${place}]`));
  for (const number of [NaN, Infinity, -Infinity]) {
    await refused(client.make("MemoryTask-v0", { seed: number }), "/seed");
    await refused(client.make("MemoryTask-v0", { ttlS: number }), "/ttl_s");
    await refused(client.make("MemoryTask-v0", { kwargs: { "a/b~c": [{ d: number }] } }), "/kwargs/a~1b~0c/0/d");
    await refused(client.makeVector("MemoryTask-v0", 2, { seed: [1, number] }), "/seed/1");
  }
  await refused(client.makeVector("MemoryTask-v0", 2, { seed: /** @type {any} */ ([1, undefined]) }), "/seed/1", "TypeError");
  await refused(client.make("MemoryTask-v0", { kwargs: { delay: () => 4 } }), "/kwargs/delay", "TypeError");
  assert.equal(proxy.seen.length, 0);

  const env = await client.make("MemoryTask-v0", { kwargs: { delay: 3 } });
  await refused(env.reset({ seed: NaN }), "/seed");
  await refused(env.reset({ options: { delay: NaN } }), "/options/delay");
  await env.reset({ seed: 1 });
  await refused(env.step(NaN), "/action");
  await refused(env.step(new Float32Array([0, NaN])), "/action/1");
  await refused(env.renewLease(NaN), "/ttl_s");
  await refused(env.trajectory({ from: NaN }), "from");
  assert.equal((await env.step(1)).terminated, false);
  assert.equal(env.seq, 2);
  await env.close();
  for (const name of ["timeoutMs", "giveUpAfterMs", "firstDelayMs", "longestDelayMs", "maxReplyBytes"]) {
    assert.throws(() => new Client(url, { [name]: NaN }), { name: "RangeError", message: new RegExp(name) });
    assert.throws(() => new Client(url, { [name]: -1 }), RangeError);
  }
  const patient = new Client(url, { timeoutMs: Infinity, giveUpAfterMs: Infinity });
  assert.ok((await patient.specs()).length > 0);
});

test("an endless reply is abandoned", async () => {
  let sent = 0;
  const endless = createServer((socket) => {
    socket.on("error", () => {});
    socket.write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n");
    const chunk = "[".repeat(65_536);
    const more = () => {
      while (!socket.destroyed) {
        sent += chunk.length;
        if (!socket.write(chunk)) return socket.once("drain", more);
      }
    };
    more();
  });
  const port = await new Promise((resolve) => {
    endless.listen(0, "127.0.0.1", () => resolve(/** @type {any} */ (endless.address()).port));
  });
  const client = new Client(`http://127.0.0.1:${port}`, { ...quick, maxReplyBytes: 1_000_000 });
  await assert.rejects(client.specs(), { name: "ProtocolError", message: "the reply is longer than 1000000 bytes" });
  // The rest filled buffers on the way.
  assert.ok(sent < 50_000_000, `${sent} bytes`);
  endless.close();
});

test("every change has a content type, even without a body", async () => {
  const proxy = await startProxy(url);
  const env = await new Client(proxy.url, quick).make("MemoryTask-v0", { kwargs: { delay: 1 } });
  await env.reset();
  await env.step(0);
  await env.close();
  const changes = proxy.seen.filter(({ method }) => method !== "GET");
  assert.deepEqual(changes.map(({ method }) => method), ["PUT", "POST", "POST", "DELETE"]);
  for (const { method, type } of changes) assert.equal(type, "application/json", method);
});
