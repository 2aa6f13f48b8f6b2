"""Prints features of a Decision Transformer as JSON, for the test `it_computes_the_equations_of_the_paper`.

The equations stand as in section 3 of Chen et al. 2021, arXiv:2106.01345, with the order of its code for Gym: linear
embeddings of return-to-go and observation, a lookup of the action, a learned embedding of the step added to all three,
layer normalisation, pre-norm GPT blocks with ReLU, a last normalisation; features are read at the token of the
observation. The last K steps are encoded anew at every step, one token after the other. Weights and inputs are waves that
the test computes as well, so the file holds results only.

    python scripts/parity/decision_transformer.py > agent/tests/parity/decision_transformer.json
"""

import json

import numpy as np

INPUTS, WIDTH, HEADS, LAYERS, WINDOW, NUMBERS, LANES, STEPS = 3, 8, 2, 2, 3, 5, 2, 7
CHOICES = (2, 3)
TARGET, SCALE = 1.5, 2.0

LINEAR = {
    "return": (1, WIDTH),
    "inputs": (INPUTS, WIDTH),
}
BLOCK = {
    "query": (WIDTH, WIDTH),
    "key": (WIDTH, WIDTH),
    "value": (WIDTH, WIDTH),
    "output": (WIDTH, WIDTH),
    "feed1": (WIDTH, 4 * WIDTH),
    "feed2": (4 * WIDTH, WIDTH),
}


def shapes():
    """Shapes of all parameters, in an order that gives their waves' phases."""
    found = {"actions": (sum(CHOICES), WIDTH), "steps": (NUMBERS, WIDTH)}
    for name, (rows, columns) in LINEAR.items():
        found[f"{name}.weight"], found[f"{name}.bias"] = (rows, columns), (1, columns)
    for name in ("norm", "last_norm"):
        found[f"{name}.gain"] = found[f"{name}.bias"] = (1, WIDTH)
    for layer in range(LAYERS):
        for name, (rows, columns) in BLOCK.items():
            found[f"block{layer}.{name}.weight"] = (rows, columns)
            # A bias of keys would add the same to all scores of a query.
            if name != "key":
                found[f"block{layer}.{name}.bias"] = (1, columns)
        for name in ("norm1", "norm2"):
            found[f"block{layer}.{name}.gain"] = found[f"block{layer}.{name}.bias"] = (1, WIDTH)
    return found


def wave(shape, phase):
    numbers = np.arange(np.prod(shape))
    return 0.6 * np.sin(1.7 * numbers + 0.9 * phase).reshape(shape)


def normalised(weights, name, x):
    centred = x - x.mean()
    deviation = np.sqrt((centred**2).mean() + 1e-5)
    return centred / deviation * weights[f"{name}.gain"][0] + weights[f"{name}.bias"][0]


def linear(weights, name, x):
    bias = weights.get(f"{name}.bias")
    return x @ weights[f"{name}.weight"] + (0.0 if bias is None else bias[0])


def attended(weights, name, tokens):
    """Causal attention of every token to itself and those before it."""
    q, k, v = ([linear(weights, f"{name}.{part}", x) for x in tokens] for part in ("query", "key", "value"))
    size = WIDTH // HEADS
    rows = []
    for place, query in enumerate(q):
        parts = []
        for head in range(HEADS):
            columns = slice(head * size, (head + 1) * size)
            scores = np.array([query[columns] @ key[columns] for key in k[: place + 1]]) / np.sqrt(size)
            p = np.exp(scores - scores.max())
            p /= p.sum()
            parts.append(sum(p_i * v_i[columns] for p_i, v_i in zip(p, v[: place + 1], strict=True)))
        rows.append(linear(weights, f"{name}.output", np.concatenate(parts)))
    return rows


def encoded(weights, window):
    """Features of the last step of a window of (return-to-go, observation, action, number of the step)."""
    tokens = []
    for goal, observation, action, number in window:
        when = weights["steps"][min(number, NUMBERS - 1)]
        first_of_second = CHOICES[0]
        chosen = weights["actions"][action[0]] + weights["actions"][first_of_second + action[1]]
        tokens.append(linear(weights, "return", np.array([goal / SCALE])) + when)
        tokens.append(linear(weights, "inputs", observation) + when)
        tokens.append(chosen + when)
    # The last action is not known yet.
    x = [normalised(weights, "norm", token) for token in tokens[:-1]]
    for layer in range(LAYERS):
        name = f"block{layer}"
        read = attended(weights, name, [normalised(weights, f"{name}.norm1", token) for token in x])
        x = [token + more for token, more in zip(x, read, strict=True)]
        for place, token in enumerate(x):
            hidden = linear(weights, f"{name}.feed1", normalised(weights, f"{name}.norm2", token))
            x[place] = token + linear(weights, f"{name}.feed2", np.maximum(hidden, 0.0))
    return normalised(weights, "last_norm", x[-1])


def action(step, lane):
    return ((step + lane) % CHOICES[0], (2 * step + lane) % CHOICES[1])


def reward(step, lane):
    return 0.25 * (step - lane)


def features(weights, lane):
    goal, history, rows = TARGET, [], []
    for step in range(STEPS):
        observation = np.cos(0.8 * step + 1.3 * lane + 2.1 * np.arange(INPUTS))
        history.append((goal, observation, action(step, lane), step))
        rows.append(encoded(weights, history[-WINDOW:]))
        goal -= reward(step, lane)
    return rows


def main():
    weights = {name: wave(shape, phase) for phase, (name, shape) in enumerate(shapes().items())}
    lanes = [features(weights, lane) for lane in range(LANES)]
    rows = [np.concatenate([lane[step] for lane in lanes]) for step in range(STEPS)]
    found = [[round(float(number), 8) for number in row] for row in rows]
    print(json.dumps({"source": "arXiv:2106.01345", "names": list(weights), "features": found}))


if __name__ == "__main__":
    main()
