#!/usr/bin/env python3
"""Records what the equations of MVProp give in plain numpy, for a test of `agent/src/memory/spatial/mvprop.rs`.

Usage: scripts/parity/mvprop.py > agent/tests/parity/mvprop.json

The authors published no code. This follows section 3.2 of Nardelli et al. (arXiv:1805.11199) one cell at a time: two
convolutions with zeros around the raster, and a maximum over the cell and its four neighbours. The weights are waves that the
test makes again: number i of parameter k is 0.5 * sin(k + 0.7 i).
"""

import json
import sys

import numpy as np

CHANNELS, HEIGHT, WIDTH, HIDDEN = 4, 3, 4, 3
FREE, AGENT, GOAL, WALL = range(CHANNELS)
# Walls of each lane, its goal, and its agent's cell at each step. The goal is drawn at the first step only.
WALLS = [[(0, 1), (1, 1)], [(2, 2)]]
GOALS = [(0, 3), (2, 0)]
WALKS = [[(1, 0), (2, 0), (2, 1)], [(0, 3), (0, 2), (1, 2)]]
NEAR = [(-1, 0), (0, -1), (0, 1), (1, 0)]


def wave(shape, phase, scale=0.5):
    return (scale * np.sin(phase + 0.7 * np.arange(np.prod(shape)))).reshape(shape)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def around(raster, row, column):
    """The 3 by 3 block around a cell of [channels, height, width], row by row, with zeros off the grid."""
    padded = np.pad(raster, ((0, 0), (1, 1), (1, 1)))
    return padded[:, row : row + 3, column : column + 3].transpose(1, 2, 0).reshape(9, -1)


def every_cell():
    return ((row, column) for row in range(HEIGHT) for column in range(WIDTH))


def rasters(lane):
    seen = []
    for step, agent in enumerate(WALKS[lane]):
        x = np.zeros((CHANNELS, HEIGHT, WIDTH))
        x[FREE] = 1.0
        for wall in WALLS[lane]:
            x[FREE][wall], x[WALL][wall] = 0.0, 1.0
        x[AGENT][agent] = 1.0
        if step == 0:
            x[GOAL][GOALS[lane]] = 1.0
        seen.append(x)
    return seen


def reward_and_passage(map_):
    hidden_w, hidden_b = wave((9 * CHANNELS, HIDDEN), 0), wave((HIDDEN,), 1)
    # Of each hidden number, r and p of each cell of the kernel.
    maps_w, maps_b = wave((HIDDEN, 9, 2), 2), wave((2,), 3)
    hidden = np.zeros((HIDDEN, HEIGHT, WIDTH))
    for row, column in every_cell():
        total = around(map_, row, column).flatten() @ hidden_w + hidden_b
        hidden[:, row, column] = np.maximum(total, 0.0)
    maps = np.zeros((2, HEIGHT, WIDTH))
    for row, column in every_cell():
        total = np.einsum("kh,hkn->n", around(hidden, row, column), maps_w) + maps_b
        maps[:, row, column] = sigmoid(total)
    return maps


def spread(r, p, iterations):
    v = r.copy()
    for _ in range(iterations):
        before = v.copy()
        for row, column in every_cell():
            here = row, column
            for down, right in NEAR:
                there = row + down, column + right
                if 0 <= there[0] < HEIGHT and 0 <= there[1] < WIDTH:
                    v[here] = max(v[here], r[here] + p[here] * (before[there] - r[here]))
    return v


def walk(lane, iterations, accumulates):
    map_, steps = np.zeros((CHANNELS, HEIGHT, WIDTH)), []
    for x, agent in zip(rasters(lane), WALKS[lane]):
        map_ = np.maximum(map_, x) if accumulates else x.copy()
        map_[AGENT] = x[AGENT]
        r, p = reward_and_passage(map_)
        v = spread(r, p, iterations)
        features = [around(v[None], *agent).flatten(), around(map_, *agent).flatten()]
        steps.append({"input": x.flatten(), "features": np.concatenate(features), "values": v.flatten(), "passage": p.flatten()})
    return [{name: [float(f"{x:.7g}") for x in numbers] for name, numbers in step.items()} for step in steps]


def main():
    cases = []
    for iterations, map_memory in [(0, "accumulate"), (0, "none"), (2, "accumulate")]:
        times = iterations or HEIGHT * WIDTH
        lanes = [walk(lane, times, map_memory == "accumulate") for lane in range(len(WALKS))]
        cases.append({"iterations": iterations, "map_memory": map_memory, "lanes": lanes})
    json.dump(cases, sys.stdout)
    print()


if __name__ == "__main__":
    main()
