#!/usr/bin/env python3
"""Records what the equations of the Neural Map give in plain numpy, for a test of
`agent/src/memory/spatial/neural_map.rs`.

Usage: scripts/parity/neural_map.py > agent/tests/parity/neural_map.json

The authors published no code. This follows sections 3 and 4 of Parisotto and Salakhutdinov (arXiv:1702.08360) one lane and
one cell at a time; its global read is one dense layer, and its scores are divided by the square root of the channels. The
weights are waves that the test makes again: number i of parameter k is 0.5 * sin(k + 0.7 i).
"""

import json
import sys

import numpy as np

INPUTS, HIDDEN, CHANNELS, CELLS = 3, 4, 3, 5
# Positions of each lane at each step: walks with a bump into a wall and a way back.
WALKS = [[0, 1, 2, 1, 1], [4, 4, 3, 2, 1]]


def wave(shape, phase, scale=0.5):
    return (scale * np.sin(phase + 0.7 * np.arange(np.prod(shape)))).reshape(shape)


def weights(gated):
    parts = 3 if gated else 1
    shapes = [
        ("encode", (INPUTS, HIDDEN)),
        ("encode_bias", (HIDDEN,)),
        ("read", (CELLS * CHANNELS, CHANNELS)),
        ("read_bias", (CHANNELS,)),
        ("seen", (HIDDEN + 2 * CHANNELS, parts * CHANNELS)),
        ("seen_bias", (parts * CHANNELS,)),
        ("old", (CHANNELS, 2 * CHANNELS if gated else CHANNELS)),
        *([("candidate", (CHANNELS, CHANNELS))] if gated else []),
        ("query", (HIDDEN + CHANNELS, CHANNELS)),
    ]
    return {name: wave(shape, phase) for phase, (name, shape) in enumerate(shapes)}


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def write(w, gated, seen, m):
    from_seen = seen @ w["seen"] + w["seen_bias"]
    if not gated:
        return np.tanh(from_seen + m @ w["old"])
    reset, update, new = np.split(from_seen, 3)
    old_reset, old_update = np.split(m @ w["old"], 2)
    rho, zeta = sigmoid(reset + old_reset), sigmoid(update + old_update)
    candidate = np.tanh(new + (rho * m) @ w["candidate"])
    return (1.0 - zeta) * m + zeta * candidate


def moved(map_, by):
    """The map around an agent that has moved by so many cells: what it walks towards comes nearer."""
    after = np.zeros_like(map_)
    for cell in range(CELLS):
        if 0 <= cell + by < CELLS:
            after[cell] = map_[cell + by]
    return after


def walk(w, gated, egocentric, positions, lane):
    map_, before, steps = np.zeros((CELLS, CHANNELS)), 0, []
    for step, position in enumerate(positions):
        x = np.array([np.sin(step + 2.0 * lane), np.cos(step - lane), position])
        own = position
        if egocentric:
            map_, own = moved(map_, position - before), CELLS // 2
            before = position
        scaled = np.array([x[0], x[1], 2.0 * position / (CELLS - 1) - 1.0])
        s = np.tanh(scaled @ w["encode"] + w["encode_bias"])
        r = np.tanh(map_.flatten() @ w["read"] + w["read_bias"])
        q = np.concatenate([s, r]) @ w["query"]
        scores = map_ @ q / np.sqrt(CHANNELS)
        alpha = np.exp(scores - scores.max())
        alpha /= alpha.sum()
        c = alpha @ map_
        new = write(w, gated, np.concatenate([s, r, c]), map_[own])
        map_ = map_.copy()
        map_[own] = new
        steps.append({"input": x, "features": np.concatenate([r, c, new]), "attention": alpha, "map": map_.flatten()})
    return [{name: [float(f"{x:.7g}") for x in numbers] for name, numbers in step.items()} for step in steps]


def main():
    cases = []
    for gated, egocentric in [(True, False), (False, False), (True, True)]:
        w = weights(gated)
        lanes = [walk(w, gated, egocentric, positions, lane) for lane, positions in enumerate(WALKS)]
        cases.append({"map_write": "gru" if gated else "plain", "egocentric": egocentric, "lanes": lanes})
    json.dump(cases, sys.stdout)
    print()


if __name__ == "__main__":
    main()
