// @ts-check
/**
 * Environments of a Strategic Memory server, over HTTP. One file without dependencies, for Node (18 or newer) and
 * browsers.
 *
 * Every operation on an environment carries a number, `seq`, and the server applies each number once. So this client
 * sends an operation again, byte for byte, whenever it is in doubt: after a lost connection, silence or a 503. If it
 * gives up, it keeps the operation: repeating the same call continues with it, and another call first lets it finish.
 *
 * Results and reset options have the names used on the wire, which are Gymnasium's. See docs/protocol.md.
 */

/** @typedef {any} Value An element of a space: a number, nested lists of numbers, or for a Dict space an object. */
/** @typedef {{ [name: string]: any }} Fields Arguments, options or infos, by name. */
/** @typedef {number | bigint} Seed An integer from 0 to 2^64 - 1; from 2^53 on only a bigint is exact. */
/** @typedef {number | bigint | ArrayLike<any>} Action A number, or lists or typed arrays of them. */
/** @typedef {"NextStep" | "SameStep" | "Disabled"} AutoresetMode Gymnasium's. */
/** @typedef {{ pointer: string, detail: string }} FieldError A JSON pointer into the body, and what is wrong there. */

/**
 * A problem document (RFC 9457), as the server sends it.
 * @typedef {{ type?: string, title?: string, status: number, detail: string, instance?: string, code: string,
 *   retryable: boolean, expected_seq?: number, errors?: FieldError[] }} Problem
 */

/**
 * How long to wait, and how long to keep trying.
 * @typedef {object} Settings
 * @property {string} [token] Bearer token, if the server requires one. In Node, `$STRATEGIC_MEMORY_TOKEN` if left out.
 * @property {number} [timeoutMs] Longest wait for one answer. 30,000 if left out.
 * @property {number} [giveUpAfterMs] Time from the first try after which there is no other; 0 tries once. 60,000 if left
 *   out. Creating an environment gives up after at most 10,000, so that a wrong address is reported soon.
 * @property {number} [firstDelayMs] Pause before the second try; it doubles with each further try. 50 if left out.
 * @property {number} [longestDelayMs] Longest pause, unless Retry-After asks for a longer one. 2,000 if left out.
 * @property {number} [maxReplyBytes] Longest reply that is read. 268,435,456 if left out.
 */

/**
 * @typedef {object} Making
 * @property {Fields} [kwargs] Arguments of the environment.
 * @property {Seed} [seed] Of the first reset without a seed. The server draws one if left out.
 * @property {string} [envId] The environment's name on the server; a random one if left out.
 * @property {number} [ttlS] Seconds that it lives after its last operation.
 */

/** @typedef {{ observation: Value, info: Fields }} ResetResult */
/** @typedef {{ observation: Value, reward: number, terminated: boolean, truncated: boolean, info: Fields }} StepResult */
/** @typedef {{ observations: any, infos: Fields }} VectorResetResult */
/**
 * @typedef {{ observations: any, rewards: number[], terminations: boolean[], truncations: boolean[], infos: Fields }}
 *   VectorStepResult
 */

/** The server refused, and nothing has changed on it. */
export class ServerProblem extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    const places = (problem.errors ?? []).map((error) => error.pointer).filter(Boolean);
    const at = places.length > 0 ? ` [at ${places.join(", ")}]` : "";
    super(`${problem.code} (${problem.status}): ${problem.detail || problem.title}${at}`);
    this.name = "ServerProblem";
    /** The whole document. */
    this.problem = problem;
    /** The kind of problem, for programs: `needs-reset`, `invalid-action`, … */
    this.code = problem.code;
    /** HTTP status. */
    this.status = problem.status;
    /** Whether the same request may succeed later. */
    this.retryable = problem.retryable;
  }
}

/**
 * No usable answer for as long as the settings allow; `cause` is the outcome of the last try. The operation may or may
 * not have been applied: repeat the same call to continue with it.
 */
export class ServerUnreachable extends Error {
  /** @param {string} message @param {unknown} cause */
  constructor(message, cause) {
    super(message, { cause });
    this.name = "ServerUnreachable";
  }
}

/** The answer does not follow the protocol: perhaps it is another program, or a proxy's own page. */
export class ProtocolError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "ProtocolError";
  }
}

const CREATE_PATIENCE_MS = 10_000;
const CLOSE_PATIENCE_MS = 5_000;
/** The longest time of a timer: 24 days. */
const MOST_TIMEOUT_MS = 2 ** 31 - 1;
/** Statuses after which another try may help even if they come from another server, such as a proxy. */
const DOUBTFUL_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Text that is JSON already. */
class Raw {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/**
 * Encodes a value as JSON, with bigints as numbers and typed arrays as lists. Undefined fields are left out. Values
 * that JSON cannot express are errors: `JSON.stringify` would write null for a seed of NaN, and null means no seed.
 * @param {any} value
 * @param {string} [place] A JSON pointer to the value in the body.
 * @returns {string}
 */
function encode(value, place = "") {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Raw) return value.text;
  if (ArrayBuffer.isView(value)) return encode(Array.from(/** @type {any} */ (value)), place);
  if (Array.isArray(value)) return `[${Array.from(value, (each, i) => encode(each, `${place}/${i}`)).join(",")}]`;
  if (typeof value === "number") checkFinite(value, place);
  if (typeof value !== "object" || value === null) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`${String(value)} cannot be sent [at ${place || "/"}]`);
    return text;
  }
  const given = Object.entries(value).filter(([, each]) => each !== undefined);
  return `{${given.map(([name, each]) => `${JSON.stringify(name)}:${encode(each, pointer(place, name))}`).join(",")}}`;
}

/** @param {string} place @param {string} name @returns {string} The JSON pointer (RFC 6901) to a field. */
function pointer(place, name) {
  return `${place}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

/** @param {number} number @param {string} place */
function checkFinite(number, place) {
  if (!Number.isFinite(number)) throw new RangeError(`${number} is not a finite number [at ${place}]`);
}

/** @param {Fields} fields @returns {string} The given fields as a query string. */
function query(fields) {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) if (typeof value === "number") checkFinite(value, name);
  return given.length > 0 ? `?${given.map(([name, value]) => `${name}=${value}`).join("&")}` : "";
}

/** @returns {string} 128 random bits. */
function randomId() {
  const bytes = new Uint8Array(16);
  // Node 18 has no global `crypto`. An id has to be unique, not hard to guess.
  if (globalThis.crypto) globalThis.crypto.getRandomValues(bytes);
  else bytes.forEach((_, i) => (bytes[i] = Math.floor(Math.random() * 256)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @typedef {{ method: string, path: string, body?: string, accept?: string }} Request */
/** @typedef {{ status: number, mediaType: string, retryAfterMs: number, bytes: Uint8Array }} Reply */

/** Sends requests that may be repeated, until there is an answer. */
class Transport {
  #base;
  /** @type {Record<string, string>} */
  #headers = {};
  #settings;

  /** @param {string} url @param {Settings} settings */
  constructor(url, settings) {
    const parsed = new URL(url);
    if (!/^https?:$/.test(parsed.protocol)) throw new TypeError(`${url} is not a server's URL`);
    if (parsed.username || parsed.password || parsed.search || parsed.hash) {
      throw new TypeError("a server's URL has no user, query or fragment; give the token apart");
    }
    this.#base = parsed.origin + parsed.pathname.replace(/\/+$/, "");
    // Browsers have no `process`.
    const token = settings.token ?? (/** @type {any} */ (globalThis).process?.env?.STRATEGIC_MEMORY_TOKEN || undefined);
    if (token !== undefined) this.#headers.authorization = `Bearer ${token}`;
    new Headers(this.#headers); // An invalid token is an error now, not a failed try later.
    const defaults = {
      timeoutMs: 30_000,
      giveUpAfterMs: 60_000,
      firstDelayMs: 50,
      longestDelayMs: 2_000,
      maxReplyBytes: 256 * 1024 * 1024,
    };
    this.#settings = { ...defaults, ...settings };
    for (const name of /** @type {(keyof typeof defaults)[]} */ (Object.keys(defaults))) {
      // Infinity is allowed, NaN is not.
      if (!(this.#settings[name] >= 0)) throw new RangeError(`${name} is a number from 0 on, not ${this.#settings[name]}`);
    }
  }

  /**
   * @param {Request} request
   * @param {number} [patienceMs] Gives up after this long, if that is sooner.
   * @returns {Promise<Reply>} A successful reply.
   */
  async send(request, patienceMs = Infinity) {
    const { firstDelayMs, longestDelayMs } = this.#settings;
    const giveUpAt = Date.now() + Math.min(this.#settings.giveUpAfterMs, patienceMs);
    for (let tries = 1; ; tries++) {
      /** @type {unknown} */
      let cause;
      let delayMs = Math.min(firstDelayMs * 2 ** (tries - 1), longestDelayMs) * (0.5 + Math.random() / 2);
      try {
        const reply = await this.#attempt(request);
        if (reply.status < 300) return reply;
        cause = problemOf(reply);
        delayMs = Math.max(delayMs, reply.retryAfterMs);
      } catch (error) {
        if (error instanceof ProtocolError) throw error; // Another try would find the same.
        cause = error;
      }
      const isFinal = cause instanceof ServerProblem && !cause.retryable;
      if (!isFinal && Date.now() + delayMs <= giveUpAt) {
        await new Promise((resume) => setTimeout(resume, delayMs));
        continue;
      }
      if (cause instanceof ServerProblem) throw cause;
      // The message of Node's fetch is "fetch failed"; the reason is its cause.
      const last = /** @type {any} */ (cause)?.cause ?? cause;
      const name = `${request.method} ${this.#base}${request.path}`;
      throw new ServerUnreachable(`${name}: no answer in ${tries} tries; the last one: ${last.message || last.code}`, cause);
    }
  }

  /** @param {Request} request @returns {Promise<Reply>} */
  async #attempt({ method, path, body, accept = "application/json" }) {
    const headers = new Headers({ ...this.#headers, accept });
    // Also without a body: a page in a browser cannot send this type to another site without permission, so servers
    // may require it for every change.
    if (method !== "GET") headers.set("content-type", "application/json");
    const signal = AbortSignal.timeout(Math.min(this.#settings.timeoutMs, MOST_TIMEOUT_MS));
    const response = await fetch(this.#base + path, { method, headers, body, signal });
    return {
      status: response.status,
      mediaType: (response.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase(),
      retryAfterMs: 1000 * (Number(response.headers.get("retry-after")) || 0),
      bytes: await this.#bodyOf(response),
    };
  }

  /** @param {Response} response @returns {Promise<Uint8Array>} Its body, read up to the largest allowed length. */
  async #bodyOf(response) {
    const most = this.#settings.maxReplyBytes;
    /** @type {Uint8Array[]} */
    const parts = [];
    let length = 0;
    const reader = response.body?.getReader();
    for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
      length += part.value.length;
      if (length > most) {
        await reader?.cancel().catch(() => {});
        throw new ProtocolError(`the reply is longer than ${most} bytes`);
      }
      parts.push(part.value);
    }
    if (parts.length === 1) return parts[0];
    const whole = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}

/** @param {Reply} reply */
function textOf(reply) {
  return new TextDecoder().decode(reply.bytes);
}

/** @param {Reply} reply @returns {any} */
function jsonOf(reply) {
  const text = textOf(reply);
  if (reply.mediaType === "application/json") {
    try {
      return JSON.parse(text);
    } catch {
      // Reported below.
    }
  }
  throw new ProtocolError(`the reply is ${reply.mediaType || "of no type"}: ${JSON.stringify(text.slice(0, 200))}`);
}

/** @param {Reply} reply An error. */
function problemOf(reply) {
  const text = textOf(reply);
  if (reply.mediaType === "application/problem+json") {
    try {
      return new ServerProblem(JSON.parse(text));
    } catch {
      // The detail below shows the body instead.
    }
  }
  const detail = `status ${reply.status} without a problem document: ${JSON.stringify(text.slice(0, 200))}`;
  const retryable = DOUBTFUL_STATUSES.has(reply.status);
  return new ServerProblem({ status: reply.status, code: "unknown", detail, retryable });
}

/** A server. */
export class Client {
  #transport;

  /** @param {string} [url] Where it is, perhaps with a path in front of `/v1`. @param {Settings} [settings] */
  constructor(url = "http://127.0.0.1:7878", settings = {}) {
    this.#transport = new Transport(url, settings);
  }

  /** @returns {Promise<any[]>} The catalogue: all specs, with arguments, spaces and returns. */
  async specs() {
    return (await this.#get("/v1/specs")).specs;
  }

  /** @param {string} specId @returns {Promise<any>} One entry of the catalogue. */
  async spec(specId) {
    return this.#get(`/v1/specs/${encodeURIComponent(specId)}`);
  }

  /** @returns {Promise<{ name: string, version: string, snapshot_version: number }>} */
  async version() {
    return this.#get("/v1/version");
  }

  /**
   * Creates an environment. If one with this `envId` exists and was created in the same way, returns that one.
   * @param {string} specId @param {Making} [making]
   */
  async make(specId, making = {}) {
    return new Env(this.#transport, await this.#put("envs", specId, making, {}));
  }

  /**
   * Creates a vector environment of `numEnvs` lanes; lane i of seed s behaves like a single environment of seed s + i.
   * @param {string} specId @param {number} numEnvs
   * @param {Omit<Making, "seed"> & { seed?: Seed | Seed[], autoresetMode?: AutoresetMode }} [making]
   */
  async makeVector(specId, numEnvs, making = {}) {
    const fields = { num_envs: numEnvs, autoreset_mode: making.autoresetMode };
    return new VectorEnv(this.#transport, await this.#put("vector-envs", specId, making, fields));
  }

  /** Continues with an existing environment. @param {string} envId */
  async attach(envId) {
    return new Env(this.#transport, await this.#get(`/v1/envs/${encodeURIComponent(envId)}`));
  }

  /** Continues with an existing vector environment. @param {string} envId */
  async attachVector(envId) {
    return new VectorEnv(this.#transport, await this.#get(`/v1/vector-envs/${encodeURIComponent(envId)}`));
  }

  /** @param {string} path */
  async #get(path) {
    return jsonOf(await this.#transport.send({ method: "GET", path }, CREATE_PATIENCE_MS));
  }

  /**
   * @param {string} kind @param {string} specId
   * @param {Omit<Making, "seed"> & { seed?: Seed | Seed[] }} making @param {Fields} fields
   */
  async #put(kind, specId, making, fields) {
    const { kwargs, seed, ttlS, envId = randomId() } = making;
    const body = encode({ spec_id: specId, kwargs, seed, ttl_s: ttlS, ...fields });
    const path = `/v1/${kind}/${encodeURIComponent(envId)}`;
    return jsonOf(await this.#transport.send({ method: "PUT", path, body }, CREATE_PATIENCE_MS));
  }
}

/** The common part of single and vector environments. Calls on one environment take turns, in the order made. */
class Remote {
  #path;
  #isClosed = false;
  /** Settles when all calls made so far have ended. @type {Promise<unknown>} */
  #turn = Promise.resolve();
  /** The last operation, while it is unknown whether it was applied. @type {Request | undefined} */
  #inDoubt;

  /** @param {Transport} transport @param {string} kind @param {any} description */
  constructor(transport, kind, description) {
    /** @protected */
    this._transport = transport;
    this.#path = `/v1/${kind}/${encodeURIComponent(description.env_id)}`;
    /** Its name on the server. @type {string} */
    this.envId = description.env_id;
    /** @type {string} */
    this.specId = description.spec_id;
    /** Its arguments, including defaults. @type {Fields} */
    this.kwargs = description.kwargs;
    /** Number of the next operation. @type {number} */
    this.seq = description.seq;
  }

  /** Describes the environment as it is now: `seq`, `expires_in_s`, spaces, … @returns {Promise<any>} */
  async describe() {
    return jsonOf(await this._transport.send({ method: "GET", path: this.#path }));
  }

  /**
   * Returns the whole state, random stream included, as JSON text. Parsing it may lose digits, so pass it on as it is.
   * It also holds what the agent is not shown.
   */
  async snapshot() {
    const reply = await this._transport.send({ method: "GET", path: `${this.#path}/snapshot` });
    jsonOf(reply);
    return textOf(reply);
  }

  /** Restores a state. @param {string} snapshot The result of `snapshot()` of such an environment. */
  async restore(snapshot) {
    JSON.parse(snapshot);
    await this._operate("restore", { snapshot: new Raw(snapshot) });
  }

  /**
   * Returns a picture of the current state, for people: it also shows what the agent is not shown.
   * @param {{ format?: "text" | "png", lane?: number, colour?: boolean }} [how] `colour`: escape codes in text.
   * @returns {Promise<string | Uint8Array>} Text, or the bytes of a PNG file.
   */
  async render({ format = "text", lane, colour } = {}) {
    const accept = format === "png" ? "image/png" : "text/plain";
    const path = `${this.#path}/render${query({ lane, colour })}`;
    const reply = await this._transport.send({ method: "GET", path, accept });
    if (reply.mediaType !== accept) throw new ProtocolError(`the picture is ${reply.mediaType}, not ${accept}`);
    return format === "png" ? reply.bytes : textOf(reply);
  }

  /**
   * Returns a page of the operations played, with the state before the first of them.
   * @param {{ from?: number, limit?: number }} [page] `from`: `next` of the page before.
   * @returns {Promise<any>}
   */
  async trajectory({ from, limit } = {}) {
    const path = `${this.#path}/trajectory${query({ from, limit })}`;
    return jsonOf(await this._transport.send({ method: "GET", path }));
  }

  /** Renews the lease, as every operation does. @param {number} [ttlS] New lease in seconds, from now on. */
  async renewLease(ttlS) {
    const request = { method: "POST", path: `${this.#path}/lease`, body: encode({ ttl_s: ttlS }) };
    return jsonOf(await this._transport.send(request));
  }

  /** Closes it on the server, after all earlier calls. If it no longer exists, that is no error. */
  async close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#turn;
    try {
      await this._transport.send({ method: "DELETE", path: this.#path }, CLOSE_PATIENCE_MS);
    } catch (error) {
      const isGone = error instanceof ServerProblem && (error.status === 404 || error.status === 410);
      if (!isGone) throw error;
    }
  }

  /**
   * Branches off another environment.
   * @protected
   * @param {{ envId?: string, ttlS?: number }} branch
   * @returns {Promise<any>} Its description.
   */
  async _fork({ envId, ttlS }) {
    const { env_id } = await this._operate("fork", { env_id: envId, ttl_s: ttlS });
    const collection = this.#path.slice(0, this.#path.lastIndexOf("/"));
    return jsonOf(await this._transport.send({ method: "GET", path: `${collection}/${encodeURIComponent(env_id)}` }));
  }

  /**
   * Applies an operation once.
   * @protected
   * @param {string} name @param {Fields} fields
   * @returns {Promise<any>} The body of the reply.
   */
  _operate(name, fields) {
    if (this.#isClosed) return Promise.reject(new Error(`the environment ${this.envId} has been closed`));
    const result = this.#turn.then(() => this.#apply(name, fields));
    this.#turn = result.catch(() => {});
    return result;
  }

  /** @param {string} name @param {Fields} fields */
  async #apply(name, fields) {
    let request = this.#request(name, fields);
    const before = this.#inDoubt;
    if (before && (before.path !== request.path || before.body !== request.body)) {
      await this.#settle(before);
      request = this.#request(name, fields);
    }
    return this.#send(request);
  }

  /** Lets an operation finish whose reply is no longer needed. @param {Request} before */
  async #settle(before) {
    try {
      await this.#send(before);
    } catch (error) {
      // Refused: it has changed nothing, and the next operation may use its number.
      const isRefused = error instanceof ServerProblem && !error.retryable && error.code !== "seq-conflict";
      if (!isRefused) throw error;
    }
  }

  /** @param {Request} request */
  async #send(request) {
    this.#inDoubt = request;
    try {
      const body = jsonOf(await this._transport.send(request));
      if (!Number.isSafeInteger(body.seq)) throw new ProtocolError("the reply has no seq");
      this.#inDoubt = undefined;
      this.seq = body.seq;
      return body;
    } catch (error) {
      if (error instanceof ServerProblem && !error.retryable) this.#inDoubt = undefined;
      throw error;
    }
  }

  /** @param {string} name @param {Fields} fields @returns {Request} */
  #request(name, fields) {
    return { method: "POST", path: `${this.#path}/${name}`, body: encode({ seq: this.seq, ...fields }) };
  }
}

/** A single environment, from `Client.make` or `Client.attach`. */
export class Env extends Remote {
  /** @param {Transport} transport @param {any} description */
  constructor(transport, description) {
    super(transport, "envs", description);
    /** Gymnasium's, by `type`. @type {any} */
    this.observationSpace = description.observation_space;
    /** Gymnasium's, by `type`. @type {any} */
    this.actionSpace = description.action_space;
  }

  /**
   * Begins an episode. A seed restarts the random stream; without a seed the stream continues.
   * @param {{ seed?: Seed, options?: Fields }} [how] `options`: arguments that a reset may change, for this episode.
   * @returns {Promise<ResetResult>}
   */
  async reset({ seed, options } = {}) {
    const { observation, info } = await this._operate("reset", { seed, options });
    return { observation, info };
  }

  /** Takes an action. @param {Action} action @returns {Promise<StepResult>} */
  async step(action) {
    const { observation, reward, terminated, truncated, info } = await this._operate("step", { action });
    return { observation, reward, terminated, truncated, info };
  }

  /** Branches off a new environment that continues from the same state. @param {{ envId?: string, ttlS?: number }} [branch] */
  async fork(branch = {}) {
    return new Env(this._transport, await this._fork(branch));
  }
}

/** Many environments behind one id, from `Client.makeVector` or `Client.attachVector`. */
export class VectorEnv extends Remote {
  /** @param {Transport} transport @param {any} description */
  constructor(transport, description) {
    super(transport, "vector-envs", description);
    /** Number of lanes. @type {number} */
    this.numEnvs = description.num_envs;
    /** @type {AutoresetMode} */
    this.autoresetMode = description.autoreset_mode;
    /** Of one lane; a batch has one dimension more, in front. @type {any} */
    this.singleObservationSpace = description.single_observation_space;
    /** Of one lane; a batch has one dimension more, in front. @type {any} */
    this.singleActionSpace = description.single_action_space;
  }

  /**
   * Begins episodes in all lanes, or in those of `options.reset_mask`; the others repeat their last observation.
   * @param {{ seed?: Seed | Seed[], options?: Fields & { reset_mask?: boolean[] } }} [how]
   * @returns {Promise<VectorResetResult>}
   */
  async reset({ seed, options } = {}) {
    const { observations, infos } = await this._operate("reset", { seed, options });
    return { observations, infos };
  }

  /** Takes an action in every lane. @param {Action} actions @returns {Promise<VectorStepResult>} */
  async step(actions) {
    const body = await this._operate("step", { actions });
    const { observations, rewards, terminations, truncations, infos } = body;
    return { observations, rewards, terminations, truncations, infos };
  }

  /** Branches off a new vector that continues from the same state. @param {{ envId?: string, ttlS?: number }} [branch] */
  async fork(branch = {}) {
    return new VectorEnv(this._transport, await this._fork(branch));
  }
}
