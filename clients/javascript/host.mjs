// @ts-check
/**
 * Hosts environments for a Strategic Memory server: `env-server serve --host 'js=node /path/to/host.mjs'`. One file
 * without dependencies, for Node (18 or newer). docs/hosting.md specifies the protocol.
 *
 * Run as a program, it hosts the example at the end, `CueCorridor-v0`. A program with other environments imports this
 * file first, so that nothing which a later import prints gets between the frames:
 *
 *     import { serve } from "./host.mjs";
 *     import { Maze } from "./maze.mjs";
 *     await serve([{ id: "Maze-v0", description: "…", …, make: (kwargs) => new Maze(kwargs) }]);
 *
 * Prints go to standard error. Two ways around this remain: writing to descriptor 1 with `node:fs`, and starting a
 * process with `stdio: "inherit"`. Environments do neither.
 */

import { Console } from "node:console";
import { realpathSync } from "node:fs";
import { pathToFileURL } from "node:url";

/** @typedef {any} Value An element of a space: a number, (nested) lists or typed arrays, or for a Dict space an object. */
/** @typedef {{ [name: string]: any }} Fields Arguments, options, infos or the fields of a frame, by name. */
/** @typedef {{ type: string, [field: string]: any }} Space As in the HTTP protocol. */
/** @typedef {{ [name: string]: number | boolean }} Info Names do not begin with `_`, and are not `dtype`. */
/** @typedef {{ observation: Value, info?: Info }} ResetResult */
/** @typedef {{ observation: Value, reward: number, terminated: boolean, truncated: boolean, info?: Info }} StepResult */
/** @typedef {{ height: number, width: number, data: Uint8Array }} Picture Red, green and blue of each pixel, in rows. */

/**
 * One environment. Each method may also return a promise of its result.
 * @typedef {object} Lane
 * @property {(seed: bigint | null, options: Fields) => ResetResult | Promise<ResetResult>} reset Begins an episode. A
 *   seed restarts the random stream, null continues it. Options hold for this episode, over the arguments of `make`.
 * @property {(action: any) => StepResult | Promise<StepResult>} step Takes an action: a number of a Discrete space, else
 *   a flat list in C order.
 * @property {() => string | Uint8Array | Promise<string | Uint8Array>} [save] The state, random stream included.
 * @property {(state: any) => void | Promise<void>} [restore] Continues from what `save` returned.
 * @property {() => Picture | null | Promise<Picture | null>} [render] Draws the current state and changes nothing.
 */

/**
 * A kind of environment.
 * @typedef {object} HostedSpec
 * @property {string} id Name with version.
 * @property {string} description Text for people.
 * @property {Fields[]} [parameters] Arguments of `make`, as in the catalogue of the server. None if left out.
 * @property {Space} observationSpace With the default arguments.
 * @property {Space} actionSpace With the default arguments.
 * @property {[number, number]} [rewardRange] Least and greatest reward of one step, where they are known.
 * @property {boolean} [canSave] Whether lanes have `save` and `restore`. False if left out.
 * @property {boolean} [isDeterministic] Whether seeds and actions decide everything. False if left out.
 * @property {(kwargs: Fields) => Lane | Promise<Lane>} make Throw `Refusal` for arguments that do not fit.
 * @property {(kwargs: Fields) => { observationSpace: Space, actionSpace: Space }} [spaces] Where arguments change them.
 */

/** Thrown by `make`: an argument is not accepted; `argument` is its name. Nothing can refuse options of a reset. */
export class Refusal extends Error {
  /** @param {string} reason @param {string} [argument] */
  constructor(reason, argument) {
    super(reason);
    this.name = "Refusal";
    this.argument = argument;
  }
}

/** The input does not follow the protocol. The host ends, since it cannot tell what the server means. */
class ProtocolError extends Error {}

const PROTOCOL = 1;
const NAME = "host.mjs 0.1.0";
/** Longest frame that is read or written. */
const MOST_FRAME_BYTES = 256 * 1024 * 1024;
const MOST_LANES = 65_536;
const MOST_DEPTH = 64;
const MOST_REASON_CHARACTERS = 2_000;

// ---- Standard streams ----

/** The real output, which carries frames alone. */
const writeOutput = process.stdout.write.bind(process.stdout);
// Code that has kept the old console or the stream prints through this property.
process.stdout.write = /** @type {any} */ (process.stderr.write.bind(process.stderr));
globalThis.console = new Console(process.stderr, process.stderr);

/** @param {Uint8Array} body @returns {Promise<void>} Resolves once the frame is written. */
function writeFrame(body) {
  if (body.length > MOST_FRAME_BYTES) throw new Error(`an answer has ${body.length} bytes, more than ${MOST_FRAME_BYTES}`);
  const frame = Buffer.allocUnsafe(4 + body.length);
  frame.writeUInt32BE(body.length);
  frame.set(body, 4);
  return new Promise((resolve, reject) => {
    writeOutput(frame, (/** @type {any} */ error) => (error ? reject(error) : resolve()));
  });
}

/** Cuts the input into frames, wherever its parts begin and end. */
class Frames {
  /** @type {Buffer[]} */
  #parts = [];
  #length = 0;

  /** @param {Buffer} part @returns {Generator<Buffer>} The bodies of the frames that are complete with this part. */
  *push(part) {
    this.#parts.push(part);
    this.#length += part.length;
    while (this.#length >= 4) {
      if (this.#parts[0].length < 4) this.#join();
      const length = this.#parts[0].readUInt32BE();
      if (length > MOST_FRAME_BYTES) throw new ProtocolError(`a frame of ${length} bytes is longer than ${MOST_FRAME_BYTES}`);
      if (this.#length < 4 + length) return;
      const whole = this.#join();
      this.#parts = [whole.subarray(4 + length)];
      this.#length = this.#parts[0].length;
      yield whole.subarray(4, 4 + length);
    }
  }

  /** The input has ended, which it may do between frames only. */
  end() {
    if (this.#length > 0) throw new ProtocolError("the input ends within a frame");
  }

  #join() {
    const whole = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
    this.#parts = [whole];
    return whole;
  }
}

// ---- MessagePack ----

/** Writes the values of frames: nil, booleans, numbers, bigints of 64 bits, text, bytes, lists and maps. */
class Writer {
  #bytes = Buffer.allocUnsafe(1024);
  #length = 0;

  /** @param {any} value @returns {Uint8Array} */
  static encode(value) {
    const writer = new Writer();
    writer.#write(value);
    return writer.#bytes.subarray(0, writer.#length);
  }

  /** @param {number} count @returns {number} Where so many bytes may be written. */
  #room(count) {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const wider = Buffer.allocUnsafe(Math.max(this.#length, 2 * this.#bytes.length));
      this.#bytes.copy(wider, 0, 0, at);
      this.#bytes = wider;
    }
    return at;
  }

  /** Writes a type and a number of so many bytes. @param {number} type @param {number} number @param {number} size */
  #head(type, number, size) {
    const at = this.#room(1 + size);
    this.#bytes[at] = type;
    if (size > 0) this.#bytes.writeUIntBE(number, at + 1, size);
  }

  /** Writes a length in its shortest form. @param {number} length @param {number[]} types For 8, 16 and 32 bits. */
  #length32(length, types) {
    if (types[0] && length < 0x100) this.#head(types[0], length, 1);
    else if (length < 0x10000) this.#head(types[1], length, 2);
    else this.#head(types[2], length, 4);
  }

  /** @param {any} value */
  #write(value) {
    if (value === null || value === undefined) return this.#head(0xc0, 0, 0);
    if (typeof value === "boolean") return this.#head(value ? 0xc3 : 0xc2, 0, 0);
    if (typeof value === "number") return this.#number(value);
    if (typeof value === "bigint") return this.#integer(value);
    if (typeof value === "string") return this.#text(value);
    if (value instanceof Uint8Array) {
      this.#length32(value.length, [0xc4, 0xc5, 0xc6]);
      const at = this.#room(value.length);
      return void this.#bytes.set(value, at);
    }
    if (Array.isArray(value)) {
      if (value.length < 16) this.#head(0x90 | value.length, 0, 0);
      else this.#length32(value.length, [0, 0xdc, 0xdd]);
      return value.forEach((item) => this.#write(item));
    }
    if (typeof value !== "object") throw new TypeError(`${typeof value} has no place in MessagePack`);
    const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
    if (entries.length < 16) this.#head(0x80 | entries.length, 0, 0);
    else this.#length32(entries.length, [0, 0xde, 0xdf]);
    for (const [name, entry] of entries) {
      this.#text(name);
      this.#write(entry);
    }
  }

  /** @param {number} number */
  #number(number) {
    if (number >= 0 && number < 128 && Number.isInteger(number) && !Object.is(number, -0)) return this.#head(number, 0, 0);
    if (Number.isSafeInteger(number) && !Object.is(number, -0)) return this.#integer(BigInt(number));
    const at = this.#room(9);
    this.#bytes[at] = 0xcb;
    this.#bytes.writeDoubleBE(number, at + 1);
  }

  /** @param {bigint} integer */
  #integer(integer) {
    if (integer >= 0n && integer < 128n) return this.#head(Number(integer), 0, 0);
    const at = this.#room(9);
    this.#bytes[at] = integer < 0n ? 0xd3 : 0xcf;
    if (integer < 0n) this.#bytes.writeBigInt64BE(integer, at + 1);
    else this.#bytes.writeBigUInt64BE(integer, at + 1);
  }

  /** @param {string} text */
  #text(text) {
    const length = Buffer.byteLength(text);
    if (length < 32) this.#head(0xa0 | length, 0, 0);
    else this.#length32(length, [0xd9, 0xda, 0xdb]);
    const at = this.#room(length);
    this.#bytes.write(text, at);
  }
}

/** Reads the values of frames. Integers beyond 2^53 become bigints; bytes share the memory of the frame. */
class Reader {
  #bytes;
  #at = 0;
  #text = new TextDecoder("utf-8", { fatal: true });

  /** @param {Buffer} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
  }

  /** @param {Uint8Array} bytes @returns {any} */
  static decode(bytes) {
    const reader = new Reader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    const value = reader.#read(0);
    if (reader.#at !== bytes.length) throw new ProtocolError("bytes follow the value of a frame");
    return value;
  }

  /** @param {number} count @returns {number} Where the next so many bytes are. */
  #next(count) {
    const at = this.#at;
    if (count > this.#bytes.length - at) throw new ProtocolError("a frame is shorter than its value");
    this.#at += count;
    return at;
  }

  /** @param {number} size @returns {number} */
  #unsigned(size) {
    return this.#bytes.readUIntBE(this.#next(size), size);
  }

  /** @param {number} depth @returns {any} */
  #read(depth) {
    if (depth > MOST_DEPTH) throw new ProtocolError(`a value is nested deeper than ${MOST_DEPTH}`);
    const type = this.#unsigned(1);
    if (type < 0x80) return type;
    if (type < 0x90) return this.#map(type & 0x0f, depth);
    if (type < 0xa0) return this.#list(type & 0x0f, depth);
    if (type < 0xc0) return this.#string(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    if (type >= 0xc4 && type <= 0xc6) {
      const length = this.#unsigned(1 << (type - 0xc4));
      const at = this.#next(length);
      return this.#bytes.subarray(at, at + length);
    }
    if (type >= 0xd9 && type <= 0xdb) return this.#string(this.#unsigned(1 << (type - 0xd9)));
    if (type === 0xdc || type === 0xdd) return this.#list(this.#unsigned(type === 0xdc ? 2 : 4), depth);
    if (type === 0xde || type === 0xdf) return this.#map(this.#unsigned(type === 0xde ? 2 : 4), depth);
    return this.#scalar(type);
  }

  /** @param {number} type */
  #scalar(type) {
    switch (type) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xca: return this.#bytes.readFloatBE(this.#next(4));
      case 0xcb: return this.#bytes.readDoubleBE(this.#next(8));
      case 0xcc: return this.#unsigned(1);
      case 0xcd: return this.#unsigned(2);
      case 0xce: return this.#unsigned(4);
      case 0xcf: return narrowed(this.#bytes.readBigUInt64BE(this.#next(8)));
      case 0xd0: return this.#bytes.readInt8(this.#next(1));
      case 0xd1: return this.#bytes.readInt16BE(this.#next(2));
      case 0xd2: return this.#bytes.readInt32BE(this.#next(4));
      case 0xd3: return narrowed(this.#bytes.readBigInt64BE(this.#next(8)));
    }
    throw new ProtocolError(`a value of the type 0x${type.toString(16)}`);
  }

  /** @param {number} length */
  #string(length) {
    const at = this.#next(length);
    try {
      return this.#text.decode(this.#bytes.subarray(at, at + length));
    } catch {
      throw new ProtocolError("text is not UTF-8");
    }
  }

  /** @param {number} length @param {number} depth */
  #list(length, depth) {
    /** @type {any[]} */
    const list = [];
    // The end of the frame stops a length that promises too much.
    for (let i = 0; i < length; i++) list.push(this.#read(depth + 1));
    return list;
  }

  /** @param {number} length @param {number} depth */
  #map(length, depth) {
    // Without a prototype, `__proto__` is a name like others.
    const map = Object.create(null);
    for (let i = 0; i < length; i++) {
      const name = this.#read(depth + 1);
      if (typeof name !== "string") throw new ProtocolError("a key of a map is not text");
      if (name in map) throw new ProtocolError(`a map has ${JSON.stringify(name)} twice`);
      map[name] = this.#read(depth + 1);
    }
    return map;
  }
}

/** @param {bigint} integer @returns {number | bigint} A number where it is exact. */
function narrowed(integer) {
  const number = Number(integer);
  return Number.isSafeInteger(number) ? number : integer;
}

// ---- Batches ----

/** @type {Record<string, { size: number, get: (view: DataView, at: number) => any, set: (view: DataView, at: number, value: any) => void }>} */
const DTYPES = {
  bool: { size: 1, get: (view, at) => view.getUint8(at) !== 0, set: (view, at, value) => view.setUint8(at, value ? 1 : 0) },
  uint8: {
    size: 1,
    get: (view, at) => view.getUint8(at),
    set: (view, at, value) => {
      view.setUint8(at, value);
      if (view.getUint8(at) !== value) throw new RangeError(`${value} is not a uint8`);
    },
  },
  int64: {
    size: 8,
    get: (view, at) => narrowed(view.getBigInt64(at, true)),
    set: (view, at, value) => view.setBigInt64(at, BigInt.asIntN(64, BigInt(value)), true), // A fraction throws.
  },
  float32: {
    size: 4,
    get: (view, at) => view.getFloat32(at, true),
    set: (view, at, value) => view.setFloat32(at, value, true),
  },
  float64: {
    size: 8,
    get: (view, at) => view.getFloat64(at, true),
    set: (view, at, value) => view.setFloat64(at, value, true),
  },
};

/** @typedef {{ dtype: string, shape: number[], data: Uint8Array }} TypedArray An array as it is written in frames. */
/** @typedef {any} Batch A `TypedArray` whose first dimension is the lane; a list or an object of batches. */

/** @param {Space} space @returns {{ dtype: string, shape: number[] }} Of an element that is one array. */
function layoutOf(space) {
  switch (space.type) {
    case "Discrete": return { dtype: "int64", shape: [] };
    case "MultiDiscrete": return { dtype: "int64", shape: [space.nvec.length] };
    case "MultiBinary": return { dtype: "int64", shape: [space.n] };
    case "Box":
      if (Object.hasOwn(DTYPES, space.dtype)) return { dtype: space.dtype, shape: space.shape };
      throw new TypeError(`a Box has the dtype ${space.dtype}; known are ${Object.keys(DTYPES).join(", ")}`);
  }
  throw new TypeError(`${space.type} is not a space`);
}

/** @param {Space} space @param {(part: Space, name: any) => any} each @returns {any} Its parts, or undefined if it has none. */
function partsOf(space, each) {
  if (space.type === "Tuple") return space.spaces.map(each);
  if (space.type !== "Dict") return undefined;
  return Object.fromEntries(Object.entries(space.spaces).map(([name, part]) => [name, each(part, name)]));
}

/** @param {string} dtype @param {number[]} shape @returns {TypedArray} Zeros. */
function zeros(dtype, shape) {
  return { dtype, shape, data: new Uint8Array(shape.reduce((a, b) => a * b, 1) * DTYPES[dtype].size) };
}

/** @param {Space} space @param {number} lanes @returns {Batch} Zeros. */
function emptyBatch(space, lanes) {
  const parts = partsOf(space, (part) => emptyBatch(part, lanes));
  if (parts) return parts;
  const { dtype, shape } = layoutOf(space);
  return zeros(dtype, [lanes, ...shape]);
}

/** Throws where one of the spaces cannot be hosted. @param {string} id @param {{ observationSpace: Space, actionSpace: Space }} spaces */
function checkSpaces(id, { observationSpace, actionSpace }) {
  try {
    emptyBatch(observationSpace, 0);
    emptyActions(actionSpace, 0);
  } catch (error) {
    throw new TypeError(`a space of ${id} cannot be hosted: ${messageOf(error)}`);
  }
}

/** @param {TypedArray} array @param {number} lane @returns {{ view: DataView, count: number }} The lane's elements. */
function rowOf({ dtype, shape, data }, lane) {
  const bytes = data.length / shape[0];
  return { view: new DataView(data.buffer, data.byteOffset + lane * bytes, bytes), count: bytes / DTYPES[dtype].size };
}

/** Writes an element of the space. @param {Space} space @param {Batch} batch @param {number} lane @param {Value} value */
function writeRow(space, batch, lane, value) {
  if (space.type === "Tuple" && value?.length !== space.spaces.length) throw new TypeError("a tuple has another length");
  if (partsOf(space, (part, name) => writeRow(part, batch[name], lane, value[name]))) return;
  const { view, count } = rowOf(batch, lane);
  const { size, set } = DTYPES[batch.dtype];
  const elements = ArrayBuffer.isView(value) ? /** @type {any} */ (value) : [value].flat(Infinity);
  if (elements.length !== count) throw new TypeError(`a value has ${elements.length} elements, its space ${count}`);
  for (let i = 0; i < count; i++) {
    const element = elements[i];
    if (!["number", "bigint", "boolean"].includes(typeof element)) throw new TypeError(`${String(element)} is not a number`);
    set(view, i * size, typeof element === "bigint" ? element : Number(element));
  }
}

/** @param {Space} space @param {Batch} batch @param {number} lane @returns {any} An action, as `Lane.step` expects it. */
function readRow(space, batch, lane) {
  const { view, count } = rowOf(batch, lane);
  const { size, get } = DTYPES[batch.dtype];
  if (space.type === "Discrete") return get(view, 0);
  return Array.from({ length: count }, (_, i) => get(view, i * size));
}

/** Copies a lane's row. @param {Batch} from @param {Batch} to @param {number} lane */
function copyRow(from, to, lane) {
  if (!(from.data instanceof Uint8Array)) return void Object.keys(from).forEach((name) => copyRow(from[name], to[name], lane));
  const bytes = from.data.length / from.shape[0];
  to.data.set(from.data.subarray(lane * bytes, (lane + 1) * bytes), lane * bytes);
}

/** Checks dtype and shape against those of another batch. @param {any} given @param {Batch} like @param {string} name */
function checkBatch(given, like, name) {
  if (!(like.data instanceof Uint8Array)) {
    const names = Object.keys(like);
    if (Object.keys(given ?? {}).length !== names.length) throw new ProtocolError(`${name} has other parts`);
    return names.forEach((part) => checkBatch(given[part], like[part], `${name}/${part}`));
  }
  const isRight =
    given?.dtype === like.dtype &&
    JSON.stringify(given.shape) === JSON.stringify(like.shape) &&
    given.data instanceof Uint8Array &&
    given.data.length === like.data.length;
  if (!isRight) throw new ProtocolError(`${name} is not an array of ${like.dtype} with the shape [${like.shape}]`);
}

/** The batch of actions of a space: floats have their width, everything else is int64. @param {Space} space @param {number} lanes */
function emptyActions(space, lanes) {
  const { dtype, shape } = layoutOf(space);
  return zeros(dtype.startsWith("float") ? dtype : "int64", [lanes, ...shape]);
}

/** Infos of the lanes, in Gymnasium's form: a row for each lane, and a mask of the lanes that have the name. */
class Infos {
  /** @type {Record<string, TypedArray>} */
  #columns = {};
  #lanes;

  /** @param {number} lanes */
  constructor(lanes) {
    this.#lanes = lanes;
  }

  /** @param {number} lane @param {Info | undefined} info */
  add(lane, info) {
    for (const [name, value] of Object.entries(info ?? {})) {
      // These names would be read as masks, and as a part of an array.
      if (name.startsWith("_") || name === "dtype") throw new TypeError(`an info cannot have the name ${name}`);
      const dtype = typeof value === "boolean" ? "bool" : "float64";
      if (typeof value !== "boolean" && !Number.isFinite(value)) throw new TypeError(`the info ${name} is no finite number`);
      const column = (this.#columns[name] ??= zeros(dtype, [this.#lanes]));
      if (column.dtype !== dtype) throw new TypeError(`the info ${name} is a number in one lane, and a boolean in another`);
      DTYPES[dtype].set(rowOf(column, lane).view, 0, value);
      (this.#columns[`_${name}`] ??= zeros("bool", [this.#lanes])).data[lane] = 1;
    }
  }

  /** @returns {Fields | undefined} Undefined if no lane has infos. */
  get columns() {
    return Object.keys(this.#columns).length > 0 ? this.#columns : undefined;
  }
}

// ---- Vectors ----

/** Phases of a lane. */
const NEW = 0;
const PLAYING = 1;
const ENDED = 2;

const AUTORESET_MODES = ["NextStep", "SameStep", "Disabled"];

/** Lanes that are stepped together. */
class Vector {
  #lanes;
  #mode;
  /** @type {{ observationSpace: Space, actionSpace: Space }} */
  #spaces;
  /** Last observations. */
  #observations;
  #actions;
  /** @type {number[]} */
  #phases;
  /** Options of each lane's last requested reset, which automatic resets use again. @type {Fields[]} */
  #options;

  /** @param {Lane[]} lanes @param {string} mode @param {{ observationSpace: Space, actionSpace: Space }} spaces */
  constructor(lanes, mode, spaces) {
    this.#lanes = lanes;
    this.#mode = mode;
    this.#spaces = spaces;
    this.#observations = emptyBatch(spaces.observationSpace, lanes.length);
    this.#actions = emptyActions(spaces.actionSpace, lanes.length);
    this.#phases = lanes.map(() => NEW);
    this.#options = lanes.map(() => ({}));
  }

  /** @param {Fields} call */
  async reset({ mask, seeds, options }) {
    const count = this.#lanes.length;
    if (mask && !isListOf(mask, count, (flag) => typeof flag === "boolean")) throw new ProtocolError("mask is not a boolean for each lane");
    if (!isListOf(seeds, count, isSeed)) throw new ProtocolError("seeds is not a seed or nil for each lane");
    const infos = new Infos(count);
    for (let i = 0; i < count; i++) {
      if (mask && !mask[i]) continue;
      if (this.#phases[i] === NEW && seeds[i] === null) throw new ProtocolError(`the first reset of lane ${i} has no seed`);
      infos.add(i, await this.#reset(i, seeds[i] === null ? null : BigInt(seeds[i]), { ...options }));
    }
    return { observed: { observations: this.#observations, infos: infos.columns } };
  }

  /** @param {number} i @param {bigint | null} seed @param {Fields} options @returns {Promise<Info | undefined>} */
  async #reset(i, seed, options) {
    const { observation, info } = await this.#lanes[i].reset(seed, options);
    writeRow(this.#spaces.observationSpace, this.#observations, i, observation);
    this.#phases[i] = PLAYING;
    this.#options[i] = options;
    return info;
  }

  /** @param {Fields} call */
  async step({ actions }) {
    checkBatch(actions, this.#actions, "actions");
    const count = this.#lanes.length;
    const idle = this.#phases.findIndex((phase) => phase === NEW || (phase === ENDED && this.#mode !== "NextStep"));
    if (idle >= 0) throw new ProtocolError(`a step of lane ${idle}, which plays no episode`);
    const rewards = zeros("float64", [count]);
    const [terminations, truncations] = [zeros("bool", [count]), zeros("bool", [count])];
    const [infos, finalInfos] = [new Infos(count), new Infos(count)];
    /** @type {Batch} */
    let finals;
    for (let i = 0; i < count; i++) {
      if (this.#phases[i] === ENDED) {
        infos.add(i, await this.#reset(i, null, this.#options[i]));
        continue;
      }
      const result = await this.#lanes[i].step(readRow(this.#spaces.actionSpace, actions, i));
      this.#take(i, result);
      DTYPES.float64.set(rowOf(rewards, i).view, 0, result.reward);
      terminations.data[i] = Number(result.terminated);
      truncations.data[i] = Number(result.truncated);
      if (this.#phases[i] === PLAYING || this.#mode !== "SameStep") {
        infos.add(i, result.info);
        continue;
      }
      finals ??= emptyBatch(this.#spaces.observationSpace, count);
      copyRow(this.#observations, finals, i);
      finalInfos.add(i, result.info);
      infos.add(i, await this.#reset(i, null, this.#options[i]));
    }
    const answer = { observations: this.#observations, rewards, terminations, truncations, infos: infos.columns };
    return { stepped: { ...answer, final_observations: finals, final_infos: finalInfos.columns } };
  }

  /** Keeps the observation of a step. @param {number} i @param {StepResult} result */
  #take(i, { observation, reward, terminated, truncated }) {
    if (!Number.isFinite(reward)) throw new TypeError(`the reward of lane ${i} is ${String(reward)}`);
    if (typeof terminated !== "boolean" || typeof truncated !== "boolean") {
      throw new TypeError(`terminated and truncated of lane ${i} are not booleans`);
    }
    writeRow(this.#spaces.observationSpace, this.#observations, i, observation);
    if (terminated || truncated) this.#phases[i] = ENDED;
  }

  /** @param {Fields} call */
  async render({ lane }) {
    if (!Number.isInteger(lane) || lane < 0 || lane >= this.#lanes.length) throw new ProtocolError("render of an unknown lane");
    const picture = await this.#lanes[lane].render?.();
    if (!picture) return { rendered: {} };
    const { height, width, data } = picture;
    if (!(data instanceof Uint8Array) || data.length !== height * width * 3) throw new TypeError("a picture has another size than its pixels");
    return { rendered: { frame: { dtype: "uint8", shape: [height, width, 3], data } } };
  }

  async save() {
    const lanes = [];
    for (const [i, lane] of this.#lanes.entries()) {
      const state = await lane.save?.();
      if (typeof state !== "string" && !(state instanceof Uint8Array)) throw new TypeError(`the state of lane ${i} is not text or bytes`);
      lanes.push(state);
    }
    const state = { lanes, phases: this.#phases, options: this.#options, observations: this.#observations };
    return { saved: { state: Writer.encode(state) } };
  }

  /** @param {Fields} call */
  async restore({ state }) {
    if (!(state instanceof Uint8Array)) throw new ProtocolError("state is not bytes");
    const { lanes, phases, options, observations } = readState(state, this.#lanes.length, this.#observations);
    for (const [i, lane] of this.#lanes.entries()) {
      if (!lane.restore) throw new TypeError("the environment has no restore");
      await lane.restore(lanes[i]);
      copyRow(observations, this.#observations, i);
    }
    this.#phases = phases;
    this.#options = options;
    return { restored: {} };
  }
}

/** @param {Uint8Array} bytes @param {number} count @param {Batch} like @returns {Fields} A checked state of so many lanes. */
function readState(bytes, count, like) {
  try {
    const state = Reader.decode(bytes);
    const isRight =
      isListOf(state?.lanes, count, (lane) => typeof lane === "string" || lane instanceof Uint8Array) &&
      isListOf(state.phases, count, (phase) => [NEW, PLAYING, ENDED].includes(phase)) &&
      isListOf(state.options, count, isMap);
    if (!isRight) throw new Error("it has other fields or another number of lanes");
    checkBatch(state.observations, like, "observations");
    return state;
  } catch (error) {
    // The state is not the protocol's: only this vector fails.
    throw new Error(`the state cannot be read: ${messageOf(error)}`);
  }
}

/** @param {any} list @param {number} length @param {(item: any) => boolean} holds */
function isListOf(list, length, holds) {
  return Array.isArray(list) && list.length === length && list.every(holds);
}

/** @param {any} value */
function isMap(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

/** @param {any} seed */
function isSeed(seed) {
  return seed === null || ((Number.isSafeInteger(seed) || typeof seed === "bigint") && seed >= 0);
}

/** @param {unknown} error @returns {string} */
function messageOf(error) {
  return String(error instanceof Error ? error.message : error).slice(0, MOST_REASON_CHARACTERS);
}

// ---- Calls ----

/** The fields of each call: those that it must have, and those that may be left out. @type {Record<string, [string[], string[]]>} */
const CALLS = {
  create: [["env", "spec", "kwargs", "num_envs", "autoreset_mode"], []],
  reset: [["env", "seeds", "options"], ["mask"]],
  step: [["env", "actions"], []],
  render: [["env", "lane"], []],
  save: [["env"], []],
  restore: [["env", "state"], []],
  close: [["env"], []],
};

/** @param {any} frame @returns {[string, Fields]} Kind and fields of a call that has the right names. */
function readCall(frame) {
  if (!isMap(frame) || Object.keys(frame).length !== 1) throw new ProtocolError("a frame is not a map with one key");
  const [[kind, call]] = Object.entries(frame);
  if (!Object.hasOwn(CALLS, kind)) throw new ProtocolError(`unknown kind of frame: ${JSON.stringify(kind)}`);
  if (!isMap(call)) throw new ProtocolError(`${kind} is not a map of fields`);
  const [needed, optional] = CALLS[kind];
  const missing = needed.find((name) => !(name in call));
  if (missing) throw new ProtocolError(`${kind} lacks the field ${missing}`);
  const unknown = Object.keys(call).find((name) => !needed.includes(name) && !optional.includes(name));
  if (unknown !== undefined) throw new ProtocolError(`${kind} has the unknown field ${JSON.stringify(unknown)}`);
  if (!Number.isSafeInteger(call.env) && typeof call.env !== "bigint") throw new ProtocolError(`env of ${kind} is not an integer`);
  for (const name of ["kwargs", "options"]) {
    if (name in call && !isMap(call[name])) throw new ProtocolError(`${name} of ${kind} is not a map`);
  }
  return [kind, call];
}

/** Vectors by number, and the specs that they are made of. */
class Host {
  /** @type {Map<string, HostedSpec>} */
  #specs;
  /** @type {Map<number | bigint, Vector>} */
  #vectors = new Map();

  /** @param {HostedSpec[]} specs */
  constructor(specs) {
    this.#specs = new Map(specs.map((spec) => [spec.id, spec]));
    if (this.#specs.size !== specs.length) throw new TypeError("two specs have the same id");
    for (const spec of specs) checkSpaces(spec.id, spec);
  }

  /** @param {string} name @returns {Fields} The first frame. */
  hello(name) {
    const specs = [...this.#specs.values()].map((spec) => ({
      id: spec.id,
      description: spec.description,
      parameters: spec.parameters ?? [],
      observation_space: spec.observationSpace,
      action_space: spec.actionSpace,
      reward_range: spec.rewardRange,
      can_save: spec.canSave ?? false,
      is_deterministic: spec.isDeterministic ?? false,
    }));
    return { hello: { protocol: PROTOCOL, name, specs } };
  }

  /** @param {any} frame A call. @returns {Promise<Fields>} The frame that answers it. */
  async answer(frame) {
    const [kind, call] = readCall(frame);
    try {
      if (kind === "create") return await this.#create(call);
      const vector = this.#vectors.get(call.env);
      if (!vector) throw new Error(`there is no vector ${call.env}`);
      if (kind === "close") {
        this.#vectors.delete(call.env);
        return { closed: {} };
      }
      return await /** @type {any} */ (vector)[kind](call);
    } catch (error) {
      if (error instanceof ProtocolError) throw error;
      if (error instanceof Refusal && kind === "create") {
        return { refused: { reason: messageOf(error), name: error.argument } };
      }
      this.#vectors.delete(call.env);
      console.error(`${kind} of vector ${call.env} has failed:`, error);
      return { failed: { reason: messageOf(error) } };
    }
  }

  /** @param {Fields} call */
  async #create({ env, spec: id, kwargs, num_envs: count, autoreset_mode: mode }) {
    const spec = this.#specs.get(id);
    if (!spec) throw new ProtocolError(`create of the unknown spec ${JSON.stringify(id)}`);
    if (this.#vectors.has(env)) throw new ProtocolError(`create of vector ${env}, which exists`);
    if (!Number.isInteger(count) || count < 1 || count > MOST_LANES) throw new ProtocolError(`num_envs is not from 1 to ${MOST_LANES}`);
    if (!AUTORESET_MODES.includes(mode)) throw new ProtocolError(`unknown autoreset_mode: ${JSON.stringify(mode)}`);
    const spaces = spec.spaces?.({ ...kwargs }) ?? spec;
    checkSpaces(id, spaces);
    /** @type {Lane[]} */
    const lanes = [];
    for (let i = 0; i < count; i++) lanes.push(await spec.make({ ...kwargs }));
    this.#vectors.set(env, new Vector(lanes, mode, spaces));
    return { created: { observation_space: spaces.observationSpace, action_space: spaces.actionSpace } };
  }
}

/**
 * Hosts environments on the standard streams until the input ends; then ends the process, with status 0. Input that
 * does not follow the protocol ends it with status 2 and a line on standard error.
 * @param {HostedSpec[]} specs
 * @param {string} [name] Name and version of the host, for people.
 * @returns {Promise<never>}
 */
export async function serve(specs, name = NAME) {
  process.stdout.on("error", () => {}); // The callback of the write reports it.
  try {
    const host = new Host(specs);
    const frames = new Frames();
    await writeFrame(Writer.encode(host.hello(name)));
    for await (const part of process.stdin) {
      for (const frame of frames.push(part)) await writeFrame(Writer.encode(await host.answer(Reader.decode(frame))));
    }
    frames.end();
  } catch (error) {
    // An error that is not the protocol's is the host's own: its place helps.
    const isPlain = error instanceof ProtocolError || /** @type {any} */ (error)?.syscall === "write";
    process.stderr.write(`host: ${isPlain ? messageOf(error) : /** @type {any} */ (error)?.stack}\n`);
    process.exit(2);
  }
  process.exit(0);
}

// ---- The example ----

const MASK_64 = 2n ** 64n - 1n;

/** The generator SplitMix64: its state is the seed, and 64 bits that it adds to with each draw. */
class SplitMix64 {
  /** @param {bigint} state */
  constructor(state) {
    this.state = state;
  }

  /** @returns {bigint} The next 64 bits. */
  next() {
    this.state = (this.state + 0x9e3779b97f4a7c15n) & MASK_64;
    let z = this.state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK_64;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK_64;
    return z ^ (z >> 31n);
  }
}

const [FORWARD, LEFT] = [0, 1];

/**
 * A corridor with a junction at its end. The first observation of an episode shows a side, the cue. The junction is
 * `length` steps away, and there the player must turn to that side, for a reward of 1; the other costs 1. Forward at
 * the junction and turns in the corridor do nothing. An episode is cut off after 3 · `length` steps.
 * @implements {Lane}
 */
class CueCorridor {
  /** @param {Fields} kwargs */
  constructor({ length }) {
    this.default = length;
    this.length = length;
    this.random = new SplitMix64(0n);
    this.side = LEFT;
    this.place = 0;
    this.steps = 0;
  }

  /** @param {bigint | null} seed @param {Fields} options */
  reset(seed, { length = this.default }) {
    if (seed !== null) this.random = new SplitMix64(seed);
    this.length = length;
    // The highest bit of a draw: 0 is left, 1 is right.
    this.side = LEFT + Number(this.random.next() >> 63n);
    this.place = 0;
    this.steps = 0;
    return { observation: this.#observe() };
  }

  /** @param {number} action */
  step(action) {
    this.steps += 1;
    const terminated = this.place === this.length && action !== FORWARD;
    if (action === FORWARD && this.place < this.length) this.place += 1;
    const reward = !terminated ? 0 : action === this.side ? 1 : -1;
    const truncated = !terminated && this.steps >= 3 * this.length;
    return { observation: this.#observe(), reward, terminated, truncated };
  }

  #observe() {
    return { cue: this.steps === 0 ? this.side : 0, walked: [this.place / this.length] };
  }

  save() {
    const { length, side, place, steps } = this;
    return JSON.stringify({ length, side, place, steps, random: String(this.random.state) });
  }

  /** @param {string} text */
  restore(text) {
    const { random, ...state } = JSON.parse(text);
    Object.assign(this, state);
    this.random = new SplitMix64(BigInt(random));
  }

  /** @returns {Picture} Three rows of squares: the corridor in the middle, the cue over or under its first square. */
  render() {
    const size = 8;
    const [height, width] = [3 * size, (this.length + 1) * size];
    const data = new Uint8Array(height * width * 3);
    for (let pixel = 0; pixel < height * width; pixel++) {
      const row = Math.floor(pixel / width / size);
      const column = Math.floor((pixel % width) / size);
      let colour = row === 1 || column === this.length ? [200, 200, 200] : [40, 40, 40];
      if (row === 1 && column === this.place) colour = [40, 80, 220];
      if (this.steps === 0 && column === 0 && row === (this.side === LEFT ? 0 : 2)) colour = [40, 180, 80];
      data.set(colour, 3 * pixel);
    }
    return { height, width, data };
  }
}

/** @type {HostedSpec} */
const CUE_CORRIDOR = {
  id: "CueCorridor-v0",
  description: "The side that the first observation shows is where to turn at the end of a corridor.",
  parameters: [
    {
      name: "length",
      description: "steps from the start to the junction",
      type: "integer",
      minimum: 2,
      maximum: 100,
      default: 8,
      resettable: true,
    },
  ],
  observationSpace: {
    type: "Dict",
    spaces: {
      // 0: no cue, 1: left, 2: right.
      cue: { type: "Discrete", n: 3, start: 0 },
      // The part of the corridor behind the player.
      walked: { type: "Box", shape: [1], dtype: "float32", low: 0, high: 1 },
    },
  },
  // 0: forward, 1: left, 2: right.
  actionSpace: { type: "Discrete", n: 3, start: 0 },
  rewardRange: [-1, 1],
  canSave: true,
  isDeterministic: true,
  make: (kwargs) => new CueCorridor(kwargs),
};

const program = process.argv[1];
if (program && pathToFileURL(realpathSync(program)).href === import.meta.url) await serve([CUE_CORRIDOR]);
