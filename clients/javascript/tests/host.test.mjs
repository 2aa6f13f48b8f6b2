// The example of host.mjs, as the server sees it. Its cues with the seed 1234567 are left, left, right, left, right: the
// highest bits of the first numbers that SplitMix64 is published with (6457827717110365317, 3203168211198807973,
// 9817491932198370423, 4593380528125082431, 16408922859458223821). With the seed 0 the first is 16294208416658607535: right.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { HostProcess, actions, frame, pack, unpack } from "./host-harness.mjs";

const [FORWARD, LEFT, RIGHT] = [0, 1, 2];
const PUBLISHED = 1234567;

/** @param {number[]} cue @param {number[]} walked @returns {any} Observations of some lanes. */
function seen(cue, walked) {
  return { cue: { int64: cue }, walked: { float32: walked.map((part) => [part]) } };
}

/** @param {any} observations @param {number[]} rewards @param {boolean[]} terminations @param {any} [more] */
function stepped(observations, rewards, terminations, more) {
  const truncations = { bool: terminations.map(() => false) };
  return { stepped: { observations, rewards: { float64: rewards }, terminations: { bool: terminations }, truncations, ...more } };
}

/** A host that has said hello. @param {string} [program] */
async function greeted(program) {
  const host = new HostProcess(program);
  const { hello } = await host.next();
  assert.equal(hello.protocol, 1);
  return host;
}

test("hello has the spec, and the host ends with its input", async () => {
  const host = new HostProcess();
  const { hello } = await host.next();
  assert.deepEqual([hello.protocol, hello.specs.length], [1, 1]);
  const { description, parameters, ...spec } = hello.specs[0];
  assert.ok(description.length > 0);
  assert.deepEqual(parameters.map((/** @type {any} */ each) => [each.name, each.type, each.minimum, each.maximum, each.default, each.resettable]), [
    ["length", "integer", 2, 100, 8, true],
  ]);
  const cue = { type: "Discrete", n: 3, start: 0 };
  const walked = { type: "Box", shape: [1], dtype: "float32", low: 0, high: 1 };
  assert.deepEqual(spec, {
    id: "CueCorridor-v0",
    observation_space: { type: "Dict", spaces: { cue, walked } },
    action_space: { type: "Discrete", n: 3, start: 0 },
    reward_range: [-1, 1],
    can_save: true,
    is_deterministic: true,
  });
  host.child.stdin.end();
  assert.equal(await host.status(), 0);
  assert.equal(host.errors, "");
});

test("NextStep: episodes by hand, the step after an end resets its lane", async () => {
  const host = await greeted();
  await host.create(1, 2, "NextStep", 2);
  const first = await host.call("reset", { env: 1, seeds: [PUBLISHED, 0], options: {} });
  assert.deepEqual(first, { observed: { observations: seen([LEFT, RIGHT], [0, 0]) } });
  const step = (/** @type {number[]} */ ...taken) => host.call("step", { env: 1, actions: actions(...taken) });
  // A turn in the corridor does nothing.
  assert.deepEqual(await step(FORWARD, LEFT), stepped(seen([0, 0], [0.5, 0]), [0, 0], [false, false]));
  assert.deepEqual(await step(FORWARD, FORWARD), stepped(seen([0, 0], [1, 0.5]), [0, 0], [false, false]));
  assert.deepEqual(await step(LEFT, FORWARD), stepped(seen([0, 0], [1, 1]), [1, 0], [true, false]));
  // Lane 0 is reset, whatever its action; its stream continues with another left.
  assert.deepEqual(await step(RIGHT, LEFT), stepped(seen([LEFT, 0], [0, 1]), [0, -1], [false, true]));
  assert.deepEqual(await step(FORWARD, 7), stepped(seen([0, LEFT], [0.5, 0]), [0, 0], [false, false]));
});

test("SameStep: the last observation is apart, and other lanes' rows are not touched", async () => {
  const host = await greeted();
  await host.create(5, 2, "SameStep", 2);
  await host.call("reset", { env: 5, seeds: [PUBLISHED, 0], options: {} });
  const step = (/** @type {number[]} */ ...taken) => host.call("step", { env: 5, actions: actions(...taken) });
  await step(FORWARD, FORWARD);
  assert.deepEqual(await step(FORWARD, LEFT), stepped(seen([0, 0], [1, 0.5]), [0, 0], [false, false]));
  const finals = { final_observations: seen([0, 0], [1, 0]) };
  assert.deepEqual(await step(RIGHT, FORWARD), stepped(seen([LEFT, 0], [0, 1]), [-1, 0], [true, false], finals));
  assert.deepEqual(await step(FORWARD, FORWARD), stepped(seen([0, 0], [0.5, 1]), [0, 0], [false, false]));
});

test("Disabled: a mask resets some lanes, with a seed or with the stream's next draw", async () => {
  const host = await greeted();
  await host.create(2, 3, "Disabled", 2);
  // Lane 2 has no observation yet: zeros.
  const some = await host.call("reset", { env: 2, mask: [true, true, false], seeds: [PUBLISHED, PUBLISHED, null], options: {} });
  assert.deepEqual(some, { observed: { observations: seen([LEFT, LEFT, 0], [0, 0, 0]) } });
  await host.call("reset", { env: 2, mask: [false, false, true], seeds: [null, null, 0], options: {} });
  const step = (/** @type {number[]} */ ...taken) => host.call("step", { env: 2, actions: actions(...taken) });
  await step(FORWARD, FORWARD, FORWARD);
  await step(FORWARD, FORWARD, FORWARD);
  assert.deepEqual(await step(LEFT, RIGHT, FORWARD), stepped(seen([0, 0, 0], [1, 1, 1]), [1, -1, 0], [true, true, false]));
  const both = await host.call("reset", { env: 2, mask: [true, true, false], seeds: [null, 0, null], options: {} });
  assert.deepEqual(both, { observed: { observations: seen([LEFT, RIGHT, 0], [0, 0, 1]) } });
  assert.deepEqual(await step(FORWARD, FORWARD, RIGHT), stepped(seen([0, 0, 0], [0.5, 0.5, 1]), [0, 0, 1], [false, false, true]));
  // A step of the ended lane is the server's error.
  host.child.stdin.write(frame(pack({ step: { env: 2, actions: actions(0, 0, 0) } })));
  assert.equal(await host.status(), 2);
  assert.equal(host.errors, "host: a step of lane 2, which plays no episode\n");
});

test("an episode is cut off after three times its length", async () => {
  const host = await greeted();
  await host.create(1, 1, "NextStep", 2);
  await host.call("reset", { env: 1, seeds: [0], options: {} });
  const ends = [];
  for (let i = 0; i < 7; i++) {
    const { terminations, truncations, rewards } = (await host.call("step", { env: 1, actions: actions(FORWARD) })).stepped;
    ends.push([terminations.bool[0], truncations.bool[0], rewards.float64[0]]);
  }
  const playing = [false, false, 0];
  assert.deepEqual(ends, [...Array(5).fill(playing), [false, true, 0], playing]);
});

test("seeds have 64 bits", async () => {
  const host = await greeted();
  await host.create(1, 3, "NextStep", 2);
  // As floats, the first two would be the same number. Their first draws are 14898857794701533647 and 386430782533759031.
  const seeds = [2n ** 53n, 2n ** 53n + 1n, 2n ** 64n - 1n];
  const { observed } = await host.call("reset", { env: 1, seeds, options: {} });
  assert.deepEqual(observed.observations.cue, { int64: [RIGHT, LEFT, RIGHT] });
});

test("options hold through automatic resets, until the next requested one", async () => {
  const host = await greeted();
  await host.create(1, 1, "SameStep", 4);
  const step = async (/** @type {number} */ taken) =>
    (await host.call("step", { env: 1, actions: actions(taken) })).stepped.observations.walked.float32[0][0];
  await host.call("reset", { env: 1, seeds: [0], options: { length: 2 } });
  assert.deepEqual([await step(FORWARD), await step(FORWARD), await step(LEFT), await step(FORWARD)], [0.5, 1, 0, 0.5]);
  await host.call("reset", { env: 1, seeds: [null], options: {} });
  assert.equal(await step(FORWARD), 0.25);
});

test("a state saved in one process continues in another", async () => {
  for (const mode of ["NextStep", "SameStep", "Disabled"]) {
    const before = await greeted();
    await before.create(1, 2, mode, 3);
    await before.call("reset", { env: 1, seeds: [PUBLISHED, 2n ** 64n - 1n], options: { length: 2 } });
    for (let i = 0; i < 2; i++) await before.call("step", { env: 1, actions: actions(FORWARD, FORWARD) });
    // Lane 0 ends with this step.
    await before.call("step", { env: 1, actions: actions(LEFT, FORWARD) });
    const { state } = (await before.call("save", { env: 1 })).saved;
    const afterwards = await greeted();
    await afterwards.create(9, 2, mode, 3);
    assert.deepEqual(await afterwards.call("restore", { env: 9, state }), { restored: {} });
    const play = async (/** @type {HostProcess} */ host, /** @type {number} */ env) => {
      const answers = [await host.call("reset", { env, mask: [mode === "Disabled", false], seeds: [null, null], options: {} })];
      for (const turn of [FORWARD, FORWARD, RIGHT]) answers.push(await host.call("step", { env, actions: actions(turn, turn) }));
      return answers;
    };
    const answers = await play(before, 1);
    assert.deepEqual(await play(afterwards, 9), answers);
    // The masked-out lane repeats what it saw before the save.
    assert.deepEqual(answers[0].observed.observations.walked.float32[1], [1]);
  }
});

test("a state that is not one fails its vector alone", async () => {
  const host = await greeted();
  await host.create(1, 1, "NextStep", 2);
  await host.create(2, 1, "NextStep", 2);
  await host.call("reset", { env: 2, seeds: [0], options: {} });
  for (const state of [Buffer.from("no"), pack({ lanes: ["{}"] }), pack({})]) {
    const { failed } = await host.call("restore", { env: 1, state });
    assert.match(failed.reason, /^the state cannot be read: /);
    await host.create(1, 1, "NextStep", 2);
  }
  const step = await host.call("step", { env: 2, actions: actions(FORWARD) });
  assert.deepEqual(step, stepped(seen([0], [0.5]), [0], [false]));
  assert.deepEqual(await host.call("close", { env: 2 }), { closed: {} });
  assert.deepEqual(await host.call("step", { env: 2, actions: actions(FORWARD) }), { failed: { reason: "there is no vector 2" } });
});

test("render is a picture of the corridor", async () => {
  const host = await greeted();
  await host.create(1, 1, "NextStep", 2);
  await host.call("reset", { env: 1, seeds: [0], options: {} });
  const { uint8 } = (await host.call("render", { env: 1, lane: 0 })).rendered.frame;
  assert.deepEqual([uint8.length, uint8[0].length], [24, 24]);
  // The cue is right, below; the player is at the start; the junction is at the other end.
  const at = (/** @type {number} */ row, /** @type {number} */ column) => uint8[8 * row + 7][8 * column + 7];
  assert.deepEqual([at(0, 0), at(1, 0), at(2, 0)], [[40, 40, 40], [40, 80, 220], [40, 180, 80]]);
  assert.deepEqual([at(0, 1), at(1, 1), at(0, 2), at(2, 2)], [[40, 40, 40], [200, 200, 200], [200, 200, 200], [200, 200, 200]]);
});

const calls = [
  { create: { env: 1, spec: "CueCorridor-v0", kwargs: { length: 2 }, num_envs: 1, autoreset_mode: "NextStep" } },
  { reset: { env: 1, mask: null, seeds: [0], options: {} } },
  { step: { env: 1, actions: actions(FORWARD) } },
  { close: { env: 1 } },
];
const kinds = ["created", "observed", "stepped", "closed"];

test("frames may be cut at any byte", async () => {
  const input = Buffer.concat(calls.map((call) => frame(pack(call))));
  const host = await greeted();
  for (const byte of input) {
    host.child.stdin.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  for (const kind of kinds) assert.deepEqual(Object.keys(await host.next()), [kind]);
  // Two parts, cut at each place.
  for (let at = 0; at <= input.length; at++) {
    host.child.stdin.write(input.subarray(0, at));
    await new Promise((resolve) => setTimeout(resolve, 2));
    host.child.stdin.write(input.subarray(at));
    for (const kind of kinds) assert.deepEqual(Object.keys(await host.next()), [kind]);
  }
  host.child.stdin.end();
  assert.equal(await host.status(), 0);
});

test("input that is not the protocol's ends the host with status 2 and a line", async () => {
  const [{ create }, , { step }] = /** @type {any[]} */ (calls);
  /** @type {[Buffer, RegExp][]} */
  const cases = [
    [frame(pack({ dance: { env: 1 } })), /unknown kind of frame: "dance"/],
    [frame(pack({ toString: { env: 1 } })), /unknown kind of frame: "toString"/],
    [frame(pack({ close: { env: 1, why: 2 } })), /close has the unknown field "why"/],
    [frame(pack({ close: { env: 1, ["__proto__x"]: 2 } })), /unknown field/],
    [frame(pack({ close: {} })), /close lacks the field env/],
    [frame(pack({ close: null })), /close is not a map/],
    [frame(pack({ close: { env: 1 }, save: { env: 1 } })), /one key/],
    [frame(pack("close")), /one key/],
    [frame(pack({ create: { ...create, autoreset_mode: "Sometimes" } })), /autoreset_mode/],
    [frame(pack({ create: { ...create, num_envs: 0 } })), /num_envs/],
    [frame(pack({ create: { ...create, num_envs: 1e9 } })), /num_envs/],
    [frame(pack({ create: { ...create, spec: "Other-v0" } })), /unknown spec/],
    [frame(pack({ create })).subarray(0, -1), /ends within a frame/],
    [Buffer.from([0, 0]), /ends within a frame/],
    [Buffer.from([0xff, 0xff, 0xff, 0xff]), /longer than/],
    [frame(Buffer.from([0xc1])), /type 0xc1/],
    [frame(Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff])), /shorter/],
    [frame(Buffer.alloc(100, 0x91)), /nested deeper/],
    [frame(Buffer.from([0x81, 0xa1, 0xff, 0xc0])), /not UTF-8/],
    [frame(Buffer.from([0x81, 0x01, 0xc0])), /not text/],
    [frame(Buffer.from([0x82, 0xa1, 0x61, 0xc0, 0xa1, 0x61, 0xc0])), /"a" twice/],
    [frame(Buffer.concat([pack({ close: { env: 1 } }), Buffer.of(0xc0)])), /bytes follow/],
    [frame(Buffer.alloc(0)), /shorter/],
  ];
  const created = [
    [{ step }, /plays no episode/],
    [{ reset: { env: 1, seeds: [null], options: {} } }, /no seed/],
    [{ reset: { env: 1, seeds: [0, 0], options: {} } }, /seeds/],
    [{ reset: { env: 1, seeds: [0.5], options: {} } }, /seeds/],
    [{ reset: { env: 1, seeds: [0], options: {}, mask: [] } }, /mask/],
    [{ step: { env: 1, actions: actions(1, 2) } }, /shape \[1\]/],
    [{ render: { env: 1, lane: 1 } }, /unknown lane/],
    [{ create }, /exists/],
  ];
  for (const [call, line] of created) {
    cases.push([Buffer.concat([frame(pack({ create })), frame(pack(call))]), /** @type {RegExp} */ (line)]);
  }
  await Promise.all(
    cases.map(async ([input, line]) => {
      const host = await greeted();
      host.child.stdin.end(input);
      assert.equal(await host.status(), 2, String(line));
      assert.match(host.errors, line);
      assert.match(host.errors, /^host: [^\n]+\n$/);
    }),
  );
});

const folder = await mkdtemp(join(tmpdir(), "host-"));
after(() => rm(folder, { recursive: true }));

/** Writes a program that hosts the object `spec`, with this code for its lanes. @param {string} name @param {string} code */
async function program(name, code) {
  const file = join(folder, `${name}.mjs`);
  const host = new URL("../host.mjs", import.meta.url).href;
  const spec = `id: "CueCorridor-v0", description: "of a test", canSave: true,
    observationSpace: { type: "Tuple", spaces: [{ type: "MultiBinary", n: 2 }, { type: "Box", shape: [2, 2], dtype: "uint8", low: 0, high: 255 }] },
    actionSpace: { type: "Box", shape: [2], dtype: "float32", low: "-Infinity", high: [1, 2] }`;
  await writeFile(file, `import { Refusal, serve } from ${JSON.stringify(host)};\n${code}\nawait serve([{ ${spec}, make }], "test 1");\n`);
  return file;
}

const observation = { tuple: [{ int64: [[1, 0]] }, { uint8: [[[1, 2], [3, 255]]] }] };
const push = { dtype: "float32", shape: [1, 2], data: Buffer.from(Float32Array.of(0.5, -4).buffer) };

test("prints of an environment go to standard error", async () => {
  const chatty = await program(
    "chatty",
    `import { log as kept } from "node:console";
    const look = [[1, 0], Uint8Array.of(1, 2, 3, 255)];
    console.log("loaded");
    const make = async () => {
      console.info("made");
      return {
        reset: (seed) => { process.stdout.write("reset " + seed + "\\n"); return { observation: look }; },
        step: async (action) => {
          console.table([1]); kept("kept"); console.log("step", action);
          return { observation: look, reward: 2.5, terminated: true, truncated: false, info: { depth: 3, found: true } };
        },
      };
    };`,
  );
  const host = await greeted(chatty);
  await host.create(1, 1, "SameStep", 2);
  const { observed } = await host.call("reset", { env: 1, seeds: [2n ** 64n - 1n], options: {} });
  assert.deepEqual(observed.observations, observation.tuple);
  const { stepped } = await host.call("step", { env: 1, actions: push });
  assert.deepEqual(stepped.observations, observation.tuple);
  assert.deepEqual(stepped.final_observations, observation.tuple);
  assert.equal(stepped.infos, undefined);
  const masks = { _depth: { bool: [true] }, _found: { bool: [true] } };
  assert.deepEqual(stepped.final_infos, { depth: { float64: [3] }, found: { bool: [true] }, ...masks });
  host.child.stdin.end();
  assert.equal(await host.status(), 0);
  const lines = host.errors.split("\n");
  for (const line of ["loaded", "made", "reset 18446744073709551615", "kept", "step [ 0.5, -4 ]"]) assert.ok(lines.includes(line), line);
});

test("refusals change nothing, exceptions and wrong results fail their vector alone", async () => {
  const faulty = await program(
    "faulty",
    `const make = ({ length }) => {
      if (length === 13) throw new Refusal("13 is unlucky", "length");
      const good = { observation: [[1, 0], [[1, 2], [3, 255]]], reward: 0, terminated: false, truncated: false };
      const bad = [
        () => { throw new Error("it broke"); }, () => ({ ...good, reward: NaN }), () => ({ ...good, terminated: undefined }),
        () => ({ ...good, observation: [[1, 0], [1, 2, 3]] }), () => ({ ...good, observation: [[1, 0], [1, 2, 3, 256]] }),
        () => ({ ...good, observation: [[1, 0.5], [1, 2, 3, 4]] }), () => ({ ...good, observation: [[1, undefined], [1, 2, 3, 4]] }),
        () => ({ ...good, observation: [[1, 0]] }), () => 7,
        () => ({ ...good, info: { _masked: 1 } }),
      ];
      return {
        reset: (seed, options) => { if (options.length === 13) throw new Refusal("unlucky"); return good; },
        step: () => bad[length]?.() ?? good,
      };
    };`,
  );
  const host = await greeted(faulty);
  const create = { env: 1, spec: "CueCorridor-v0", kwargs: { length: 13 }, num_envs: 1, autoreset_mode: "NextStep" };
  assert.deepEqual(await host.call("create", create), { refused: { reason: "13 is unlucky", name: "length" } });
  await host.create(1, 1, "NextStep", 99);
  // The server lets only `create` be refused.
  const unlucky = await host.call("reset", { env: 1, seeds: [0], options: { length: 13 } });
  assert.deepEqual(unlucky, { failed: { reason: "unlucky" } });
  await host.create(1, 1, "NextStep", 99);
  await host.call("reset", { env: 1, seeds: [0], options: {} });
  const reasons = [/it broke/, /reward of lane 0 is NaN/, /not booleans/, /has 3 elements, its space 4/, /256 is not a uint8/, /0\.5/, /undefined is not a number/, /another length/, /undefined/, /an info cannot have the name _masked/];
  for (const [length, reason] of reasons.entries()) {
    await host.create(2, 1, "NextStep", length);
    await host.call("reset", { env: 2, seeds: [0], options: {} });
    const { failed } = await host.call("step", { env: 2, actions: push });
    assert.match(failed.reason, reason);
    assert.deepEqual(Object.keys(await host.call("step", { env: 1, actions: push })), ["stepped"]);
  }
  // The spec says that it can save, but its lanes have no \`save\`.
  assert.match((await host.call("save", { env: 1 })).failed.reason, /state of lane 0/);
});

test("a space that cannot be hosted ends the host before its hello", async () => {
  const file = join(folder, "wide.mjs");
  const url = JSON.stringify(new URL("../host.mjs", import.meta.url).href);
  const spec = `{ id: "Wide-v0", observationSpace: { type: "Tuple", spaces: [{ type: "Box", shape: [1], dtype: "int16" }] } }`;
  await writeFile(file, `import { serve } from ${url};\nawait serve([${spec}]);\n`);
  const host = new HostProcess(file);
  assert.equal(await host.status(), 2);
  assert.match(host.errors, /a space of Wide-v0 cannot be hosted: a Box has the dtype int16; known are bool, uint8/);
});

test("the tests' own MessagePack writes and reads bytes of its specification", () => {
  assert.equal(pack([1, 200, -1, true, null, 2n ** 63n, "a"]).toString("hex"), "9701ccc8ffc3c0cf8000000000000000a161");
  const bytes = Buffer.from("83a16101a162cb3fe0000000000000a16392c401ffd3ffffffffffffffff", "hex");
  assert.deepEqual(unpack(bytes), { a: 1, b: 0.5, c: [Buffer.of(255), -1] });
});
