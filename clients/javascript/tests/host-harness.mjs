// Helpers for tests of hosts: a host as a process, and the server's side of the protocol. It has a MessagePack of its
// own, which uses the shortest forms, as the server does, so that an error in the host's does not hide in both.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

/** @param {any} value @returns {Buffer} */
export function pack(value) {
  if (value === null || typeof value === "boolean") return Buffer.of(value === null ? 0xc0 : value ? 0xc3 : 0xc2);
  if (typeof value === "bigint" || Number.isInteger(value)) return packInteger(value);
  if (typeof value === "number") {
    const double = Buffer.alloc(9, 0xcb);
    double.writeDoubleBE(value, 1);
    return double;
  }
  if (typeof value === "string") {
    const text = Buffer.from(value);
    assert.ok(text.length < 256);
    return Buffer.concat([text.length < 32 ? Buffer.of(0xa0 | text.length) : Buffer.of(0xd9, text.length), text]);
  }
  if (value instanceof Uint8Array) return Buffer.concat([Buffer.of(0xc5, value.length >> 8, value.length & 255), value]);
  const isList = Array.isArray(value);
  const items = isList ? value.map(pack) : Object.entries(value).map(([name, item]) => Buffer.concat([pack(name), pack(item)]));
  const [short, long] = isList ? [0x90, 0xdc] : [0x80, 0xde];
  const head = items.length < 16 ? Buffer.of(short | items.length) : Buffer.of(long, items.length >> 8, items.length & 255);
  return Buffer.concat([head, ...items]);
}

/** @param {any} value @returns {Buffer} */
function packInteger(value) {
  if (value >= 0 && value < 128) return Buffer.of(Number(value));
  if (value >= -32 && value < 0) return Buffer.of(Number(value) & 255);
  for (const [type, bytes] of /** @type {const} */ ([[0xcc, 1], [0xcd, 2], [0xce, 4], [0xcf, 8]])) {
    if (value < 0 || value >= 2n ** BigInt(8 * bytes)) continue;
    return Buffer.from(type.toString(16) + BigInt(value).toString(16).padStart(2 * bytes, "0"), "hex");
  }
  throw new Error(`${value} is not needed by a test`);
}

/** @param {Buffer} bytes @returns {any} Integers beyond 2^53 are bigints, as in JSON they would not be exact. */
export function unpack(bytes) {
  let at = 0;
  const take = (/** @type {number} */ count) => bytes.subarray(at, (at += count));
  const unsigned = (/** @type {number} */ size) => take(size).readUIntBE(0, size);
  const text = (/** @type {number} */ size) => take(size).toString();
  const list = (/** @type {number} */ count) => Array.from({ length: count }, () => read());
  const map = (/** @type {number} */ count) => Object.fromEntries(list(2 * count).flatMap((_, i, all) => (i % 2 ? [] : [[all[i], all[i + 1]]])));
  /** @returns {any} */
  function read() {
    const type = unsigned(1);
    if (type < 0x80) return type;
    if (type < 0x90) return map(type & 15);
    if (type < 0xa0) return list(type & 15);
    if (type < 0xc0) return text(type & 31);
    if (type === 0xc0) return null;
    if (type === 0xc2 || type === 0xc3) return type === 0xc3;
    if (type >= 0xc4 && type <= 0xc6) return Buffer.from(take(unsigned(1 << (type - 0xc4))));
    if (type === 0xcb) return take(8).readDoubleBE();
    if (type === 0xcf) return Number(take(8).readBigUInt64BE());
    if (type === 0xd3) return Number(take(8).readBigInt64BE());
    if (type >= 0xd9 && type <= 0xdb) return text(unsigned(1 << (type - 0xd9)));
    if (type === 0xdc) return list(unsigned(2));
    if (type === 0xde) return map(unsigned(2));
    throw new Error(`type ${type.toString(16)} at ${at - 1}`);
  }
  const value = read();
  assert.equal(at, bytes.length, "bytes follow the value of a frame");
  return value;
}

/** @param {Uint8Array} body @returns {Buffer} */
export function frame(body) {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

/** Turns typed arrays of a value into lists, after a check of their lengths. @param {any} value @returns {any} */
function plain(value) {
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(plain);
  if (Object.keys(value)[0] !== "dtype") return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]));
  assert.deepEqual(Object.keys(value), ["dtype", "shape", "data"]);
  const { dtype, shape, data } = value;
  const [size, read] = /** @type {Record<string, [number, (at: number) => any]>} */ ({
    bool: [1, (at) => [false, true][data[at]]],
    uint8: [1, (at) => data[at]],
    int64: [8, (at) => Number(data.readBigInt64LE(at))],
    float32: [4, (at) => data.readFloatLE(at)],
    float64: [8, (at) => data.readDoubleLE(at)],
  })[dtype];
  const flat = Array.from({ length: data.length / size }, (_, i) => read(i * size));
  assert.equal(flat.length, shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1));
  return { [dtype]: nested(flat, shape) };
}

/** @param {any[]} flat @param {number[]} shape @returns {any[]} Lists of this shape, with the elements in C order. */
function nested(flat, [first, ...rest]) {
  if (rest.length === 0) return flat;
  const row = flat.length / first;
  return Array.from({ length: first }, (_, i) => nested(flat.slice(i * row, (i + 1) * row), rest));
}

/** @param {number[]} numbers @returns {any} A batch of actions of a Discrete space. */
export function actions(...numbers) {
  return { dtype: "int64", shape: [numbers.length], data: Buffer.from(BigInt64Array.from(numbers, BigInt).buffer) };
}

/** A host as a process, which ends with the tests of the file. */
export class HostProcess {
  /** @param {string} [program] Another program than `host.mjs`. */
  constructor(program = fileURLToPath(new URL("../host.mjs", import.meta.url))) {
    this.child = spawn(process.execPath, [program]);
    after(() => this.child.kill());
    this.errors = "";
    this.child.stderr.on("data", (part) => (this.errors += part));
    this.child.stdin.on("error", () => {}); // The host may end before it has read everything.
    /** @type {Promise<number>} */
    this.closed = new Promise((resolve) => this.child.on("close", resolve));
    this.frames = this.#read();
  }

  async *#read() {
    let bytes = Buffer.alloc(0);
    for await (const part of this.child.stdout) {
      bytes = Buffer.concat([bytes, part]);
      while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE()) {
        const end = 4 + bytes.readUInt32BE();
        yield unpack(bytes.subarray(4, end));
        bytes = bytes.subarray(end);
      }
    }
    assert.equal(bytes.length, 0, `the output ends with ${JSON.stringify(bytes.toString("latin1"))}`);
  }

  /** @returns {Promise<any>} The next frame of the host, its arrays as lists under the name of their dtype. */
  async next() {
    const { value, done } = await this.frames.next();
    assert.ok(!done, `the host has ended: ${this.errors}`);
    return plain(value);
  }

  /** @returns {Promise<number>} The status with which the host ends, once its last frames have been read. */
  async status() {
    while (!(await this.frames.next()).done);
    return this.closed;
  }

  /** @param {string} kind @param {any} fields @returns {Promise<any>} */
  async call(kind, fields) {
    this.child.stdin.write(frame(pack({ [kind]: fields })));
    return this.next();
  }

  /** @param {number} env @param {number} lanes @param {string} mode @param {number} length */
  async create(env, lanes, mode, length) {
    const call = { env, spec: "CueCorridor-v0", kwargs: { length }, num_envs: lanes, autoreset_mode: mode };
    const answer = await this.call("create", call);
    assert.deepEqual(Object.keys(answer), ["created"]);
  }
}
