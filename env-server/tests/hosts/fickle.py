"""A host that counts, and fails on command: for tests of the server.

Needs nothing but Python. Its environment: an observation is `[(seed % 1000 + episodes), steps]`, a
float32 Box; an action is one of four, and the reward is its number; an episode ends after five
steps. `--fault KIND:AT` does something wrong in the AT-th step call of the process, counted from 1,
and in all after it; with `--once FILE` in one only, after which FILE exists. Processes that start
when FILE exists count otherwise (`different`) or say nothing (`mute-again`).
"""

import argparse
import json
import os
import signal
import struct
import sys
import time

LENGTH = 5


def pack(value):
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    entries = b"".join(pack(key) + pack(entry) for key, entry in value.items())
    return b"\xdf" + struct.pack(">I", len(value)) + entries


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form):
        return struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]

    def value(self):
        tag = self.take(1)[0]
        if tag < 0x80:
            return tag
        if tag >= 0xE0:
            return tag - 256
        if tag < 0x90:
            return self.entries(tag & 15)
        if tag < 0xA0:
            return [self.value() for _ in range(tag & 15)]
        if tag < 0xC0:
            return self.take(tag & 31).decode()
        fixed = {0xC0: None, 0xC2: False, 0xC3: True}
        if tag in fixed:
            return fixed[tag]
        forms = {0xCA: "f", 0xCB: "d", 0xCC: "B", 0xCD: "H", 0xCE: "I", 0xCF: "Q"}
        forms |= {0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q"}
        if tag in forms:
            return self.number(forms[tag])
        sizes = {0xC4: "B", 0xC5: "H", 0xC6: "I", 0xD9: "B", 0xDA: "H", 0xDB: "I"}
        if tag in sizes:
            taken = self.take(self.number(sizes[tag]))
            return taken if tag < 0xD0 else taken.decode()
        if tag in (0xDC, 0xDD):
            return [self.value() for _ in range(self.number("HI"[tag - 0xDC]))]
        return self.entries(self.number("HI"[tag - 0xDE]))

    def entries(self, count):
        return {self.value(): self.value() for _ in range(count)}


def array(dtype, shape, data):
    return {"dtype": dtype, "shape": shape, "data": data}


def floats(rows, dtype="float32"):
    form = {"float32": "<2f", "float64": "<2d"}[dtype]
    return array(dtype, [len(rows), 2], b"".join(struct.pack(form, *row) for row in rows))


def flags(values):
    return array("bool", [len(values)], bytes(values))


class Lane:
    def __init__(self):
        self.base, self.steps, self.over = 0, 0, False

    def reset(self, seed=None):
        self.base = self.base + 1 if seed is None else seed % 1000
        self.steps, self.over = 0, False

    def row(self):
        return [float(self.base), float(self.steps)]


class Host:
    def __init__(self, options):
        self.options = options
        self.vectors = {}
        self.step_calls = 0
        self.shift = 0.0
        if options.once and os.path.exists(options.once) and options.fault == "different":
            self.shift = 1.0

    def send(self, kind, fields):
        body = pack({kind: fields})
        os.write(1, struct.pack(">I", len(body)) + body)

    def rows(self, lanes):
        return [[row[0] + self.shift, row[1]] for row in (lane.row() for lane in lanes)]

    def spaces(self):
        return {
            "observation_space": {
                "type": "Box",
                "shape": [2],
                "dtype": "float32",
                "low": 0.0,
                "high": 100000.0,
            },
            "action_space": {"type": "Discrete", "n": 4, "start": 0},
        }

    def hello(self):
        options = self.options
        parameter = {"name": "bonus", "description": "Added to rewards", "type": "number"}
        parameter |= {"minimum": 0.0, "maximum": 9.0, "default": 0.0, "resettable": False}
        spec = {"id": options.spec, "description": "Counts", "parameters": [parameter]}
        spec |= self.spaces()
        spec |= {"can_save": not options.no_save, "is_deterministic": options.deterministic}
        self.send("hello", {"protocol": 1, "name": "fickle", "specs": [spec]})

    def create(self, env, spec, kwargs, num_envs, autoreset_mode):
        if kwargs["bonus"] == 9:
            self.send("refused", {"name": "bonus", "reason": "nine is too much"})
            return
        self.vectors[env] = ([Lane() for _ in range(num_envs)], autoreset_mode, kwargs["bonus"])
        self.send("created", self.spaces())

    def reset(self, env, mask, seeds, options):
        lanes, _, _ = self.vectors[env]
        for i, lane in enumerate(lanes):
            if mask is None or mask[i]:
                lane.reset(seeds[i])
        self.send("observed", {"observations": floats(self.rows(lanes))})

    def step(self, env, actions):
        self.step_calls += 1
        lanes, mode, bonus = self.vectors[env]
        time.sleep(self.options.sleep_ms / 1000)
        chosen = struct.unpack(f"<{len(lanes)}q", actions["data"])
        rewards, ends, finals = [], [], self.rows(lanes)
        for i, (lane, action) in enumerate(zip(lanes, chosen)):
            if lane.over:
                lane.reset()
                rewards.append(0.0)
                ends.append(False)
                continue
            lane.steps += 1
            ends.append(lane.steps == LENGTH)
            rewards.append(action + bonus)
            finals[i] = [lane.row()[0] + self.shift, lane.row()[1]]
            if ends[-1] and mode == "SameStep":
                lane.reset()
            else:
                lane.over = ends[-1]
        fields = {
            "observations": floats(self.rows(lanes)),
            "rewards": array("float64", [len(lanes)], struct.pack(f"<{len(lanes)}d", *rewards)),
            "terminations": flags(ends),
            "truncations": flags([False] * len(lanes)),
        }
        if mode == "SameStep" and any(ends):
            fields["final_observations"] = floats(finals)
        if self.is_due():
            fields = self.fail(lanes, fields)
        if fields is not None:
            self.send("stepped", fields)

    def is_due(self):
        options = self.options
        if self.step_calls < options.at or options.fault in (None, "mute", "hang-in-close"):
            return False
        if options.once:
            if os.path.exists(options.once):
                return False
            with open(options.once, "w"):
                pass
        return True

    def fail(self, lanes, fields):
        kind = self.options.fault
        print(f"about to {kind}", file=sys.stderr, flush=True)
        if kind == "exit":
            os._exit(3)
        if kind in ("kill", "different", "mute-again"):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hang":
            time.sleep(3600)
        if kind == "garbage":
            os.write(1, b"step 12: reward 0.5\n")
        if kind == "short":
            os.write(1, struct.pack(">I", 100) + b"half")
            os._exit(0)
        if kind == "huge":
            os.write(1, struct.pack(">I", 1 << 31))
            time.sleep(3600)
        if kind == "memory":
            self.held = bytearray(os.urandom(1 << 20)) * 300
            time.sleep(3600)
        rows = self.rows(lanes)
        if kind == "nan":
            fields["observations"] = floats([[float("nan"), 0.0], *rows[1:]])
        if kind == "outside":
            fields["observations"] = floats([[1e6, 0.0], *rows[1:]])
        if kind == "shape":
            fields["observations"] = floats(rows + rows[:1])
        if kind == "dtype":
            fields["observations"] = floats(rows, "float64")
        if kind == "reward":
            infinite = struct.pack("<d", float("inf"))
            fields["rewards"]["data"] = infinite + fields["rewards"]["data"][8:]
        if kind == "flags":
            fields["terminations"] = flags([True] * (len(lanes) + 1))
        if kind == "exception":
            self.send("failed", {"reason": "ValueError: it does not like this action"})
            return None
        return fields

    def save(self, env):
        lanes, _, _ = self.vectors[env]
        state = [[lane.base, lane.steps, lane.over] for lane in lanes]
        self.send("saved", {"state": json.dumps(state).encode()})

    def restore(self, env, state):
        for lane, saved in zip(self.vectors[env][0], json.loads(state)):
            lane.base, lane.steps, lane.over = saved
        self.send("restored", {})

    def close(self, env):
        if self.options.fault == "hang-in-close":
            time.sleep(3600)
        del self.vectors[env]
        self.send("closed", {})

    def render(self, env, lane):
        self.send("rendered", {"frame": array("uint8", [2, 2, 3], bytes(range(12)))})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fault", default="")
    parser.add_argument("--once")
    parser.add_argument("--no-save", action="store_true")
    parser.add_argument("--not-deterministic", dest="deterministic", action="store_false")
    parser.add_argument("--spec", default="Count-v0")
    parser.add_argument("--sleep-ms", type=float, default=0)
    options = parser.parse_args()
    kind, _, at = options.fault.partition(":")
    options.fault, options.at = kind or None, int(at or 1)
    host = Host(options)
    is_again = options.once is not None and os.path.exists(options.once)
    if options.fault == "mute" or (options.fault == "mute-again" and is_again):
        print("says nothing", file=sys.stderr, flush=True)
        time.sleep(3600)
    host.hello()
    while True:
        head = sys.stdin.buffer.read(4)
        if len(head) < 4:
            return
        frame = Reader(sys.stdin.buffer.read(struct.unpack(">I", head)[0])).value()
        ((call, fields),) = frame.items()
        getattr(host, call)(**fields)


main()
