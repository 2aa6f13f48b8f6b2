"""Prints features of a memory network as JSON, for the test `it_computes_the_equations_of_the_paper` of `memn2n`.

The equations stand as in sections 2.1, 2.2 (layer-wise tying) and 4.1 of Sukhbaatar et al. 2015, arXiv:1503.08895: every
input of the window is embedded, with its temporal embeddings. Weights and inputs are waves that the test computes as well,
so the file holds results only.

    python scripts/parity/memn2n.py > agent/tests/parity/memn2n.json
"""

import json

import numpy as np

INPUTS, WIDTH, HIDDEN, WINDOW, HOPS, LANES, STEPS = 3, 8, 6, 3, 2, 2, 6

SHAPES = {
    "query.weight": (INPUTS, WIDTH),
    "query.bias": (1, WIDTH),
    "key.weight": (WIDTH, INPUTS),
    "value.weight": (INPUTS, WIDTH),
    "times.key": (WIDTH, WINDOW),
    "times.value": (WINDOW, WIDTH),
    "hop.weight": (WIDTH, WIDTH),
    "output.weight": (WIDTH, HIDDEN),
    "output.bias": (1, HIDDEN),
}


def wave(shape, phase):
    numbers = np.arange(np.prod(shape))
    return 0.6 * np.sin(1.7 * numbers + 0.9 * phase).reshape(shape)


def features(weights, inputs):
    """Features of each step of one episode."""
    b, bias = weights["query.weight"], weights["query.bias"][0]
    a, c, h = weights["key.weight"].T, weights["value.weight"], weights["hop.weight"]
    rows = []
    for step, x in enumerate(inputs):
        window = inputs[max(0, step - WINDOW) : step][::-1]
        m = [x_i @ a + weights["times.key"].T[i] for i, x_i in enumerate(window)]
        answers = [x_i @ c + weights["times.value"][i] for i, x_i in enumerate(window)]
        u = x @ b + bias
        for _ in range(HOPS):
            o = np.zeros(WIDTH)
            if m:
                scores = np.array([u @ m_i for m_i in m])
                p = np.exp(scores - scores.max())
                p /= p.sum()
                o = sum(p_i * c_i for p_i, c_i in zip(p, answers, strict=True))
            u = u @ h + o
        y = u @ weights["output.weight"] + weights["output.bias"][0]
        rows.append(np.concatenate([np.maximum(y[: HIDDEN // 2], 0.0), y[HIDDEN // 2 :]]))
    return rows


def main():
    weights = {name: wave(shape, phase) for phase, (name, shape) in enumerate(SHAPES.items())}
    lanes = []
    for lane in range(LANES):
        cells = np.add.outer(0.8 * np.arange(STEPS) + 1.3 * lane, 2.1 * np.arange(INPUTS))
        lanes.append(features(weights, np.cos(cells)))
    rows = [np.concatenate([lane[step] for lane in lanes]) for step in range(STEPS)]
    sizes = {"inputs": INPUTS, "width": WIDTH, "hidden": HIDDEN, "window": WINDOW, "hops": HOPS, "lanes": LANES}
    found = [[round(float(number), 8) for number in row] for row in rows]
    print(json.dumps({"source": "arXiv:1503.08895", "sizes": sizes, "names": list(SHAPES), "features": found}))


if __name__ == "__main__":
    main()
