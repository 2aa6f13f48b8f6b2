"""Measures what workers gain when each environment takes milliseconds a step.

A server answers each step `--lane-us` µs × lanes later and does nothing meanwhile, so that more workers than cores can
be tried. Recurrent PPO plays 64 environments, 32 steps an update. The efficiency is the time that the slowest worker's
steps take at least, divided by the time that collecting took: the median over updates, with the first and last
quartile. The first two updates, in which workers start, are left out. The speed-up is that of a whole update,
learning included, beside one process without workers.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

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


def least(workers, lane_us):
    """Returns the seconds that the steps of the worker with the most lanes take."""
    groups = -(-GROUPS // workers)
    return groups * (LANES // GROUPS) * STEPS * lane_us / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,4,8,16", help="numbers of workers to try [default: %(default)s]")
    parser.add_argument("--pool", choices=["ray"], help="workers on a Ray cluster instead of processes of this machine")
    parser.add_argument("--lane-us", type=int, default=2000, help="µs that a step takes for each lane [default: %(default)s]")
    parser.add_argument("--updates", type=int, default=12, help="updates of each training [default: %(default)s]")
    parser.add_argument("--no-cargo", action="store_true", help="use the programs built before")
    args = parser.parse_args()
    how = ["--pool", args.pool] if args.pool else []
    process, url = server(args.lane_us)
    try:
        alone = updates(url, [], STARTING + 3)
        whole = statistics.median(map(sum, alone))
        print(f"one process: {whole:.3f} s an update, {alone[0][-1] * 1e3:.1f} ms of it learning")
        for workers in map(int, args.workers.split(",")):
            found = updates(url, [*how, f"--workers={workers}"], STARTING + args.updates)
            bound = least(workers, args.lane_us)
            ratios = [bound / sum(parts[:3]) for parts in found]
            low, middle, high = statistics.quantiles(ratios, n=4)
            parts = ", ".join(
                f"{name.removesuffix('_s')} {statistics.median(values) * 1e3:.0f} ms"
                for name, values in zip(PARTS, zip(*found))
            )
            speed = whole / statistics.median(map(sum, found))
            print(f"{workers} workers: efficiency {middle:.3f} ({low:.3f} … {high:.3f}), speed-up {speed:.2f}; {parts}", flush=True)
    except Failed as error:
        sys.exit(f"error: {error}")
    finally:
        process.kill()


if __name__ == "__main__":
    main()
