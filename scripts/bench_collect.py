"""Measures what workers gain when each environment takes milliseconds a step.

A server answers each step `--lane-us` µs × lanes later and does nothing meanwhile, so that more workers than cores can
be tried. Recurrent PPO plays 64 environments, 32 steps an update. The efficiency is the time that the steps of the worker
with the most environments take, divided by the time that collecting took: the median over updates, with the first and
last quartile. A step takes the time asked for, or, where it says *plain*, as long as a plain client waits for it on
this machine: with HTTP, the timer and the system's wake-ups, and without an agent. The first two updates, in which
workers start, are left out. The speed-up is that of a whole update, learning included, beside one process without
workers. Flags not named here go to `agent train`, e.g. `--insecure`.
"""

import argparse
import http.client
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
BIN = ROOT / "target/release"
LANES, STEPS, GROUPS = 64, 32, 16
STARTING = 2
PARTS = ("collecting_s", "carrying_s", "waiting_s", "learning_s")


class Failed(Exception):
    """A run that failed; its message says why."""


def server(lane_us):
    """Starts a slow server; returns the process and its URL."""
    command = [BIN / "env-server", "serve", "--listen", "127.0.0.1:0", "--log", "warn", f"--simulate-lane-us={lane_us}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    if not line.startswith("listening on "):
        raise Failed(f"the server did not start: {line}")
    return process, line.removeprefix("listening on ").strip()


def plain(url):
    """Returns the seconds that a plain client waits for a step of a group's lanes: the median of 100."""
    lanes = LANES // GROUPS
    server = http.client.HTTPConnection(url.removeprefix("http://"))

    def post(path, **body):
        server.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = server.getresponse()
        text = answer.read().decode()
        if answer.status >= 300:
            raise Failed(f"{path}: {text}")
        return json.loads(text)

    path = f"/v1/vector-envs/{post('/v1/vector-envs', spec_id='MemoryTask-v0', num_envs=lanes)['env_id']}"
    post(f"{path}/reset", seq=0)
    waited = []
    for seq in range(1, 101):
        began = time.perf_counter()
        post(f"{path}/step", seq=seq, actions=[0] * lanes)
        waited.append(time.perf_counter() - began)
    return statistics.median(waited)


def updates(url, how, count):
    """Trains for so many updates; returns the seconds of each update's parts, without the first updates."""
    with tempfile.TemporaryDirectory() as folder:
        command = [BIN / "agent", "train", "--algorithm", "recurrent-ppo", "--env", "MemoryTask-v0", "--server", url]
        command += [f"--num-envs={LANES}", f"--num-steps={STEPS}", f"--total-timesteps={LANES * STEPS * count}"]
        command += ["--whole-episodes=false", "--no-early-stop", "--no-progress", "--out", f"{folder}/run", *how]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"{' '.join(map(str, command))}\n{done.stderr}")
        lines = pathlib.Path(folder, "run/metrics.jsonl").read_text().splitlines()
    found = [json.loads(line)["wall_clock"] for line in lines]
    found = [[metrics[f"time/{part}"] for part in PARTS] for metrics in found if "time/learning_s" in metrics]
    return found[STARTING:]


def quartiles(workers, step, found):
    """Returns the first quartile, the median and the last of the efficiency, where a group's step takes so many seconds."""
    groups = -(-GROUPS // workers)
    return statistics.quantiles([groups * STEPS * step / sum(parts[:3]) for parts in found], n=4)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,4,8,16", help="numbers of workers to try [default: %(default)s]")
    parser.add_argument("--pool", choices=["ray"], help="workers on a Ray cluster instead of processes of this machine")
    parser.add_argument("--lane-us", type=int, default=2000, help="µs that a step takes for each lane [default: %(default)s]")
    parser.add_argument("--updates", type=int, default=12, help="updates of each training [default: %(default)s]")
    parser.add_argument("--no-cargo", action="store_true", help="use the programs built before")
    args, more = parser.parse_known_args()
    how = [*(["--pool", args.pool] if args.pool else []), *more]
    process, url = server(args.lane_us)
    try:
        alone = updates(url, [], STARTING + 3)
        whole = statistics.median(map(sum, alone))
        asked, measured = LANES // GROUPS * args.lane_us / 1e6, plain(url)
        print(f"a step of {LANES // GROUPS} lanes: {asked * 1e3:.2f} ms asked for, {measured * 1e3:.2f} ms to a plain client")
        print(f"one process: {whole:.3f} s an update, {alone[0][-1] * 1e3:.1f} ms of it learning")
        for workers in map(int, args.workers.split(",")):
            found = updates(url, [*how, f"--workers={workers}"], STARTING + args.updates)
            low, middle, high = quartiles(workers, asked, found)
            low_plain, middle_plain, high_plain = quartiles(workers, measured, found)
            parts = ", ".join(
                f"{name.removesuffix('_s')} {statistics.median(values) * 1e3:.0f} ms"
                for name, values in zip(PARTS, zip(*found))
            )
            speed = whole / statistics.median(map(sum, found))
            print(
                f"{workers} workers: efficiency {middle:.3f} ({low:.3f} … {high:.3f}), plain {middle_plain:.3f} "
                f"({low_plain:.3f} … {high_plain:.3f}), speed-up {speed:.2f}; {parts}",
                flush=True,
            )
    except Failed as error:
        sys.exit(f"error: {error}")
    finally:
        process.kill()


if __name__ == "__main__":
    main()
