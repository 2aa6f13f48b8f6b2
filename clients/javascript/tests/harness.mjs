// The tests' helpers: a real server, and a proxy in front of it that causes faults.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer, request as sendRequest } from "node:http";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

const built = fileURLToPath(new URL("../../../target/release/env-server", import.meta.url));
const binary = process.env.STRATEGIC_MEMORY_ENV_SERVER ?? built;

/**
 * Starts a server on a free port, which ends with the tests of the file.
 * @param {string[]} flags
 * @returns {Promise<string>} Its URL.
 */
export async function startServer(...flags) {
  assert.ok(existsSync(binary), `${binary} is missing: cargo build --release -p env-server`);
  const child = spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--log", "warn", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  after(() => child.kill());
  for await (const line of createInterface(child.stdout)) {
    if (line.startsWith("listening on ")) return line.slice("listening on ".length);
  }
  throw new Error("the server did not start");
}

/** @typedef {"ok" | "lose-request" | "lose-reply" | "cut" | "hang" | "refuse" | "bad-gateway"} Fault */

/** @type {Fault[]} */
export const FAULTS = ["lose-request", "lose-reply", "cut", "hang", "refuse", "bad-gateway"];

/**
 * Starts a proxy that passes requests on, with the faults in `plan`, one per request. `lose-request`: not passed on.
 * `lose-reply`: applied, its reply dropped. `cut`: applied, half of the reply. `hang`: applied, never answered.
 * `refuse`: answered 503, not passed on. `bad-gateway`: applied, answered 502 without a problem document.
 * @param {string} target
 */
export async function startProxy(target) {
  /** @type {{ url: string, plan: Fault[], seen: { fault: Fault, method: string, path: string, body: string, type?: string }[] }} */
  const proxy = { url: "", plan: [], seen: [] };
  const server = createServer(async (request, response) => {
    const fault = proxy.plan.shift() ?? "ok";
    let body = "";
    for await (const chunk of request) body += chunk;
    const { method = "", url: path = "" } = request;
    proxy.seen.push({ fault, method, path, body, type: request.headers["content-type"] });
    if (fault === "lose-request") return request.socket.destroy();
    if (fault === "refuse") {
      const problem = { code: "overloaded", status: 503, detail: "later", retryable: true };
      response.writeHead(503, { "content-type": "application/problem+json", "retry-after": "0" });
      return response.end(JSON.stringify(problem));
    }
    const headers = { ...request.headers, host: undefined };
    const passed = sendRequest(target + path, { method, headers: JSON.parse(JSON.stringify(headers)) });
    passed.on("response", async (reply) => {
      let text = "";
      for await (const chunk of reply) text += chunk;
      if (fault === "lose-reply") return request.socket.destroy();
      if (fault === "hang") return;
      if (fault === "bad-gateway") {
        response.writeHead(502, { "content-type": "text/html" });
        return response.end("<h1>Bad gateway</h1>");
      }
      response.writeHead(reply.statusCode ?? 0, reply.headers);
      if (fault !== "cut") return response.end(text);
      response.write(text.slice(0, text.length / 2), () => request.socket.destroy());
    });
    passed.end(body);
  });
  after(() => {
    server.close();
    server.closeAllConnections();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  proxy.url = `http://127.0.0.1:${address.port}`;
  return proxy;
}
