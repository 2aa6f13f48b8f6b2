"""Trains agents with several settings on POPGym's medium levels, and records each run as a line of JSON.

The settings of `benchmark --suite popgym` were chosen with it, one set for each agent and all tasks: docs/popgym.md says
what was tried. Training has seeds that the suite never uses. A run that the file of records has is not repeated, so a
sweep that was interrupted continues.

A file of rows has the form

    [[rows]]
    name = "wide"
    algorithm = "recurrent-ppo"
    settings = { hidden_size = 256, reward_norm = true }
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

AGENT = Path(__file__).resolve().parent.parent / "target" / "release" / "agent"
# task: (environment, returns of random play and of the best known player at the medium level, docs/environments.md)
TASKS = {
    "repeat-previous": ("RepeatPrevious-v0", -0.5, 1.0),
    "count-recall": ("CountRecall-v0", -0.926, 1.0),
    "minesweeper": ("MineSweeper-v0", -0.399, 1.0),
    "concentration": ("Concentration-v0", -0.188, 0.813),
    "noisy-pendulum": ("NoisyPositionOnlyPendulum-v0", 0.237, 0.702),
    "labyrinth-escape": ("LabyrinthEscape-v0", -0.845, 0.932),
    "autoencode": ("Autoencode-v0", -0.5, 1.0),
    "stateless-cart-pole": ("StatelessCartPole-v0", 0.056, 1.0),
}


class Failed(Exception):
    """A program that ended with an error."""


def json_of(command):
    """Returns the last line of a program's output, which is JSON."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{command}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run(row, task, steps, seed):
    """Trains and judges one row on one task; returns the record."""
    env, low, high = TASKS[task]
    flags = [f"--{name.replace('_', '-')}={json.dumps(value).strip(chr(34))}" for name, value in row["settings"].items()]
    with tempfile.TemporaryDirectory() as folder:
        trained = json_of(
            [AGENT, "train", "--algorithm", row["algorithm"], "--env", env, "--env-arg", "level=medium"]
            + ["--env-arg", "previous_action=true", "--env-arg", "is_first=true", "--total-timesteps", steps, "--seed", seed]
            + ["--no-early-stop", "--no-progress", "--json", "--out", f"{folder}/run", *flags]
        )
        judged = json_of(
            [AGENT, "evaluate", "--checkpoint", f"{folder}/run/checkpoint.safetensors", "--episodes", 200]
            + ["--mode", "greedy,sampled", "--seed", 7, "--json", "--no-progress"]
        )
    return {
        "row": row["name"],
        "algorithm": row["algorithm"],
        "settings": row["settings"],
        "task": task,
        "steps": steps,
        "seed": seed,
        "training_return": trained["training_return"],
        "score": (trained["training_return"] - low) / (high - low),
        "best_epoch_return": trained["best_epoch_return"],
        "greedy": judged["mean_return"],
        "sampled": judged["sampled_return"],
        "steps_per_s": round(trained["steps_per_s"]),
        "parameters": trained["parameters"],
    }


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/sweep-popgym", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path, metavar="ROWS.toml", help="the settings to try")
    parser.add_argument("--records", type=Path, required=True, metavar="FILE.jsonl", help="file to add records to")
    parser.add_argument("--steps", type=int, default=3_000_000, metavar="N", help="of a training (default 3,000,000)")
    parser.add_argument("--seed", type=int, default=1000, metavar="S", help="of a training (default 1000)")
    parser.add_argument("--tasks", default=",".join(TASKS), metavar="A,B", help="tasks (default: all)")
    arguments = parser.parse_args()
    tasks = arguments.tasks.split(",")
    if unknown := [task for task in tasks if task not in TASKS]:
        parser.error(f"unknown tasks: {', '.join(unknown)}; there are {', '.join(TASKS)}")
    rows = tomllib.loads(arguments.rows.read_text())["rows"]
    text = arguments.records.read_text() if arguments.records.exists() else ""
    done = {(r["row"], r["task"], r["steps"], r["seed"]) for r in map(json.loads, text.splitlines())}
    try:
        for row, task in ((row, task) for row in rows for task in tasks):
            if (row["name"], task, arguments.steps, arguments.seed) in done:
                continue
            record = run(row, task, arguments.steps, arguments.seed)
            with arguments.records.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(f"{row['name']:32} {task:20} {record['training_return']:7.3f} score {record['score']:6.3f}", flush=True)
    except KeyboardInterrupt:
        return 130
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
