"""Compares environment steps per second of training: ours over HTTP, Stable-Baselines3 in process, in turn.

Every pairing names both sides' settings, because speed means little without them. Ours are the defaults with which the
learning results hold. Theirs are the library's defaults (learning rate 1e-3), with one environment, as usually quoted,
and with eight.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium
import numpy
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from sb3_contrib import RecurrentPPO

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parent.parent


class MemoryTask(gymnasium.Env):
    """The reference notebook's task, in process: see docs of MemoryTask-v0."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (3,), numpy.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, delay, difficulty):
        self.delay, self.difficulty = delay, difficulty

    def _distractor(self):
        return float(self.np_random.integers(2)) if self.difficulty else 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.target, self.steps = int(self.np_random.integers(2)), 0
        return numpy.array([self.target, self._distractor(), 0.0], numpy.float32), {}

    def step(self, action):
        self.steps += 1
        done = self.steps >= self.delay
        reward = (1.0 if action == self.target else -1.0) if done else 0.0
        return numpy.array([self._distractor(), self._distractor(), 0.0], numpy.float32), reward, done, False, {}


def peer(algorithm, policy, delay, num_envs, timesteps):
    """Returns steps per second of one training of the other library, without its construction."""
    env = make_vec_env(lambda: MemoryTask(delay, 1), n_envs=num_envs, seed=0)
    model = algorithm(policy, env, learning_rate=1e-3, seed=0, device="cpu")
    began = time.perf_counter()
    model.learn(timesteps)
    return model.num_timesteps / (time.perf_counter() - began)


def ours(algorithm, delay, timesteps, *flags):
    """Returns steps per second of one of our trainings over HTTP, server included."""
    command = [
        ROOT / "target/release/agent", "train", "--algorithm", algorithm, "--env", "MemoryTask-v0",
        "--env-arg", f"delay={delay}", "--env-arg", "difficulty=1", "--total-timesteps", str(timesteps),
        "--no-early-stop", "--no-progress", "--json", *flags,
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*map(str, command), "--out", f"{folder}/run"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])["steps_per_s"]


# name: (ours, theirs, bar on the ratio or None)
PAIRINGS = {
    "ppo": (
        ("our PPO, 64 lanes x 32 steps, 4 epochs x 4 minibatches, 2x64", lambda: ours("ppo", 16, 1_500_000)),
        ("SB3 PPO, 1 environment, library defaults (2,048 steps, 10 epochs, batch 64, 2x64)",
         lambda: peer(PPO, "MlpPolicy", 16, 1, 8_192)),
        50,
    ),
    "ppo-8": (
        ("our PPO, as above", lambda: ours("ppo", 16, 1_500_000)),
        ("SB3 PPO, 8 environments", lambda: peer(PPO, "MlpPolicy", 16, 8, 32_768)),
        None,
    ),
    "recurrent-ppo": (
        ("our recurrent PPO, its defaults", lambda: ours("recurrent-ppo", 16, 600_000)),
        ("sb3-contrib RecurrentPPO, 1 environment, library defaults (128 steps, 10 epochs, LSTM 256)",
         lambda: peer(RecurrentPPO, "MlpLstmPolicy", 16, 1, 1_024)),
        150,
    ),
    "recurrent-ppo-8": (
        ("our recurrent PPO, its defaults", lambda: ours("recurrent-ppo", 16, 600_000)),
        ("sb3-contrib RecurrentPPO, 8 environments", lambda: peer(RecurrentPPO, "MlpLstmPolicy", 16, 8, 4_096)),
        None,
    ),
}  # fmt: skip

# Our rates without a counterpart in this environment: name, description, run, bar in steps/s or None.
RATES = [
    ("tracerl, delay 16", lambda: ours("tracerl", 16, 600_000), 60_000),
    ("tracerl, delay 1024", lambda: ours("tracerl", 1024, 800_000, "--num-steps", "1024"), None),
    (
        "recurrent-ppo, 1 epoch, 64 environments, horizon 16 (PufferLib's settings; its trainer: about 35,000)",
        lambda: ours("recurrent-ppo", 16, 600_000, "--num-envs", "64", "--num-steps", "16", "--whole-episodes",
                     "false", "--update-epochs", "1"),
        35_000,
    ),
]  # fmt: skip


def spread(values, unit=""):
    """Formats the median with the range."""
    return f"{statistics.median(values):,.1f}{unit} ({min(values):,.1f} … {max(values):,.1f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternations (default 5)")
    parser.add_argument("--only", help="names by comma: " + ", ".join([*PAIRINGS, "rates"]))
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else [*PAIRINGS, "rates"]
    unknown = set(wanted) - {*PAIRINGS, "rates"}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    missed = []
    for name in (name for name in PAIRINGS if name in wanted):
        (our_title, our_run), (their_title, their_run), bar = PAIRINGS[name]
        rows = []
        for index in range(arguments.rounds):
            rows.append((our_run(), their_run()))
            print(f"{name} {index + 1}/{arguments.rounds}: {rows[-1][0]:,.0f} / {rows[-1][1]:,.0f}", file=sys.stderr)
        ratios = [mine / theirs for mine, theirs in rows]
        print(f"\n{name}\n  ours   {spread([row[0] for row in rows], ' steps/s')}  {our_title}")
        print(f"  theirs {spread([row[1] for row in rows], ' steps/s')}  {their_title}")
        print(f"  ratio  {spread(ratios, ' x')}" + (f"  bar {bar} x" if bar else ""), flush=True)
        if bar and statistics.median(ratios) < bar:
            missed.append(name)
    if "rates" in wanted:
        print("\nrates of ours")
        measured = {title: [] for title, _, _ in RATES}
        for _ in range(arguments.rounds):
            for title, run, _ in RATES:
                measured[title].append(run())
        for title, _, bar in RATES:
            print(f"  {spread(measured[title], ' steps/s')}  {title}" + (f"  bar {bar:,}" if bar else ""))
            if bar and statistics.median(measured[title]) < bar:
                missed.append(title)
        by_delay = [b / a for a, b in zip(measured[RATES[0][0]], measured[RATES[1][0]])]
        print(f"  {spread(by_delay, ' x')}  tracerl at delay 1024 over delay 16  bar 0.67 x")
        if statistics.median(by_delay) < 2 / 3:
            missed.append("tracerl at delay 1024")
    if missed:
        print(f"\nbelow the bar: {', '.join(missed)}")


if __name__ == "__main__":
    main()
