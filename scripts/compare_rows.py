"""Compares environment steps per second of training over HTTP: each algorithm with recurrent PPO, in turn.

The task is MemoryTask HARD, and all settings are the defaults. A round trains recurrent PPO and then the algorithm; the
result is the median of the rounds' ratios. Windows are as long as the delay.
"""

import argparse
import statistics
import sys

from compare_peers import Failed, ours, spread

# algorithm: (steps, the lowest ratio that it should reach or None, whether its memory is a window)
ROWS = {
    "ppo": (1_500_000, None, False),
    "gru": (600_000, 1.0, False),
    "rims": (200_000, 0.3, False),
    "mingru": (600_000, 0.9, False),
    "lru": (600_000, 0.9, False),
    "shm": (300_000, 0.3, False),
    "frame-stack": (600_000, None, True),
    "memn2n": (600_000, 1.0, True),
    "gtrxl": (300_000, 0.4, True),
    "dnc": (200_000, 0.2, False),
    "ntm": (200_000, 0.3, False),
    "neural-map": (200_000, 0.3, False),
    "merlin": (100_000, 0.1, False),
    "rl-mem": (100_000, None, False),
    "drqn": (200_000, 0.4, False),
    "mqn": (200_000, 0.5, True),
    "rmqn": (200_000, 0.2, True),
    "frmqn": (60_000, 0.2, True),
    "mfec": (30_000, 0.2, True),
    "nec": (30_000, 0.1, True),
    "dt": (200_000, 0.2, True),
    "odt": (60_000, 0.1, True),
    "tracerl": (400_000, None, False),
    "tracerl-notebook": (200_000, None, False),
}
BASE, BASE_STEPS = "recurrent-ppo", 600_000


def ratios_of(algorithm, rounds, delay):
    """Returns the ratios of an algorithm's rounds, and both sides' steps per second."""
    steps, _, has_window = ROWS[algorithm]
    flags = [f"--memory-window={delay}"] if has_window else []
    rates = []
    for index in range(rounds):
        base, row = ours(BASE, [], delay, BASE_STEPS), ours(algorithm, flags, delay, steps)
        rates.append((row["steps_per_s"], base["steps_per_s"]))
        print(f"{algorithm} {index + 1}/{rounds}: {rates[-1][0]:,.0f} / {rates[-1][1]:,.0f} steps/s", file=sys.stderr)
    return [row / base for row, base in rates], [row for row, _ in rates]


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/compare-rows", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="alternations (default 5)")
    parser.add_argument("--delay", type=int, default=16, metavar="D", help="delay of the task (default 16)")
    parser.add_argument("--only", metavar="A,B", help="algorithms: " + ", ".join(ROWS))
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else list(ROWS)
    unknown = [name for name in wanted if name not in ROWS]
    if unknown or arguments.rounds < 1 or arguments.delay < 2:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "--rounds is at least 1, --delay at least 2")
    try:
        for name in wanted:
            ratios, rates = ratios_of(name, arguments.rounds, arguments.delay)
            bar = ROWS[name][1]
            print(f"{name:17} {spread(rates, ' steps/s'):45} {min(ratios):.2f} … {max(ratios):.2f}, median "
                  f"{statistics.median(ratios):.2f} x" + (f"  bar {bar}" if bar else ""), flush=True)  # fmt: skip
    except KeyboardInterrupt:
        return 130
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
