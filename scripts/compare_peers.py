"""Compares environment steps per second of training: ours over HTTP, agents in PyTorch, JAX and NumPy in process, in turn.

The task is MemoryTask HARD. Each pairing gives both sides the same sizes: units or width, lanes, episodes in a rollout,
epochs, minibatches. The peers are in scripts/peers, one file each, and run alone as well. They have an advantage: their
task steps all lanes in one call, without HTTP, and the time to compile is not counted. Every program computes on one
thread; ours has the server's threads in addition.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AGENT = ROOT / "target/release/agent"

EPILOG = """\
examples:
  scripts/compare-peers                            all pairings, 5 rounds
  scripts/compare-peers --only gru,jax-gru --rounds 3
  scripts/compare-peers --delay 64                 longer episodes, windows as long as the delay
  .venv-peers/bin/python scripts/peers/torch_trxl.py --published --steps 50000

needs: cargo, python3 with venv, 4 GB for .venv-peers (made at the first run), an idle machine.
Ctrl-C stops the program that is running and prints the rounds so far."""

# Episodes of an optimiser step of DRQN, ours and the peer of equal sizes, and environment steps to the next one.
BATCH, EVERY = 16, 32

# name: (our algorithm, its further flags, the peer's file, its further flags, steps of ours, steps of theirs, bar or None)
PAIRINGS = {
    "lstm": (
        "recurrent-ppo", [], "torch_recurrent.py", ["--cell", "lstm"], 600_000, 100_000, None,
    ),
    "gru": (
        "gru", [], "torch_recurrent.py", ["--cell", "gru"], 600_000, 100_000, None,
    ),
    "jax-gru": (
        "gru", [], "jax_gru.py", [], 600_000, 600_000, None,
    ),
    "trxl": (
        "gtrxl", ["--memory-window"], "torch_trxl.py", [], 200_000, 50_000, 10,
    ),
    "trxl-published": (
        "gtrxl", ["--memory-window"], "torch_trxl.py", ["--published"], 200_000, 16_384, 10,
    ),
    "drqn": (
        "drqn", [f"--batch-size={BATCH}", f"--train-every={EVERY}"],
        "torch_drqn.py", [f"--batch={BATCH}", f"--every={EVERY}"], 300_000, 50_000, None,
    ),
    # Its settings train on 32 times as many transitions a step, so that steps are not compared.
    "drqn-published": (
        "drqn", [f"--batch-size={BATCH}", f"--train-every={EVERY}"],
        "torch_drqn.py", ["--published"], 300_000, 4_000, 10,
    ),
    # As many steps of both: the tables grow with every step, and with them the share of the search.
    "mfec": (
        "mfec", ["--memory-window"], "mfec.py", [], 20_000, 20_000, 10,
    ),
}  # fmt: skip

TITLES = {
    "lstm": "LSTM of 64 units, 64 lanes, 1 episode, 5 epochs x 4 minibatches",
    "gru": "GRU of 64 units, 64 lanes, 1 episode, 5 epochs x 4 minibatches",
    "jax-gru": "the same against JAX, compiled as one function",
    "trxl": "our GTrXL against PPO-TrXL: 2 layers of 32, 2 heads, a window of the delay, 64 lanes, 5 epochs x 4 minibatches",
    "trxl-published": "our GTrXL as above against PPO-TrXL with CleanRL's sizes: 3 layers of 384, 4 heads, 32 lanes, 512 steps, "
    "3 epochs x 8 minibatches",
    "drqn": f"LSTM of 64 units, 64 lanes, {BATCH} episodes every {EVERY} steps, by transitions that were trained on",
    "drqn-published": "our DRQN as above against the LSTM-DQN with Memory-RL's sizes: an LSTM of 128, a head of 2 layers of 256, 1 lane, "
    "64 episodes every 4 steps, by transitions that were trained on",
    "mfec": "our MFEC against NumPy, one observation after another: 16 lanes, 11 neighbours, histories of whole episodes",
}


class Failed(Exception):
    """A program ended with an error."""


def output_of(command, **environment):
    """Returns the standard output of a program. It is ended when this one is interrupted."""
    try:
        process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise Failed(f"{command[0]} is missing: scripts/compare-peers builds it") from None
    try:
        out, err = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        raise
    if process.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}\n{err.strip()}")
    return out


def ours(algorithm, flags, delay, steps):
    """Returns what one of our trainings over HTTP says of itself, server included."""
    settings = [f"--env-arg=delay={delay}", "--env-arg=difficulty=1", f"--total-timesteps={steps}", *flags]
    with tempfile.TemporaryDirectory() as folder:
        command = [AGENT, "train", "--algorithm", algorithm, "--env", "MemoryTask-v0", *settings]
        command += ["--no-early-stop", "--no-progress", "--json", "--out", f"{folder}/run"]
        return json.loads(output_of(command).strip().splitlines()[-1])


def with_trained(run, delay):
    """Adds the rate of trained transitions to what one of our trainings says, for peers that say theirs."""
    return {**run, "trained_per_s": run["steps_per_s"] * BATCH * delay / EVERY}


def theirs(file, flags, delay, steps):
    """Returns what one training of a peer says of itself."""
    command = [sys.executable, ROOT / "scripts/peers" / file, "--delay", delay, "--steps", steps, *flags]
    one_thread = {
        "OMP_NUM_THREADS": "1",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    }
    return json.loads(output_of(command, **one_thread).strip().splitlines()[-1])


def is_there(algorithm):
    """Returns whether the built agent has an algorithm."""
    return f"│ {algorithm} " in output_of([AGENT, "list"])


def spread(values, unit=""):
    """Formats the median with the range."""
    return f"{statistics.median(values):,.1f}{unit} ({min(values):,.1f} … {max(values):,.1f})"


def report(name, rows):
    """Prints a pairing's result; returns the median ratio, or None without a round."""
    if not rows:
        return None
    (our_algorithm, _, file, _, _, _, bar), sides = PAIRINGS[name], list(zip(*rows))
    rates = [[run["steps_per_s"] for run in side] for side in sides]
    trained = [[run.get("trained_per_s") for run in side] for side in sides]
    ratios = [mine / other for mine, other in zip(*(trained if all(map(all, trained)) else rates))]
    print(f"\n{name}: {TITLES[name]}")
    for title, rate, side in zip((f"our {our_algorithm}", file), rates, sides):
        print(f"  {spread(rate, ' steps/s')}  {title}, {side[0].get('parameters', '?')} parameters")
        if all("trained_per_s" in run for run in side):
            print(f"  {spread([run['trained_per_s'] for run in side], ' transitions/s')}")
    print(f"  {spread(ratios, ' x')}" + (f"  bar {bar} x" if bar else ""), flush=True)
    return statistics.median(ratios)


def compare(name, arguments):
    """Measures a pairing; returns whether it is below its bar. Reports the rounds so far when it is interrupted."""
    algorithm, flags, file, their_flags, our_steps, their_steps, bar = PAIRINGS[name]
    if not is_there(algorithm):
        print(f"\n{name}: left out, because this agent has no algorithm {algorithm}")
        return False
    flags = [flag if "=" in flag else f"{flag}={arguments.delay}" for flag in flags]
    rows = []
    try:
        for index in range(arguments.rounds):
            mine = ours(algorithm, flags, arguments.delay, our_steps)
            other = theirs(file, their_flags, arguments.delay, their_steps)
            rows.append((with_trained(mine, arguments.delay) if "trained_per_s" in other else mine, other))
            rates = " / ".join(f"{run['steps_per_s']:,.0f}" for run in rows[-1])
            print(f"{name} {index + 1}/{arguments.rounds}: {rates} steps/s", file=sys.stderr)
    finally:
        ratio = report(name, rows)
    return bar is not None and ratio < bar


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/compare-peers", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="alternations (default 5)")
    parser.add_argument("--delay", type=int, default=16, metavar="D", help="delay of the task (default 16)")
    parser.add_argument("--only", metavar="A,B", help="pairings by name: " + ", ".join(PAIRINGS))
    parser.add_argument("--list", action="store_true", help="print the pairings and end")
    arguments = parser.parse_args()
    if arguments.list:
        for name, title in TITLES.items():
            print(f"{name:16}{title}")
        return 0
    wanted = arguments.only.split(",") if arguments.only else list(PAIRINGS)
    unknown = [name for name in wanted if name not in PAIRINGS]
    if unknown or arguments.rounds < 1 or arguments.delay < 2:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "--rounds is at least 1, --delay at least 2")
    try:
        missed = [name for name in PAIRINGS if name in wanted and compare(name, arguments)]
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    if missed:
        print(f"\nbelow the bar: {', '.join(missed)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
