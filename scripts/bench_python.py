"""Steps per second of the Python client and alternatives, measured in turn. See scripts/bench-python."""

import argparse
import asyncio
import contextlib
import http.client
import importlib.util
import os
import platform
import resource
import socket
import statistics
import subprocess
import sys
import time
import timeit
from pathlib import Path

import gymnasium
import msgpack
import numpy
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

import strategic_memory_envs as sme
from strategic_memory_envs._bodies import Single, Vector
from strategic_memory_envs._codec import Codec
from strategic_memory_envs._http import ReplyReader

DELAY = 16
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class MemoryTask(gymnasium.Env):
    """The task in process, as simple as possible."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (3,), numpy.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.target, self.remaining = int(self.np_random.integers(2)), DELAY
        return numpy.array([self.target, 0.0, 0.0], numpy.float32), {}

    def step(self, action):
        self.remaining -= 1
        is_over = self.remaining == 0
        reward = (1.0 if action == self.target else -1.0) if is_over else 0.0
        return numpy.zeros(3, numpy.float32), reward, is_over, False, {}


class Episodes:
    """Plays episodes of one environment; counts steps."""

    lanes = 1

    def __init__(self, env):
        self.env = env
        env.reset(seed=1)

    def play(self, deadline):
        env, steps = self.env, 0
        while time.perf_counter() < deadline:
            for _ in range(DELAY):
                env.step(0)
            env.reset()
            steps += DELAY
        return steps

    def close(self):
        self.env.close()


class Lanes:
    """Steps a vector environment; counts steps of lanes."""

    def __init__(self, envs):
        self.envs, self.lanes = envs, envs.num_envs
        self.actions = numpy.zeros(envs.num_envs, numpy.int64)
        envs.reset(seed=1)

    def play(self, deadline):
        envs, actions, batches = self.envs, self.actions, 0
        while time.perf_counter() < deadline:
            for _ in range(8):
                envs.step(actions)
            batches += 8
        return batches * self.lanes

    def close(self):
        self.envs.close()


class EventLoop:
    """Plays single environments on one event loop, each with its own request in flight."""

    lanes = 1

    def __init__(self, url, count):
        self.loop = asyncio.new_event_loop()
        self.envs = [
            sme.AsyncRemoteEnv("MemoryTask-v0", server=url, delay=DELAY) for _ in range(count)
        ]
        self.loop.run_until_complete(self.each("open"))

    async def each(self, name):
        await asyncio.gather(*[getattr(env, name)() for env in self.envs])

    async def play_one(self, env, deadline):
        steps = 0
        while time.perf_counter() < deadline:
            await env.reset()
            for _ in range(DELAY):
                await env.step(0)
            steps += DELAY
        return steps

    async def play_all(self, deadline):
        return await asyncio.gather(*[self.play_one(env, deadline) for env in self.envs])

    def play(self, deadline):
        return sum(self.loop.run_until_complete(self.play_all(deadline)))

    def close(self):
        self.loop.run_until_complete(self.each("close"))
        self.loop.close()


class StandardLibrary:
    """Sends the same requests through http.client, for comparison."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"))
        self.seq = 0
        body = {"spec_id": "MemoryTask-v0", "kwargs": {"delay": DELAY}}
        self.call("PUT", "", body)

    def call(self, method, path, body):
        headers = {k: "application/vnd.msgpack" for k in ("Content-Type", "Accept")}
        target = f"/v1/envs/http-client{path}"
        self.connection.request(method, target, msgpack.packb(body), headers)
        reply = msgpack.unpackb(self.connection.getresponse().read())
        self.seq = reply["seq"]
        return reply

    def reset(self, seed=None):
        return self.call("POST", "/reset", {"seq": self.seq})

    def step(self, action):
        reply = self.call("POST", "/step", {"seq": self.seq, "action": action})
        return numpy.frombuffer(reply["observation"]["data"], numpy.float32).copy()

    def close(self):
        self.connection.close()


class OpenEnv:
    """OpenEnv's generic client on OpenEnv's server, both of the installed openenv-core."""

    def __init__(self):
        from openenv.core.generic_client import GenericEnvClient

        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, str(Path(__file__).with_name("bench_openenv.py")), str(port)]
        # It prints a traceback when a client disconnects.
        self.server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(300):
            time.sleep(0.1)
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
        self.client = GenericEnvClient(base_url=f"http://127.0.0.1:{port}").sync()
        self.client.__enter__()

    def reset(self, seed=None):
        return self.client.reset()

    def step(self, action):
        return self.client.step({"value": action})

    def close(self):
        self.client.__exit__(None, None, None)
        self.server.terminate()
        self.server.wait()


def contenders(url):
    remote = dict(server=url, delay=DELAY)
    has_openenv = importlib.util.find_spec("openenv") is not None
    openenv = {"single: OpenEnv": lambda: Episodes(OpenEnv())}
    return {
        "single: this client": lambda: Episodes(sme.RemoteEnv("MemoryTask-v0", **remote)),
        "single: http.client": lambda: Episodes(StandardLibrary(url)),
        **(openenv if has_openenv else {}),
        "single: AsyncVectorEnv(1), no network": lambda: Lanes(AsyncVectorEnv([MemoryTask])),
        "64 single on one event loop: async client": lambda: EventLoop(url, 64),
        "64 lanes: this client": lambda: Lanes(sme.RemoteVectorEnv("MemoryTask-v0", 64, **remote)),
        "64 lanes: SyncVectorEnv, in process": lambda: Lanes(SyncVectorEnv([MemoryTask] * 64)),
        "64 lanes: AsyncVectorEnv, no network": lambda: Lanes(AsyncVectorEnv([MemoryTask] * 64)),
        "256 lanes: this client": lambda: Lanes(sme.RemoteVectorEnv("MemoryTask-v0", 256, **remote)),
        "256 lanes: SyncVectorEnv, in process": lambda: Lanes(SyncVectorEnv([MemoryTask] * 256)),
    }


def server_cpu_s(pid):
    """Returns user and kernel seconds of the server, if /proc has them."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def measure(rounds, seconds):
    """Returns rates by contender, one for each round, and microseconds of CPU per request."""
    server = sme.LocalServer()
    rates, cpu = {}, {}
    try:
        played = {name: make() for name, make in contenders(server.url).items()}
        for number in range(rounds + 1):
            for name, contender in played.items():
                before = resource.getrusage(resource.RUSAGE_SELF)
                server_before, began = server_cpu_s(server.pid), time.perf_counter()
                # The first round warms up.
                steps = contender.play(began + (seconds if number else 0.2))
                elapsed = time.perf_counter() - began
                after = resource.getrusage(resource.RUSAGE_SELF)
                if number == 0:
                    continue
                rates.setdefault(name, []).append(steps / elapsed)
                requests = steps / contender.lanes * (1 + 1 / DELAY if contender.lanes == 1 else 1)
                parts = (
                    after.ru_utime - before.ru_utime,
                    after.ru_stime - before.ru_stime,
                    server_cpu_s(server.pid) - server_before,
                )
                cpu.setdefault(name, []).append([1e6 * part / requests for part in parts])
        for contender in played.values():
            contender.close()
    finally:
        server.stop()
    return rates, cpu


def report(title, rates, cpu):
    print(f"\n{title}: steps/s, median (range); µs of CPU a request: client, its kernel, server")
    for name, values in rates.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        parts = [statistics.median(part) for part in zip(*cpu[name])]
        is_remote = "client" in name
        text = " ".join(f"{part:6.1f}" for part in parts) if is_remote else ""
        print(f"  {name:40} {middle:12,.0f} ({low:,.0f} to {high:,.0f})  {text}")

    def ratio(ours, theirs):
        return statistics.median(a / b for a, b in zip(rates[ours], rates[theirs]))

    sync = "64 lanes: SyncVectorEnv, in process"
    single = statistics.median(rates["single: this client"])
    bars = [
        ("single, steps/s", single, 10_000),
        ("64 lanes over SyncVectorEnv(64)", ratio("64 lanes: this client", sync), 1.0),
        ("256 lanes over SyncVectorEnv(64)", ratio("256 lanes: this client", sync), 2.0),
    ]
    for name, value, bar in bars:
        verdict = "met" if value >= bar else "MISSED"
        print(f"  bar: {name}: {value:,.2f}, wanted {bar:,}: {verdict}")


def where():
    """Prints the microseconds of each part of the client's own work."""

    def microseconds(function):
        return min(timeit.repeat(function, number=20_000, repeat=5)) / 20_000 * 1e6

    with sme.RemoteEnv("MemoryTask-v0", delay=10_000_000) as env:
        env.reset()
        session, connection = env._remote.session, env._remote._connection
        request = session.operation(session.step, {"action": 0})
        reply = connection.exchange(request)
        single = session.codec.loads(reply.body)
        head = "\r\n".join(
            ["HTTP/1.1 200 OK", *(f"{k}: {v}" for k, v in reply.head.headers.items())]
        )
        raw = f"{head}\r\n\r\n".encode() + bytes(reply.body)
        body, bodies = bytes(reply.body), env._bodies
        assert isinstance(bodies, Single)

        def read(reader=ReplyReader()):
            reader.room()[: len(raw)] = raw
            return reader.fed(len(raw))

        print("\nThe client's own work, µs")
        codec = Codec()
        for name, function in [
            ("single: action and request to bytes", lambda: session.operation(session.step, bodies.step_fields(0))),
            ("single: reply's head and end found", read),
            ("single: MessagePack to Python", lambda: codec.loads(body)),
            ("single: the observation's array and the tuple", lambda: bodies.read_step(single)),
        ]:
            print(f"  {name:52} {microseconds(function):6.2f}")
    with sme.RemoteVectorEnv("MemoryTask-v0", 64, delay=10_000_000) as envs:
        envs.reset()
        session, connection = envs._remote.session, envs._remote._connection
        actions = numpy.zeros(64, numpy.int64)
        vector: Vector = envs._bodies
        request = session.operation(session.step, vector.step_fields(actions))
        body = bytes(connection.exchange(request).body)
        batch = codec.loads(body)
        for name, function in [
            ("64 lanes: actions and request to bytes", lambda: session.operation(session.step, vector.step_fields(actions))),
            ("64 lanes: MessagePack to Python", lambda: codec.loads(body)),
            ("64 lanes: four arrays and the tuple", lambda: vector.read_step(batch)),
        ]:
            print(f"  {name:52} {microseconds(function):6.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each contender")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a measurement")
    parser.add_argument("--where", action="store_true", help="also time the pieces of a step")
    args = parser.parse_args()
    print(
        f"Python {platform.python_version()}, NumPy {numpy.__version__}, gymnasium "
        f"{gymnasium.__version__}, MemoryTask-v0 of delay {DELAY}, load {os.getloadavg()[0]:.1f} "
        f"on {os.cpu_count()} cores"
    )
    if hasattr(os, "sched_setaffinity"):
        everywhere = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(everywhere)})
        report("All on one core", *measure(args.rounds, args.seconds))
        if args.where:
            where()
        os.sched_setaffinity(0, everywhere)
    elif args.where:
        where()
    report("On all cores", *measure(args.rounds, args.seconds))
    print(f"\nload at the end {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
