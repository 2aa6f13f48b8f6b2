"""Prints features of memory Q-networks as JSON, for the test `they_compute_the_equations_of_the_paper` of `mqn`.

The equations stand as in section 3 of Oh et al. 2016, arXiv:1605.09128, with embeddings of how long ago an input was in
keys and values, and an LSTM whose state is carried along the episode. Every input of the window has a key and a value of
its own. Weights and inputs are waves that the test computes as well, so the file holds results only.

    python scripts/parity/mqn.py > agent/tests/parity/mqn.json
"""

import json

import numpy as np

INPUTS, WIDTH, HIDDEN, WINDOW, LANES, STEPS = 3, 5, 6, 3, 2, 7

CONTEXTS = {
    "mqn": {"context.weight": (WIDTH, HIDDEN)},
    "rmqn": {
        "lstm.weight_ih": (WIDTH, 4 * HIDDEN),
        "lstm.weight_hh": (HIDDEN, 4 * HIDDEN),
        "lstm.bias": (1, 4 * HIDDEN),
    },
    "frmqn": {
        "lstm.weight_ih": (WIDTH + HIDDEN, 4 * HIDDEN),
        "lstm.weight_hh": (HIDDEN, 4 * HIDDEN),
        "lstm.bias": (1, 4 * HIDDEN),
    },
}


def shapes(kind):
    return {
        "embed.weight": (INPUTS, WIDTH),
        "embed.bias": (1, WIDTH),
        **CONTEXTS[kind],
        "key.weight": (HIDDEN, WIDTH),
        "value.weight": (WIDTH, HIDDEN),
        "times.key": (HIDDEN, WINDOW),
        "times.value": (WINDOW, HIDDEN),
        "recall.weight": (HIDDEN, HIDDEN),
    }


def wave(shape, phase):
    numbers = np.arange(np.prod(shape))
    return 0.6 * np.sin(1.7 * numbers + 0.9 * phase).reshape(shape)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def features(kind, w, inputs):
    """Features of each step of one episode."""
    h, c, u = np.zeros(HIDDEN), np.zeros(HIDDEN), np.zeros(HIDDEN)
    embeddings = [np.maximum(x @ w["embed.weight"] + w["embed.bias"][0], 0.0) for x in inputs]
    rows = []
    for step, e in enumerate(embeddings):
        if kind == "mqn":
            h = e @ w["context.weight"]
        else:
            seen = np.concatenate([e, u]) if kind == "frmqn" else e
            gates = seen @ w["lstm.weight_ih"] + h @ w["lstm.weight_hh"] + w["lstm.bias"][0]
            i, f, g, o = np.split(gates, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        window = embeddings[max(0, step - WINDOW) : step][::-1]
        keys = [w["key.weight"] @ e_i + w["times.key"].T[i] for i, e_i in enumerate(window)]
        values = [e_i @ w["value.weight"] + w["times.value"][i] for i, e_i in enumerate(window)]
        u = np.zeros(HIDDEN)
        if window:
            scores = np.array([h @ key for key in keys])
            p = np.exp(scores - scores.max())
            p /= p.sum()
            u = sum(p_i * value for p_i, value in zip(p, values, strict=True))
        y = h @ w["recall.weight"] + u
        rows.append(np.concatenate([np.maximum(y[: HIDDEN // 2], 0.0), y[HIDDEN // 2 :]]))
    return rows


def main():
    found = {"source": "arXiv:1605.09128"}
    for kind in CONTEXTS:
        weights = {name: wave(shape, phase) for phase, (name, shape) in enumerate(shapes(kind).items())}
        lanes = []
        for lane in range(LANES):
            cells = np.add.outer(0.8 * np.arange(STEPS) + 1.3 * lane, 2.1 * np.arange(INPUTS))
            lanes.append(features(kind, weights, np.cos(cells)))
        rows = [np.concatenate([lane[step] for lane in lanes]) for step in range(STEPS)]
        rounded = [[round(float(number), 8) for number in row] for row in rows]
        found[kind] = {"names": list(weights), "features": rounded}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
